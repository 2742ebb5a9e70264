"""Soon after an image was kept it is on the disk too (decision 0022): nobody waits for that, and one flush serves all that came meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from pouch.engine import equipment as tools
from pouch.spec import errors

log = logging.getLogger(__name__)

SOON = 5.0
"""Seconds from when an image was kept: pulls that follow one another are flushed together."""
AGAIN = 60.0
"""Seconds until a flush that failed is tried again."""


class Flusher:
    """Flushes in the background while the daemon lives. `close` must be called."""

    def __init__(self, equipment: tools.Equipment) -> None:
        self._equipment = equipment
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch for images that are kept; what the last daemon left unflushed comes first."""
        loop = asyncio.get_running_loop()
        self._equipment.images.kept = lambda: loop.call_soon_threadsafe(self._wanted.set)
        self._wanted.set()
        self._task = asyncio.create_task(self._run(), name="flush")

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            await self._equipment.clock.sleep(SOON)
            self._wanted.clear()
            if not await self.flush():
                await self._equipment.clock.sleep(AGAIN)
                self._wanted.set()

    async def flush(self) -> bool:
        """Flush what is not on the disk; whether that was possible."""
        try:
            await self._equipment.pools.background(self._equipment.images.flush)
        except (errors.PouchError, OSError) as error:
            log.warning("images could not be flushed to the disk: %s", error)
            return False
        return True

    async def close(self) -> None:
        """Stop watching. What is not flushed stays marked."""
        self._equipment.images.kept = lambda: None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
