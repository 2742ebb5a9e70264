"""Words of Dockerfile instructions: how they are split, unquoted, and what variables in them become (Dockerfile reference)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pouch.spec import errors

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_LITERAL_IN_DOUBLE = '"$\\'
_OPERATORS = ("-", "+", "?")
_DEEPEST = 32
"""Substitutions within each other."""


def split(text: str) -> list[str]:
    """Split at white space outside of quotes; quotes and backslashes stay for `expand`."""
    found: list[str] = []
    word = quote = ""
    at = 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and quote != "'" and at + 1 < len(text):
            word += text[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter.isspace():
            if word:
                found.append(word)
            word = ""
            at += 1
            continue
        word += letter
        at += 1
    return [*found, word] if word else found


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Take off quotes and backslashes and put variables in. Raises InvalidInput for an open quote or brace."""
    return _Expansion(text, environment).run()


class _Expansion:
    """One text that is read from left to right."""

    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._environment = environment

    def run(self, end: str = "") -> str:
        """Up to the end of the text, or up to `end`, which is read, too."""
        found: list[str] = []
        while self._at < len(self._text):
            letter = self._next()
            if letter == end:
                return "".join(found)
            if letter == "'":
                found.append(self._single())
            elif letter == '"':
                found.append(self._double())
            elif letter == "$":
                found.append(self._variable())
            elif letter == "\\":
                found.append(self._next() if self._at < len(self._text) else letter)
            else:
                found.append(letter)
        if end:
            raise errors.InvalidInput("unexpected end of statement while looking for matching closing brace")
        return "".join(found)

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise errors.InvalidInput("unexpected end of statement while looking for matching single-quote")
        found, self._at = self._text[self._at : end], end + 1
        return found

    def _double(self) -> str:
        found: list[str] = []
        while self._at < len(self._text):
            letter = self._next()
            if letter == '"':
                return "".join(found)
            if letter == "$":
                found.append(self._variable())
            elif letter == "\\" and self._at < len(self._text):
                following = self._next()
                found.append(following if following in _LITERAL_IN_DOUBLE else letter + following)
            else:
                found.append(letter)
        raise errors.InvalidInput("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        braced = self._text.startswith("{", self._at)
        match = _NAME.match(self._text, self._at + braced)
        if match is None:
            if braced:
                raise errors.InvalidInput("syntax error: bad substitution")
            return "$"
        self._at = match.end()
        value = self._environment.get(match[0])
        return self._braced(match[0], value) if braced else value or ""

    def _braced(self, name: str, value: str | None) -> str:
        """The rest of `${NAME`: `}`, or one of `-`, `+`, `?` with a text, before it `:` where empty counts as unset."""
        if self._text.startswith("}", self._at):
            self._at += 1
            return value or ""
        colon = self._text.startswith(":", self._at)
        self._at += colon
        operator = self._next() if self._at < len(self._text) else ""
        if operator not in _OPERATORS:
            raise errors.InvalidInput(f"unsupported modifier ({':' * colon}{operator}) in substitution")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise errors.InvalidInput(f"more than {_DEEPEST} substitutions within each other")
        text = self.run("}")
        self._depth -= 1
        is_set = bool(value) if colon else value is not None
        if operator == "+":
            return text if is_set else ""
        if operator == "?" and not is_set:
            raise errors.InvalidInput(f"{name}: {text or 'parameter is not set'}")
        return (value or "") if is_set else text
