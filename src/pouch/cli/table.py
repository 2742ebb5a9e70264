"""Lists as Docker prints them: columns of equal width, a template per line, JSON, or ids alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

GAP = 3
NARROWEST = 10
RED, PLAIN = "\x1b[31m", "\x1b[0m"


def columns(rows: Sequence[Sequence[str]], narrowest: int = NARROWEST) -> str:
    """Rows of cells as text; every column but the last is padded to its widest cell, and never narrower than `narrowest`."""
    widths: list[int] = []
    for row in rows:
        for place, cell in enumerate(row[:-1]):
            if place == len(widths):
                widths.append(narrowest)
            widths[place] = max(widths[place], _width(cell) + GAP)
    return "\n".join(
        "".join(cell + " " * (widths[place] - _width(cell)) for place, cell in enumerate(row[:-1])) + row[-1]
        for row in rows
        if row
    )


def _width(cell: str) -> int:
    cell = cell.removeprefix(RED).removesuffix(PLAIN)
    return len(cell) if cell.isascii() else sum(map(_columns_of, cell))


def _columns_of(letter: str) -> int:
    import unicodedata

    return 0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def cut(line: str, width: int) -> str:
    """As much of the beginning of a line as `width` columns hold."""
    if line.isascii():
        return line[:width]
    for place, letter in enumerate(line):
        width -= _columns_of(letter)
        if width < 0:
            return line[:place]
    return line


class Listing:
    """A kind of list: its fields with their headings, and which of them the plain table shows.

    `fields`: name -> (heading, function from an item to a text). A field without a heading takes an argument in the
    template: its function gives a function.
    """

    def __init__(
        self,
        fields: Mapping[str, tuple[str, Callable[[Any], Any]]],
        shown: Sequence[str],
        quiet: str = "",
        alarming: Callable[[str, str], bool] | None = None,
    ) -> None:
        """alarming: whether a field's text in the plain table is red."""
        self._alarming = alarming or (lambda name, text: False)
        self._fields = fields
        self._shown = shown
        self._quiet = quiet

    def __repr__(self) -> str:
        return f"<Listing {' '.join(self._shown)}>"

    def print(self, items: Iterable[Any], template: str = "", *, quiet: bool = False) -> None:
        """Print the items by `--format` and `--quiet`. Raises CliError for a template that is wrong."""
        if quiet and not template:
            for item in items:
                print(self._fields[self._quiet][1](item))
        elif template in {"", "table"}:
            headings = [self._fields[name][0] for name in self._shown]
            rows = [[self._cell(name, item) for name in self._shown] for item in items]
            print(columns([headings, *rows]))
        else:
            self._by_template(items, template)

    def _cell(self, name: str, item: Any) -> str:
        text = clean(self._fields[name][1](item))
        return f"{RED}{text}{PLAIN}" if self._alarming(name, text) else text

    def _by_template(self, items: Iterable[Any], text: str) -> None:
        from pouch.cli import fields, template

        if text == "json":
            text = "{{json .}}"
        tabular = text.startswith("table ")
        parsed = template.parse(text.removeprefix("table ").strip() if tabular else text)
        if not tabular:
            for item in items:
                print(parsed.render(fields.Fields(self._fields, item)))
            return
        lines = [parsed.render(fields.headings(self._fields))]
        lines += [parsed.render(fields.Fields(self._fields, item)) for item in items]
        print(columns([clean(line, keep="\t").split("\t") for line in lines]))


def clean(cell: str, keep: str = "") -> str:
    """A text of a container's or an image's for a terminal's line: control characters shown, not sent."""
    if cell.isprintable():
        return cell
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in cell
    )
