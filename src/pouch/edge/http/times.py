"""Times as Docker's API writes and reads them."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime

from pouch.spec import errors

ZERO = "0001-01-01T00:00:00Z"
"""Docker's "never"."""

_NANO = 10**9
_LONGEST = 12
"""Characters of whole seconds: enough for 30,000 years, and no number that Python refuses to read."""
_STEPS = (
    (60, 1, "seconds"),
    (120, 0, "About a minute"),
    (3600, 60, "minutes"),
    (7200, 0, "About an hour"),
    (48 * 3600, 3600, "hours"),
    (14 * 86400, 86400, "days"),
    (60 * 86400, 7 * 86400, "weeks"),
    (730 * 86400, 30 * 86400, "months"),
)


@functools.lru_cache(maxsize=8192)
def seconds(text: str) -> float:
    """RFC 3339 to seconds since 1970; 0 for an empty one."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def nanoseconds(key: str, text: str) -> int:
    """`1700000000`, `1700000000.123456789` or RFC 3339 to nanoseconds since 1970; 0 when empty. Raises InvalidInput."""
    if not text:
        return 0
    whole, dot, fraction = text.partition(".")
    if len(whole) <= _LONGEST and whole.removeprefix("-").isdecimal() and (not dot or fraction.isdecimal()):
        return int(whole) * _NANO + int(fraction[:9].ljust(9, "0") or 0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise errors.InvalidInput(
            f'failed to parse value as time or duration: "{text}"', hint=f"{key}: seconds since 1970, or RFC 3339"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * _NANO + moment.microsecond * 1000


def ago(then: str, now: float | None = None) -> str:
    """How long since then, in words, as Docker's `go-units`."""
    gone = int((time.time() if now is None else now) - seconds(then))
    if gone < 1:
        return "Less than a second"
    if gone == 1:
        return "1 second"
    for below, unit, words in _STEPS:
        if gone < below:
            return f"{gone // unit} {words}" if unit else words
    return f"{gone // (365 * 86400)} years"
