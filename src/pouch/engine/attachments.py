"""Streams of a container, also of one that has not begun: a client attaches first and starts then, so that it misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pouch.engine import views
from pouch.spec import errors

Connect = Callable[[], Awaitable[views.Stdio]]


class Attachments:
    """Those who wait for a container's next start."""

    def __init__(self) -> None:
        self._waiting: list[Pending] = []

    def add(self) -> Pending:
        """One more."""
        made = Pending(self._waiting)
        self._waiting.append(made)
        return made

    async def connect(self, connect: Connect) -> None:
        """The monitor is there, the process has not begun: connect everybody."""
        waiting, self._waiting[:] = list(self._waiting), []
        for one in waiting:
            try:
                one.connected(await connect())
            except (errors.PouchError, OSError):
                one.abandon()

    def abandon(self) -> None:
        """There will be no process: their streams end."""
        waiting, self._waiting[:] = list(self._waiting), []
        for one in waiting:
            one.abandon()


class Pending:
    """A `Stdio` whose process is still to come."""

    def __init__(self, waiting: list[Pending]) -> None:
        self._waiting = waiting
        self._stdio: asyncio.Future[views.Stdio | None] = asyncio.get_running_loop().create_future()

    def connected(self, stdio: views.Stdio) -> None:
        """The process's streams."""
        if self._stdio.done():  # the client left meanwhile
            self._closing = asyncio.ensure_future(stdio.close())
        else:
            self._stdio.set_result(stdio)

    def abandon(self) -> None:
        """No process will come."""
        if not self._stdio.done():
            self._stdio.set_result(None)

    async def read(self) -> tuple[int, bytes] | None:
        """See `views.Stdio`."""
        stdio = await asyncio.shield(self._stdio)
        return await stdio.read() if stdio is not None else None

    async def write(self, data: bytes) -> None:
        """See `views.Stdio`; waits for the process."""
        stdio = await asyncio.shield(self._stdio)
        if stdio is not None:
            await stdio.write(data)

    async def write_eof(self) -> None:
        """See `views.Stdio`."""
        stdio = await asyncio.shield(self._stdio)
        if stdio is not None:
            await stdio.write_eof()

    async def close(self) -> None:
        """See `views.Stdio`."""
        if self in self._waiting:
            self._waiting.remove(self)
        if not self._stdio.done():
            self._stdio.set_result(None)
            return
        stdio = self._stdio.result()
        if stdio is not None:
            await stdio.close()
