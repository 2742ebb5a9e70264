"""The WWW-Authenticate header (RFC 9110, section 11.6.1): a strict reader. Pure.

A header holds challenges, each a scheme with a token or with parameters; commas part both challenges and parameters, so what a word is
shows only behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pouch.spec import errors

LONGEST = 8192
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - the grammar's word
_QUOTED = r'"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"'
_GAP = re.compile(r"[\t ]*(?:,[\t ]*)*")
_PARAMETER = re.compile(rf"({_TOKEN})[\t ]*=[\t ]*(?:{_QUOTED}|({_TOKEN}))(?=[\t ]*(?:,|$))")
_SCHEME = re.compile(rf"({_TOKEN})(?: +|(?=[\t ]*(?:,|$)))")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=[\t ]*(?:,|$))")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge. scheme and names of parameters are in lower case; `token` is what a scheme without parameters has."""

    scheme: str
    parameters: Mapping[str, str]
    token: str = ""


def parse(header: str) -> list[Challenge]:
    """The challenges of one header. Raises CorruptData where it does not follow the grammar, names a parameter twice or is too long."""
    if len(header) > LONGEST:
        raise errors.CorruptData(f"a WWW-Authenticate header of {len(header)} characters, expected at most {LONGEST}")
    found: list[Challenge] = []
    at = _skip(header, 0)
    while at < len(header):
        at = _skip(header, _parameter(header, at, found) or _scheme(header, at, found) or _refuse(header))
    return found


def _skip(header: str, at: int) -> int:
    match = _GAP.match(header, at)
    return match.end() if match else at


def _parameter(header: str, at: int, found: list[Challenge]) -> int:
    match = _PARAMETER.match(header, at)
    if not match or not found or found[-1].token:
        return 0
    name, quoted, plain = match[1].lower(), match[2], match[3]
    parameters = found[-1].parameters
    assert isinstance(parameters, dict)
    if name in parameters:
        _refuse(header)
    parameters[name] = plain if quoted is None else _ESCAPE.sub(r"\1", quoted)
    return match.end()


def _scheme(header: str, at: int, found: list[Challenge]) -> int:
    match = _SCHEME.match(header, at)
    if not match:
        return 0
    token = _TOKEN68.match(header, match.end()) if header[match.end() - 1] == " " else None
    found.append(Challenge(match[1].lower(), {}, token[0] if token else ""))
    return token.end() if token else match.end()


def _refuse(header: str) -> int:
    raise errors.CorruptData(
        f'a WWW-Authenticate header that cannot be read: {header[:200]!a}, expected as: Bearer realm="URL",service="NAME"'
    )
