"""From bytes to a struct, as Docker's server reads JSON: null means absent; an error names the JSON path."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from pouch.spec import errors

T = TypeVar("T")

_decoder = msgspec.json.Decoder()
_KEYS_MATTER = frozenset(("Volumes", "PortBindings", "ExposedPorts", "EndpointsConfig"))
"""Maps in which a null value still says something by its key."""

_INTEGER_BITS = 63
"""Docker's integers are int64; more would only fail far from here."""


def decode(body: bytes, kind: type[T], *, lowered: bool = False) -> T:
    """The document as `kind`. Raises InvalidInput. An empty body, and null, are an empty document.

    lowered: names are read in any case, as Go reads them; those of `kind` are in lower case.
    """
    try:
        document = _decoder.decode(body) if body.strip() else {}
        if lowered and isinstance(document, dict):
            document = {name.lower(): value for name, value in document.items()}
        return msgspec.convert({} if document is None else _without_nulls(document), kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise errors.InvalidInput(f"invalid request body: {error}") from None
    except UnicodeDecodeError:
        raise errors.InvalidInput("invalid request body: JSON is malformed: not UTF-8") from None
    except RecursionError:
        raise errors.InvalidInput("invalid request body: nested too deeply") from None


def _without_nulls(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        if key in _KEYS_MATTER:
            return {name: {} if item is None else _without_nulls(item, name) for name, item in value.items()}
        return {name: _without_nulls(item, name) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
        raise errors.InvalidInput(
            f"invalid request body: {errors.shown(key) or 'a number'}: {value} is no 64-bit integer"
        )
    return value
