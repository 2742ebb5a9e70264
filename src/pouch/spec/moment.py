"""Points in time as people and clients give them to filters."""

from __future__ import annotations

import datetime as dt
import re

from pouch.spec import errors

_STEP = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(h|ms|m|s)")
_DURATION = re.compile(rf"(?:{_STEP.pattern})+")
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(text: str, now: float) -> float:
    """`10m`, `1h30m` before now, seconds since 1970, or RFC 3339 with or without its end: seconds since 1970. Raises InvalidInput."""
    if _DURATION.fullmatch(text):
        return now - sum(float(number) * _UNITS[unit] for number, unit in _STEP.findall(text))
    try:
        if _NUMBER.fullmatch(text):
            return float(text)
        moment = dt.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise errors.InvalidInput(
            f'failed to parse value as time or duration: "{errors.shown(text)}"',
            hint="until: a duration (24h, 1h30m), seconds since 1970, or RFC 3339",
        ) from None
