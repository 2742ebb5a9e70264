"""Ends what waits for a registry when it is no longer wanted, or takes too long: a thread shuts the sockets of such requests down.

A blocked connect, handshake, send or receive cannot look at an event; a shutdown of its socket wakes it up. The thread lives only while
requests are under way.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

PERIOD_SECONDS = 0.2
"""How often the events are looked at."""


class Watch:
    """One request and its sockets, from its beginning until its answer is read."""

    def __init__(self, watcher: Watcher, cancel: threading.Event | None, seconds: float) -> None:
        self._watcher = watcher
        self.cancel = cancel
        self._end = time.monotonic() + seconds if seconds else 0.0
        self._handles: list[socket.socket] = []

    @property
    def cancelled(self) -> bool:
        """Whether it is no longer wanted."""
        return self.cancel is not None and self.cancel.is_set()

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return self._end != 0.0 and time.monotonic() >= self._end

    def relax(self) -> None:
        """It may take as long as it likes from now on."""
        self._end = 0.0

    def add(self, handle: socket.socket) -> None:
        """A connection of it. The caller keeps it open, and closes it after `end`."""
        self._handles.append(handle)
        if self.cancelled or self.late:
            self.cut()

    def cut(self) -> None:
        """Shut all its connections down; whoever waits for one of them wakes up with an error."""
        for handle in list(self._handles):
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """It is over; the connections may serve others."""
        self._watcher.forget(self)
        self._handles.clear()


class Watcher:
    """All requests of a daemon that are under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None

    def watch(self, cancel: threading.Event | None, seconds: float = 0.0) -> Watch:
        """Begin to watch a request, which has so many seconds (0: for ever) until `end` or `relax`."""
        made = Watch(self, cancel, seconds)
        with self._lock:
            self._watches.add(made)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="registry-watch", daemon=True)
                self._thread.start()
        return made

    def forget(self, watch: Watch) -> None:
        """Watch it no longer."""
        with self._lock:
            self._watches.discard(watch)

    def _run(self) -> None:
        rest = threading.Event()
        while True:
            rest.wait(PERIOD_SECONDS)
            with self._lock:
                if not self._watches:
                    self._thread = None
                    return
                for watch in self._watches:
                    if watch.cancelled or watch.late:
                        watch.cut()
