"""Files and directories watched from the loop: one inotify instance per loop, however many look.

It stays open as long as its loop lives: the kernel lets close(2) of an instance that had watches wait for a grace period
(5 to 20 ms measured), while removing a single watch costs microseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Iterator

from pouch.kernel import inotify
from pouch.spec import errors

_MASK = (
    inotify.MODIFY
    | inotify.ATTRIBUTES
    | inotify.CLOSE_WRITE
    | inotify.MOVED_TO
    | inotify.CREATE
    | inotify.DELETE_SELF
    | inotify.MOVE_SELF
)
"""One mask for all: an inode has one watch number, whoever asks."""

_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def changes(path: str, event: asyncio.Event) -> Iterator[None]:
    """Set `event` whenever something happened to this inode or in this directory; the caller clears it.

    What happened is not told: look again. Raises KernelError (ENOENT; ENOSPC where the user has no watches left).
    """
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = _Hub(loop)
    number = hub.add(path, event)
    try:
        yield
    finally:
        hub.remove(number, event)


class _Hub:
    """The instance of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._inotify = inotify.Inotify()
        self._events: dict[int, set[asyncio.Event]] = {}
        loop.add_reader(self._inotify.fileno(), self._read)
        weakref.finalize(loop, self._inotify.close)  # and nothing here refers to the loop, so that it can go

    def add(self, path: str, event: asyncio.Event) -> int:
        """Set `event` at each change; the watch's number."""
        number = self._inotify.add(path, _MASK)
        self._events.setdefault(number, set()).add(event)
        return number

    def remove(self, number: int, event: asyncio.Event) -> None:
        """Undo `add`."""
        events = self._events.get(number)
        if events is None:  # the kernel ended the watch with its inode, or the number is another's by now
            return
        events.discard(event)
        if not events:
            del self._events[number]
            with contextlib.suppress(errors.KernelError):
                self._inotify.remove(number)

    def _read(self) -> None:
        for happened in self._inotify.read():
            if happened.mask & inotify.OVERFLOW:
                for events in self._events.values():
                    _set(events)
                continue
            _set(self._events.get(happened.watch, set()))
            if happened.mask & inotify.IGNORED:
                self._events.pop(happened.watch, None)


def _set(events: set[asyncio.Event]) -> None:
    for event in events:
        event.set()
