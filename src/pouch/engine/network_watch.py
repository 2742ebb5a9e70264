"""While the daemon lives: rules that somebody flushed are put back, and a name service that has ended is started again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

from pouch.engine import equipment as tools
from pouch.engine import shelf, tasks, wiring
from pouch.network import firewall
from pouch.spec import errors

log = logging.getLogger(__name__)

REFRESH = 10.0
"""Seconds after which the name service learns of other servers of the host's."""
_PAUSE = 0.05
"""Seconds between two repairs: somebody who writes rules all the time gets no more of this daemon's than that."""


class Watch:
    """Waits on the kernel's news of rules and on the end of the name service's program. `close` must be called."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._tasks = tasks.Tasks()
        self._news = asyncio.Event()
        self._monitor: firewall.Monitor | None = None
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on."""
        loop = asyncio.get_running_loop()
        try:
            self._monitor = self._equipment.firewall.monitor()
        except errors.PouchError as error:
            log.warning("changes of rules by others will not be noticed: %s", error)
        else:
            loop.add_reader(self._monitor.fileno(), self._news.set)
            self._tasks.spawn(self._repair(), "rules")

        def served() -> None:
            loop.call_soon_threadsafe(self._follow)

        self._equipment.served = served
        self._follow()

    async def close(self) -> None:
        """No more."""
        self._equipment.served = lambda: None
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor = None
        await self._tasks.close()

    # -- rules --------------------------------------------------------------------------------------------------------

    async def _repair(self) -> None:
        assert self._monitor is not None
        pools = self._equipment.pools
        while True:
            await self._news.wait()
            self._news.clear()
            changed = self._monitor.read()
            try:
                if firewall.News.OURS in changed and await pools.fs(self._equipment.firewall.ensure):
                    log.warning("the rules of this daemon were changed by somebody else, and are put back")
                if firewall.News.OTHERS in changed:
                    await pools.fs(self._equipment.links.open_way)
            except (errors.PouchError, OSError) as error:
                log.warning("rules could not be put back: %s", error)
            await self._equipment.clock.sleep(_PAUSE)

    # -- names --------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Somebody is served: there is a program to look after."""
        if self._following is None or self._following.done():
            self._following = self._tasks.spawn(self._follow_program(), "name service")

    async def _follow_program(self) -> None:
        pools, names = self._equipment.pools, self._equipment.names
        while (pidfd := await pools.fs(names.watch)) is not None:
            try:
                await self._ended(pidfd)
            finally:
                os.close(pidfd)
            await self.sync()

    async def _ended(self, pidfd: int) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(pidfd, ended.set)
        try:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), REFRESH)
                with contextlib.suppress(errors.PouchError):
                    await self._equipment.pools.fs(self._equipment.names.refresh)
        finally:
            loop.remove_reader(pidfd)

    async def sync(self) -> None:
        """Have the name service know all containers that run, and no others."""
        running = {one.id: one for one in self._shelf if one.running}
        entries = [wiring.named(self._equipment, one.record) for one in running.values()]
        pools = self._equipment.pools
        missing = await pools.fs(self._equipment.names.sync, [entry for entry in entries if entry.members])
        for id_ in missing:
            try:
                await pools.fs(wiring.serve, self._equipment, running[id_].record)
            except (errors.PouchError, OSError) as error:
                log.warning("container %s: its name service could not be put back: %s", id_[:12], error)
