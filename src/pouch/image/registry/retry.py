"""When to try again, and after how long: exponential back-off with jitter, Retry-After up to a limit. Time comes from outside."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What a registry answers when the same request may succeed later."""


def rest(seconds: float, cancel: threading.Event | None) -> None:
    """Wait, but not longer than it is wanted."""
    if cancel is None:
        time.sleep(seconds)
    else:
        cancel.wait(seconds)


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance: seconds that only grow, seconds since 1970, waiting, a number from 0 to 1."""

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    rest: Callable[[float, threading.Event | None], None] = rest
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Policy:
    """attempts: all together; pauses in seconds, each twice the one before, up to `longest`.

    patience: the longest Retry-After that is waited for, in seconds.
    """

    attempts: int = 5
    first: float = 0.5
    longest: float = 20.0
    patience: float = 60.0


class Backoff:
    """The pauses of one piece of work."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy, self._clock = policy, clock
        self._failures = 0

    def succeeded(self) -> None:
        """It went on: failures are counted anew."""
        self._failures = 0

    def pause(self, asked: str, cancel: threading.Event | None) -> bool:
        """Wait before the next attempt; asked: the Retry-After header. False: give up."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            return False
        least = after(asked, self._clock.wall())
        if least > self._policy.patience:
            return False
        pause = min(self._policy.first * 2 ** (self._failures - 1), self._policy.longest)
        self._clock.rest(max(least, pause * (0.5 + self._clock.chance() / 2)), cancel)
        return True


def after(header: str, now: float) -> float:
    """Seconds that a Retry-After header asks for: a number or a date (RFC 9110, section 10.2.3); 0 where it says neither."""
    if header.isascii() and header.isdigit():
        return float(header[:9])
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - costs an idle daemon 17 ms of its start

    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0
