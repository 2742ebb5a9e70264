"""The fields of a list's items as a `--format` template sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pouch.cli import template_functions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Fields(Mapping[str, object]):
    """The fields of one item, computed when a template asks."""

    def __init__(self, fields: Mapping[str, tuple[str, Callable[[Any], Any]]], item: Any) -> None:
        self._fields = fields
        self._item = item

    def __getitem__(self, name: str) -> object:
        return self._fields[name][1](self._item)

    def __iter__(self) -> Any:
        return (name for name in sorted(self._fields) if not callable(self[name]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def headings(fields: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> Fields:
    """What a template shows as the first line of a table: headings, which no function changes."""
    return Fields({name: (head, _heading(head)) for name, (head, _) in fields.items()}, None)


def _heading(head: str) -> Callable[[Any], Any]:
    """What stands in a field's place; a field without heading takes an argument, and shows that."""
    return lambda item: template_functions.Heading(head) if head else template_functions.Heading
