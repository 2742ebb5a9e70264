"""A process's own ends of its streams: pipes, or the master of its terminal, as `engine.views.Stdio` wants them."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from typing import ClassVar

from pouch.runtime import child

READ_SIZE = 128 << 10
"""More than a pipe of ours can hold (64 KiB), so more than what is unread of a process's own output at its end."""
LEFT_OPEN = 128
"""Ended processes whose children's output is still read and thrown away; of one more, the one that ended first is cut off."""


class PipeStdio:
    """Streams of a process that is watched by a child of ours; the descriptors are owned, and non-blocking from now on.

    Whoever does not read holds the process up (back-pressure). Detached (`close`), its output is read and thrown away, so
    that neither a full pipe stops it nor a broken one kills it; the same for what its own children still write after its
    end, for the last `LEFT_OPEN` of such processes: a container that leaves children behind must not use up our descriptors.
    Reading ends when the process has ended and all it had written is read, whoever else may still hold the pipes.
    """

    _left_open: ClassVar[dict[PipeStdio, None]] = {}
    """Those of ended processes, in the order of their ends."""

    def __init__(self, outputs: Mapping[int, int], stdin: int, process: child.Child, *, tty: bool) -> None:
        """outputs: descriptor -> stream (1 stdout, 2 stderr). stdin: descriptor or -1; with a terminal the same as stdout's."""
        self._loop = asyncio.get_running_loop()
        self._outputs = dict(outputs)
        self._stdin = stdin
        self._process = process
        self._tty = tty
        self._detached = False
        self._woken = asyncio.Event()
        self._budget = READ_SIZE * len(outputs)
        for fd in {*outputs, stdin} - {-1}:
            os.set_blocking(fd, False)

    @property
    def terminal(self) -> int:
        """The master of the terminal while it is open, else -1."""
        return next(iter(self._outputs), -1) if self._tty else -1

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece, or None when the process has ended and everything is read."""
        while self._outputs and not self._detached:
            ended = self._process.ended  # asked before reading: what it wrote before its end is there by then
            self._woken.clear()
            for fd, stream in list(self._outputs.items()):
                data = self._take(fd)
                if data and fd in self._outputs:
                    self._outputs[fd] = self._outputs.pop(fd)  # the other stream's turn next
                if data and self._in_budget(data, ended=ended):
                    return stream, data
            if ended:
                await self.close()
            elif self._outputs:
                await self._something()
        await self._process.wait()
        return None

    def _in_budget(self, data: bytes, *, ended: bool) -> bool:
        """Whether this can be of the process itself: others that hold its pipes could write for ever after its end."""
        if ended:
            self._budget -= len(data)
        return self._budget >= 0

    async def write(self, data: bytes) -> None:
        """Send to its stdin, waiting while it does not read; ignored when nobody reads any more."""
        view = memoryview(data)
        while view and self._stdin >= 0:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await self._writable()
            except OSError:  # EPIPE; EIO of a terminal
                await self.write_eof()

    async def write_eof(self) -> None:
        """Close its stdin. A terminal has no such end: there ctrl-d is typed."""
        if self._stdin >= 0 and not self._tty:
            self._loop.remove_writer(self._stdin)
            os.close(self._stdin)
        self._stdin = -1

    async def close(self) -> None:
        """Detach; the process goes on. Idempotent."""
        if self._detached:
            return
        self._detached = True
        self._woken.set()
        await self.write_eof()
        if self._tty and self._process.ended:
            self.hang_up()
        for fd in self._outputs:
            self._loop.add_reader(fd, self._take, fd)
        if self._outputs:
            self._process.on_end(self.hang_up if self._tty else self._leave_open)

    def _leave_open(self) -> None:
        if self._outputs:
            self._left_open[self] = None
            if len(self._left_open) > LEFT_OPEN:
                next(iter(self._left_open)).hang_up()

    def _take(self, fd: int) -> bytes:
        """What is there to read; the descriptor is forgotten at its end."""
        try:
            data = os.read(fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal without any process left
                raise
            data = b""
        if not data:
            self._forget(fd)
        return data

    def _forget(self, fd: int) -> None:
        if self._outputs.pop(fd, None) is None:
            return
        self._loop.remove_reader(fd)
        if self._tty:
            self._stdin = -1
            self._loop.remove_writer(fd)
        os.close(fd)
        if not self._outputs:
            self._left_open.pop(self, None)

    def hang_up(self) -> None:
        """Close the outputs of one that was detached: who still writes finds nobody, a terminal's processes get SIGHUP. Idempotent."""
        for fd in list(self._outputs):
            self._forget(fd)

    async def _something(self) -> None:
        """Wait for output, the process's end, or being detached."""
        for fd in self._outputs:
            self._loop.add_reader(fd, self._woken.set)
        self._process.on_end(self._woken.set)
        try:
            await self._woken.wait()
        finally:
            self._process.not_on_end(self._woken.set)
            for fd in () if self._detached else self._outputs:
                self._loop.remove_reader(fd)

    async def _writable(self) -> None:
        """Wait until stdin takes more, or has been closed; at the process's end it is."""
        fd, woken = self._stdin, asyncio.Event()
        self._loop.add_writer(fd, woken.set)
        self._process.on_end(woken.set)
        try:
            await woken.wait()
        finally:
            self._process.not_on_end(woken.set)
            if self._stdin == fd:
                self._loop.remove_writer(fd)
        if self._process.ended:
            await self.write_eof()
