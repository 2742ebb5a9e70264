"""JSON to the daemon and back, by the C code that the standard library's `json` has.

The Python part of that costs 8 ms to import (regular expressions, which need enumerations ...): more than all of a short
command (decision 0044).
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _Reading:
    """What the scanner asks for: the defaults of `json.JSONDecoder`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def loads(content: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError."""
    text = content.decode("utf-8", "surrogatepass").strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError(f"no JSON value at character {error.value}") from None
    if end != len(text):
        raise ValueError(f"more than one JSON value: at character {end}")
    return value


def dumps(document: object) -> str:
    """A value as JSON, letters as they are, no spaces. Raises TypeError, ValueError."""
    if isinstance(document, str):
        return str(_json.encode_basestring(document))
    return "".join(_encode(document, 0))


def _refuse(value: object) -> object:
    raise TypeError(f"no JSON for {type(value).__name__}")


_scan = _json.make_scanner(_Reading)  # type: ignore[arg-type]
# markers, default, string encoder, indent, key and item separators; not sorted, no key skipped, no NaN
_encode = _json.make_encoder({}, _refuse, _json.encode_basestring, None, ":", ",", False, False, False)
