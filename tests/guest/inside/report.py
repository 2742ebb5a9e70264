"""Checks and their results, one JSON line each on stdout behind `@@ `, for whoever reads the guest's console."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager

MARK = "@@ "
_began = time.monotonic()


class Group:
    """A named row of checks. What one of them raises ends the row: what would have come after it is counted as one failure."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, name: str, holds: object, seen: object = "") -> bool:
        """One result; `seen` is what was found, told when it does not hold and kept in the log when it does."""
        say(check=f"{self.name}: {name}", ok=bool(holds), seen=str(seen)[-1500:])
        return bool(holds)

    def equal(self, name: str, found: object, expected: object) -> bool:
        """Whether two values are the same."""
        return self.check(name, found == expected, found if found == expected else f"{found!r}, expected {expected!r}")


@contextmanager
def group(name: str):
    """A row; an exception in it becomes a failed check."""
    one = Group(name)
    began = time.monotonic()
    try:
        yield one
    except Exception:  # the other rows still have to be run
        one.check("runs to its end", False, traceback.format_exc())
    say(row=name, seconds=round(time.monotonic() - began, 1))


def note(text: str) -> None:
    """Something worth reading that is no check."""
    say(note=text)


def say(**values: object) -> None:
    """One line, with the seconds since the start."""
    print(MARK + json.dumps({"at": round(time.monotonic() - _began, 1), **values}), flush=True)


def until(condition: Callable[[], object], *, seconds: float = 120.0, every: float = 0.1) -> object:
    """What the condition last answered: as soon as it is true, or at the deadline."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return found
