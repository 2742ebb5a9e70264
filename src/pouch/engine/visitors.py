"""The program that containers' files are visited by (`image.visiting`): there from the first visit on, and gone a while after the last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from pouch.engine import equipment as tools
from pouch.image import visiting

IDLE_SECONDS = 60.0
"""That the program stays without a visit: copying goes in bursts, and its memory is worth more than its start then."""


class Visitors:
    """Counts visits. For the event loop's thread."""

    def __init__(self, equipment: tools.Equipment, program: visiting.Visitors | None = None) -> None:
        self._equipment = equipment
        self._program = program or visiting.Visitors()
        self._visits = 0
        self._leaving: asyncio.Task[None] | None = None

    async def start(self, begin: Callable[[visiting.Visitors], visiting.Visit]) -> visiting.Visit:
        """A visit that `begin` starts, in a thread; `left` is to be called when its process has ended. Raises what `begin` does."""
        self._visits += 1
        self._stay()
        beginning = asyncio.create_task(self._equipment.pools.streams(begin, self._program))
        try:
            return await asyncio.shield(beginning)
        except BaseException:
            try:
                await asyncio.wait((beginning,))  # given up: what the visit needs stays until it is gone
                if beginning.exception() is None:
                    beginning.result().kill()
                    await self._equipment.pools.streams(beginning.result().end)
            finally:
                self.left()
            raise

    def left(self) -> None:
        """A visit is over."""
        self._visits -= 1
        if not self._visits:
            self._stay()
            self._leaving = asyncio.create_task(self._leave(), name="visitors leave")

    async def close(self) -> None:
        """End the program: no visit begins any more."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        await self._equipment.pools.streams(self._program.close)

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    async def _leave(self) -> None:
        await self._equipment.clock.sleep(IDLE_SECONDS)
        await self._equipment.pools.background(self._program.close)
