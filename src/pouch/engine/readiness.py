"""How far a rich container's boot has come: what its init says of itself, and what it answers when it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from pouch.engine import boot, events, groups, shelf
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine import tasks as beside
from pouch.engine.specbuild import build, capabilities
from pouch.rich import plan as rich_plan
from pouch.runtime import execs
from pouch.spec import container, errors

log = logging.getLogger(__name__)

_STATE_SECONDS = 120.0
_ASK_AGAIN_SECONDS = 0.2


class Readiness:
    """Listens to the inits and notes what they say."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, tasks: beside.Tasks) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._tasks = tasks

    def listen(self, one: shelf.Container, owner: int) -> boot.NotifySocket:
        """From before the start on. owner: host id of the container's root. The caller closes it."""
        one.ready = False
        one.handed_over = asyncio.get_running_loop().create_future()
        path = f"{self._equipment.paths.run_dir(one.id)}/{rich_plan.NOTIFY_SOCKET}"
        return boot.NotifySocket(path, owner, lambda message: self._notified(one, message))

    def resume(self, one: shelf.Container) -> boot.NotifySocket | None:
        """Listen again to an init that outlived the daemon."""
        run = one.record.run
        if one.record.config.rich is None or run is None:
            return None
        with contextlib.suppress(OSError):
            return self.listen(one, run.user_namespace_base or 0)
        return None

    def learn(self, one: shelf.Container) -> None:
        """Find out whether the machine runs as it should, in a task of its own."""
        if one.boot_watch is None or one.boot_watch.done():
            one.boot_watch = self._tasks.spawn(self._learn(one), f"boot {one.id[:12]}")

    def _notified(self, one: shelf.Container, message: dict[str, str]) -> None:
        if message.get("X_POUCH_STAGE") == "init" and one.handed_over is not None and not one.handed_over.done():
            one.handed_over.set_result(None)
        if message.get("READY") == "1":
            one.ready = True
            if one.running:
                self.learn(one)

    async def _learn(self, one: shelf.Container) -> None:
        run = one.record.run
        if run is None:
            return
        found = await self._state_of_services(one, run) if run.state_command else container.Boot.RUNNING
        if one.running and one.record.run is run:
            one.booted.set()
            await self._shelf.note(one, one.record.with_state(boot=found))
            events.of_container(self._equipment.events, one.record, f"boot: {found.value}")

    async def _state_of_services(self, one: shelf.Container, run: records.Run) -> container.Boot:
        """Ask the init until it has come to an end with its start: the last jobs may still be in its queue when it says READY."""
        document = {
            "args": list(run.state_command),
            "env": [build.PATH],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "capabilities": capabilities.document(frozenset(), uid=0),
        }
        runtime, clock = self._equipment.runtime(run.runtime), self._equipment.clock
        deadline = clock.monotonic() + _STATE_SECONDS
        while clock.monotonic() < deadline:
            try:
                group = await self._equipment.pools.fs(groups.of_init, run)
                said = await execs.output(runtime, one.id, document, limit=256, cgroup=group)
            except errors.PouchError as error:
                log.warning("container %s: %s: %s", one.id[:12], " ".join(run.state_command), error)
                break
            found = boot.STATES.get(said.decode(errors="replace").strip())
            if found is not None:
                return found
            await clock.sleep(_ASK_AGAIN_SECONDS)
        return container.Boot.RUNNING
