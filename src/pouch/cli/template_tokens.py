"""A `--format` template cut into texts and actions, and actions into tokens (see `template`)."""

from __future__ import annotations

from collections.abc import Iterator

from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")
_HELP = "hint: fields ({{.Name}}), index, json, join, range, if, eq and the like of Go templates are understood."


class TemplateError(CliError):
    """A template that is wrong; says where."""

    def __init__(self, reason: str, *, hint: str = _HELP) -> None:
        super().__init__(f"template parsing error: {reason}" + (f"\n{hint}" if hint else ""))


class Token:
    """One token of an action. kind: field, name, variable, value, or the punctuation itself."""

    __slots__ = ("kind", "spaced", "value")

    def __init__(self, kind: str, value: Any, *, spaced: bool) -> None:
        self.kind = kind
        self.value = value
        self.spaced = spaced

    def __repr__(self) -> str:
        return f"<Token {self.kind} {self.value!r}>"


END = Token("end", "", spaced=True)


def parts(text: str) -> Iterator[tuple[str, list[Token]]]:
    """Texts (with no tokens) and actions (with tokens), in turn."""
    trim = False
    while text:
        before, opening, rest = text.partition("{{")
        if trim:
            before = before.lstrip()
        if opening and rest[:1] == "-" and rest[1:2].isspace():
            before, rest = before.rstrip(), rest[1:]
        if before:
            yield before, []
        if not opening:
            return
        if rest.lstrip().startswith("/*"):
            _, closing, text = rest.partition("*/")
            if not closing:
                raise TemplateError("unclosed comment")
            inside, closing, text = text.partition("}}")
            trim = inside.endswith("-")
            if inside.strip(" \t\n-") or not closing:
                raise TemplateError("comment ends before closing delimiter")
            continue
        tokens, text, trim = _tokens(rest)
        yield "", tokens


def _tokens(text: str) -> tuple[list[Token], str, bool]:
    """The tokens up to `}}`, what follows it, and whether the text after is to be trimmed."""
    found: list[Token] = []
    place = 0
    while place < len(text):
        start = place
        while place < len(text) and text[place].isspace():
            place += 1
        spaced = place > start or not found
        if text.startswith("}}", place):
            return _closed(found), text[place + 2 :], False
        if text.startswith("-}}", place):
            return _closed(found), text[place + 3 :], True
        token, place = _token(text, place, spaced=spaced)
        found.append(token)
    raise TemplateError(f"unclosed action: {{{{{text.strip()[:40]}")


def _closed(tokens: list[Token]) -> list[Token]:
    if not tokens:
        raise TemplateError("missing value for command: {{}} is empty")
    return [*tokens, END]


def _token(text: str, place: int, *, spaced: bool) -> tuple[Token, int]:
    letter = text[place : place + 1]
    if letter in {'"', "`", "'"}:
        return _quoted(text, place, letter, spaced=spaced)
    if text.startswith(":=", place):
        return Token(":=", ":=", spaced=spaced), place + 2
    if letter in "|(),=":
        return Token(letter, letter, spaced=spaced), place + 1
    if letter.isdigit() or (letter in "+-" and text[place + 1 : place + 2].isdigit()):
        end = place + 1
        while end < len(text) and (text[end] in _LETTERS or text[end] == "."):
            end += 1
        return Token("value", _number(text[place:end]), spaced=spaced), end
    kind, start = {".": ("field", 1), "$": ("variable", 1)}.get(letter, ("name", 0))
    end = place + start
    while end < len(text) and text[end] in _LETTERS:
        end += 1
    if end == place:
        raise TemplateError(f"unexpected {letter!r} in {{{{{text.partition('}}')[0].strip()}}}}}")
    return Token(kind, text[place:end] if kind == "variable" else text[place + start : end], spaced=spaced), end


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise TemplateError(f"bad number syntax: {text!r}") from None


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


def _quoted(text: str, place: int, quote: str, *, spaced: bool) -> tuple[Token, int]:
    end, letters = place + 1, []
    while end < len(text) and text[end] != quote:
        letter = text[end]
        if letter == "\\" and quote != "`":
            end += 1
            letter = _ESCAPES.get(text[end : end + 1], "")
            if not letter:
                raise TemplateError(f"unknown escape \\{text[end : end + 1]} in a quoted string")
        letters.append(letter)
        end += 1
    if end >= len(text):
        raise TemplateError("unterminated quoted string")
    if quote == "'":
        if len(letters) != 1:
            raise TemplateError("malformed character constant: use double quotes for strings")
        return Token("value", ord(letters[0]), spaced=spaced), end + 1
    return Token("value", "".join(letters), spaced=spaced), end + 1
