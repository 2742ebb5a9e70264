"""`--filter KEY=VALUE`, given several times, to the `filters` of a query."""

from __future__ import annotations

from pouch.cli import documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def check(value: str) -> None:
    """A check for the flag."""
    if not value.partition("=")[1]:
        raise ValueError("invalid argument: expected KEY=VALUE")


def encode(given: Sequence[str]) -> str | None:
    """The JSON text; None for no filter."""
    found: dict[str, list[str]] = {}
    for entry in given:
        name, _, value = entry.partition("=")
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return documents.dumps(found) if found else None
