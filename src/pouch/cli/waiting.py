"""A line on the terminal for what takes longer than a second and tells nothing meanwhile: what it is, how much, how long.

It stands on stderr, where that is a terminal that can redraw it, and is gone in the end: what a command prints is the same
with it and without.
"""

from __future__ import annotations

import os
import sys
import time

from pouch.cli import table, tty, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self, TextIO

PATIENCE_SECONDS = 1.0
"""What is over by then needs no line."""
REDRAW_SECONDS = 0.2
_FALLBACK = 80


class Meter:
    """The line. what: its text; total: bytes that will have passed, 0 where nobody knows."""

    def __init__(
        self, what: str, total: int = 0, *, out: TextIO | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._total = total
        self._out = out or sys.stderr
        self._live = tty.is_terminal(self._out.fileno()) and os.environ.get("TERM", "") not in {"", "dumb"}
        self._now = now
        self._began = now()
        self._passed = 0
        self._drawn_at: float | None = None

    def __repr__(self) -> str:
        return f"<Meter {self._what} {self._passed}/{self._total}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def over(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces, counted as they pass; the line is gone when they end."""
        try:
            for piece in pieces:
                yield piece
                self._passed += len(piece)
                self.tick()
        finally:
            self.clear()

    def tick(self) -> None:
        """Draw it, when it is time to."""
        now = self._now()
        last = self._drawn_at
        if not self._live or now - self._began < PATIENCE_SECONDS or (last is not None and now - last < REDRAW_SECONDS):
            return
        self._drawn_at = now
        columns = (tty.size() or (0, _FALLBACK))[1]
        self._out.write(f"\r\x1b[2K{table.cut(self.line(now - self._began), max(columns - 1, 1))}\r")
        self._out.flush()

    def line(self, seconds: float) -> str:
        """`Sending busybox.tar: 12MB/80MB 4.1MB/s 17s left`, or `Stopping web: 4s`."""
        parts = [f"{table.clean(self._what)}:"]
        if self._passed:
            size = units.decimal_size(self._passed)
            parts.append(f"{size}/{units.decimal_size(self._total)}" if self._total else size)
            speed = self._passed / seconds
            parts.append(f"{units.decimal_size(speed)}/s")
            if self._total > self._passed:
                parts.append(f"{units.short_duration((self._total - self._passed) / speed)} left")
        else:
            parts.append(units.short_duration(seconds))
        return " ".join(parts)

    def clear(self) -> None:
        """Take it away: something else is to stand there."""
        if self._drawn_at is not None:
            self._out.write("\x1b[2K\r")
            self._out.flush()
            self._drawn_at = None
