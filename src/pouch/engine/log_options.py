"""The options of `--log-opt`: which there are, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping

from pouch.spec import errors

_OF_FILES = ("compress", "max-file", "max-size")
_OF_LINES = ("env", "env-regex", "labels", "labels-regex", "tag")
_OF_ALL = ("mode", "max-buffer-size")
"""Of every driver with Docker, and so is what begins with `cache-`."""


def check(driver: str, options: Mapping[str, str]) -> None:
    """Raises InvalidInput in Docker's sentences for options that the driver has not, or that mean nothing. `none` takes all."""
    if driver == "none":
        return
    known = _OF_FILES if driver == "local" else _OF_FILES + _OF_LINES
    for name in sorted(options):
        if name not in known + _OF_ALL and not name.startswith("cache-"):
            shown = f"unknown log opt '{errors.shown(name)}' for "
            what = "log driver local" if driver == "local" else "json-file log driver"
            raise errors.InvalidInput(shown + what, hint=f"one of {', '.join(sorted(known + _OF_ALL))}")
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise errors.InvalidInput(f"logger: logging mode not supported: {errors.shown(mode)}")
    if "max-buffer-size" in options and mode != "non-blocking":
        raise errors.InvalidInput("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    size(options, 0)


def size(options: Mapping[str, str], default: int) -> int:
    """`max-size` (`10m`) in bytes, the default where it is not given. Raises InvalidInput."""
    text = options.get("max-size", "")
    if not text or text == "-1":
        return default
    units = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    factor = units.get(text[-1].lower(), 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal() or not int(digits):
        raise errors.InvalidInput(f"invalid value for max-size: {text!r}", hint="bytes, or a number with k, m or g")
    return int(digits) * factor
