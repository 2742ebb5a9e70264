"""A loop of epoll(7) with timers: what a small program needs of one. Callbacks must not block; what one raises ends nothing but it."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
_EVENTS = 64
"""Descriptors served in one turn."""
_FEW = 512
"""Timers that are not worth sweeping."""


class Timer:
    """A call in the future."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """It will not be called; idempotent."""
        self.callback = None


class Loop:
    """Descriptors and timers. failed: told of what a callback raised; clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.failed: Callable[[Exception], None] = lambda error: None
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._swept = _FEW
        self._numbers = itertools.count()
        self._stopped = False

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call back with the events that are there, as long as they are; EPOLLHUP and EPOLLERR always are among them."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def change(self, fd: int, events: int) -> None:
        """Watch for other events; 0: for errors only."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Before it is closed: somebody else may hold the same open file."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call it once, then."""
        timer = Timer(callback)
        if len(self._timers) >= 2 * self._swept:  # most are cancelled long before they are due
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._swept = max(_FEW, len(self._timers))
        heapq.heappush(self._timers, (self.clock() + seconds, next(self._numbers), timer))
        return timer

    def stop(self) -> None:
        """Return from `run` after this turn."""
        self._stopped = True

    def run(self) -> None:
        """Until it is stopped."""
        while not self._stopped:
            self.turn()

    def turn(self) -> None:
        """Wait for one thing at least, and do what is due."""
        wait = max(0.0, self._timers[0][0] - self.clock()) if self._timers else -1.0
        for fd, events in self._epoll.poll(wait, _EVENTS):
            callback = self._callbacks.get(fd)  # gone, where one of this turn has closed it
            if callback is not None:
                self._call(lambda callback=callback, events=events: callback(events))  # type: ignore[misc]
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            due = heapq.heappop(self._timers)[2].callback
            if due is not None:
                self._call(due)

    def close(self) -> None:
        """Close what is its own."""
        self._epoll.close()

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - a stranger's packet must not end the service of all others
            self.failed(error)
