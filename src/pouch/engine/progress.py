"""Long blocking work in threads: its progress as a stream, a request's body as its input, its output as pieces of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Protocol

from pouch.engine import pools, views
from pouch.spec import errors

_AHEAD = 16
"""Pieces of an upload or of an answer that may wait for who takes them."""
SILENT_SECONDS = 10.0
"""That the client of an upload may send nothing while others wait for its thread."""
_LOOK_SECONDS = 0.5


class Telling(Protocol):
    """A Report that also takes what a program wants to know (see `views.Progress.aux`)."""

    def __call__(
        self, status: str, id: str = "", current: int = 0, total: int = 0, aux: Mapping[str, object] | None = None
    ) -> None:
        """One step."""


class Threads(Protocol):
    """A pool of `pools.Pools`."""

    def __call__(self, work: Callable[[Telling], None], report: Telling, /) -> Awaitable[None]:
        """Run work in one of its threads."""


class Jobs:
    """The long work of one daemon."""

    def __init__(self, threads: pools.Pools) -> None:
        self._pools = threads
        self._cancels: set[threading.Event] = set()
        self._running: set[asyncio.Task[None]] = set()

    def run(
        self,
        work: Callable[[Telling], None],
        feeding: asyncio.Task[None] | None = None,
        *,
        threads: Threads | None = None,
    ) -> views.ProgressStream:
        """Run work in a thread (of `pools.long`); what it reports comes out. The work goes on when nobody listens any more."""
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[views.Progress | None] = asyncio.Queue()

        def report(
            status: str, id: str = "", current: int = 0, total: int = 0, aux: Mapping[str, object] | None = None
        ) -> None:
            loop.call_soon_threadsafe(steps.put_nowait, views.Progress(status, id, current, total, aux))

        async def run() -> None:
            try:
                await (threads or self._pools.long)(work, report)
            finally:
                if feeding is not None:
                    feeding.cancel()
                steps.put_nowait(None)

        running = self._begun(run(), "image work")

        async def stream() -> AsyncIterator[views.Progress]:
            while (step := await steps.get()) is not None:
                yield step
            await running

        return stream()

    async def while_listened(
        self, work: Callable[[Telling, threading.Event], None], *, threads: Threads | None = None
    ) -> views.ProgressStream:
        """As `run`, for work that ends with who asked for it: the event is set when nobody listens any more, or the daemon stops.

        It begins when the first step is asked for.
        """

        async def stream() -> AsyncIterator[views.Progress]:
            cancel = threading.Event()
            self._cancels.add(cancel)
            try:
                async for step in self.run(lambda report: work(report, cancel), threads=threads):
                    yield step
            finally:
                cancel.set()
                self._cancels.discard(cancel)

        return stream()

    def output(self, work: Callable[[io.RawIOBase], None]) -> AsyncIterator[bytes]:
        """Run work in a thread that writes into a file; what it writes comes out. A write fails once nobody listens any more.

        It begins when the first piece is asked for, so that an answer nobody takes costs nothing.
        """

        async def stream() -> AsyncIterator[bytes]:
            outlet = _Outlet(asyncio.get_running_loop())
            self._cancels.add(outlet.cancel)

            def run() -> None:
                try:
                    work(outlet)
                finally:
                    outlet.end()

            running = self._begun(self._pools.streams(run), "image output")
            try:
                while piece := await outlet.take():
                    yield piece
                await running
            finally:
                outlet.cancel.set()
                outlet.leave()
                self._cancels.discard(outlet.cancel)

        return stream()

    async def close(self) -> None:
        """Give up what takes long, and wait for its end: it uses the database until then. The daemon stops."""
        for cancel in self._cancels:
            cancel.set()
        if self._running:
            await asyncio.wait(self._running)

    def _begun(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Work that goes on also when nobody waits for it."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            if not task.cancelled():
                task.exception()  # who left does not ask

        task.add_done_callback(ended)
        return task


class Upload(io.RawIOBase):
    """A request's body as a file for a thread: the loop feeds, the thread reads and waits.

    Where others wait for the thread (`crowded`), one whose client has been silent for `SILENT_SECONDS` is broken off.
    """

    def __init__(self, crowded: Callable[[], bool]) -> None:
        super().__init__()
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue()
        self._rest = b""
        self._ended = False
        self._room = asyncio.Semaphore(_AHEAD)
        self._loop = asyncio.get_running_loop()
        self._crowded = crowded
        self._came = self._loop.time()

    async def feed(self, chunks: AsyncIterator[bytes]) -> None:
        """Take all of the body; its failure is raised in the thread that reads."""
        try:
            async for chunk in chunks:
                if chunk:
                    self._came = self._loop.time()
                    await self._room.acquire()
                    self._pieces.put(chunk)
            self._pieces.put(b"")
        except BaseException as error:
            self._pieces.put(error)
            raise

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def readinto(self, buffer: object) -> int:
        """See io.RawIOBase."""
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if not self._rest and not self._ended:
            piece = self._awaited()
            self._loop.call_soon_threadsafe(self._room.release)
            if isinstance(piece, BaseException):
                self._ended = True
                raise OSError(os.strerror(5)) from piece
            self._rest, self._ended = piece, not piece
        count = min(len(target), len(self._rest))
        target[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def _awaited(self) -> bytes | BaseException:
        while True:
            try:
                return self._pieces.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self._crowded() and self._loop.time() - self._came > SILENT_SECONDS:
                    self._ended = True
                    raise OSError(
                        errno.ETIMEDOUT, f"nothing came for {SILENT_SECONDS:g} seconds, and others wait"
                    ) from None


class _Outlet(io.RawIOBase):
    """A file for a thread that writes an answer's body: the thread waits while too much is on its way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.cancel = threading.Event()
        self._loop = loop
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)

    def writable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def write(self, data: object) -> int:
        """See io.RawIOBase."""
        piece = bytes(data)  # type: ignore[call-overload]
        if not piece:
            return 0
        self._room.acquire()
        if self.cancel.is_set():
            self._room.release()  # who clears up by writing more must not wait for ever
            raise errors.Unavailable("the client has gone")
        self._put(piece)
        return len(piece)

    async def take(self) -> bytes:
        """The next piece; b"" at the end."""
        piece = await self._pieces.get()
        self._room.release()
        return piece

    def end(self) -> None:
        """Nothing more comes."""
        self._put(b"")

    def leave(self) -> None:
        """Wake the thread that may wait for room: nobody takes any more."""
        self._room.release()

    def _put(self, piece: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and who listened with it
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
