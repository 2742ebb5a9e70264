"""Fifos through which an app in a container tells the host that it acts: seen when it happens, not when somebody asks."""

from __future__ import annotations

import os
import select
import shutil
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bench.failure import BenchError


class Markers:
    """A directory of fifos to bind into a container, and a thread that notes when each is written to.

    Made anew for each round, as a fifo that was used once reports a hang-up. The thread is there because the command that starts the
    container is waited for at the same time.
    """

    def __init__(self, directory: str, names: Sequence[str]) -> None:
        self.directory = directory
        os.makedirs(directory)
        os.chmod(directory, 0o755)
        self._fifos: dict[int, str] = {}
        for name in names:
            os.mkfifo(f"{directory}/{name}")
            os.chmod(f"{directory}/{name}", 0o666)  # the writer may be any id of a user namespace
            self._fifos[os.open(f"{directory}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)] = name
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._seen: dict[str, tuple[float, str]] = {}
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="markers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.eventfd_write(self._end, 1)
        self._thread.join()
        for descriptor in (*self._fifos, self._end):
            os.close(descriptor)
        shutil.rmtree(self.directory)

    def until(self, name: str, *, timeout: float) -> tuple[float, str]:
        """When (perf_counter) the app wrote into this fifo, and what. Raises BenchError when it does not."""
        with self._changed:
            if not self._changed.wait_for(lambda: name in self._seen, timeout):
                raise BenchError(f"the app did not write its marker {name!r} in {timeout:.0f} s")
            return self._seen[name]

    def _watch(self) -> None:
        waiting = select.poll()
        for descriptor in (*self._fifos, self._end):
            waiting.register(descriptor, select.POLLIN)
        while True:
            ready = waiting.poll()
            now = time.perf_counter()
            for descriptor, _ in ready:
                if descriptor == self._end:
                    return
                # The writer's first bytes may come a moment after its open, which is no event; a hang-up comes with the last bytes.
                waiting.unregister(descriptor)
                with self._changed:
                    self._seen[self._fifos[descriptor]] = (
                        now,
                        os.read(descriptor, 100).decode(errors="replace").strip(),
                    )
                    self._changed.notify_all()
