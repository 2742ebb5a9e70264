"""Regular expressions of clients, for names: searched in the daemon's one loop, so only those whose search ends soon."""

from __future__ import annotations

import re

from pouch.spec import errors

_LONGEST = 1024
_MOST = 2
"""Repetitions and inner alternatives. With two, a name of 255 characters takes a millisecond; with three nearly a second, and
repeated groups take longer than anybody lives."""
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_EXTENSION = re.compile(r"\(\?(?!:|i\))")
"""Of groups: notes, and spaces that count for nothing, would hide a repetition from us."""
_REPEATS = ("*", "+", "?", "{")
_HINT = "at most two repetitions or alternatives in groups, none of a group, no (?...) but (?:...); .* at the ends does not count"


def compiled(text: str, what: str) -> re.Pattern[str]:
    """The expression. what: the filter's name, for the error. Raises InvalidInput for none, and for one that could search for hours."""
    try:
        found = re.compile(_without_ends(text[: _LONGEST + 1]))
    except (re.error, OverflowError, RecursionError) as error:
        raise errors.InvalidInput(f"invalid filter '{what}': {error}") from None
    if len(text) > _LONGEST or not _ends_soon(_without_ends(text)):
        raise errors.InvalidInput(f"invalid filter '{what}={errors.shown(text)}': it may take too long", hint=_HINT)
    return found


def _without_ends(text: str) -> str:
    """Without what matches anything at both ends, where a search finds the same without it."""
    if "|" not in text:
        text = text.removeprefix("^.*").removeprefix(".*")
        if not text.endswith((r"\.*", r"\.*$")):
            text = text.removesuffix(".*$").removesuffix(".*")
    return text


def _ends_soon(text: str) -> bool:
    """Whether what can be tried grows no faster than the square of the name."""
    if _EXTENSION.search(text):
        return False
    choices, depth, before = 0, 0, ""
    for atom in _ATOM.findall(text):
        if atom == "(":
            depth += 1
        elif atom == ")":
            depth -= 1
        elif atom in _REPEATS and before != "(":
            if before == ")":
                return False
            choices += before not in _REPEATS and before != "}"  # a second one only says: not greedy
        elif atom == "|" and depth:
            choices += 1
        elif atom[0] == "\\" and atom[1:].isdecimal():
            return False
        before = atom
    return choices <= _MOST
