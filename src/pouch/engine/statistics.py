"""What containers use (see `facade.StatisticsFacade`): each container is looked at once a second, however many clients watch it.

A meter belongs to one container while somebody watches; with the last of them it goes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from pouch.engine import clock, groups, shelf, views
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.kernel import cgroup_stats, process
from pouch.spec import errors, network, sample

INTERVAL = 1.0
"""Seconds between two looks, as with Docker."""


class Statistics:
    """The facade's statistics."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._meters: dict[str, _Meter] = {}

    async def watch(self, ref: str, *, stream: bool = True, one_shot: bool = False) -> AsyncIterator[views.Sample]:
        """See the facade."""
        one = self._shelf.get(ref)
        if not stream and not one.running:
            return _of(views.Sample(id=one.id, name=one.record.name))
        return self._watch(one, stream=stream, one_shot=one_shot)

    async def _watch(self, one: shelf.Container, *, stream: bool, one_shot: bool) -> AsyncIterator[views.Sample]:
        before: sample.Reading | None = None
        skipped = stream or one_shot
        with self._meter(one) as meter:
            place = 0
            while not one.removed:
                place, now = await meter.after(place)
                if one.removed:
                    return
                if skipped or now is None:
                    yield views.Sample(id=one.id, name=one.record.name, now=now, before=before if now else None)
                    if not stream:
                        return
                skipped, before = True, now

    @contextlib.contextmanager
    def _meter(self, one: shelf.Container) -> Iterator[_Meter]:
        meter = self._meters.get(one.id)
        if meter is None:
            meter = self._meters[one.id] = _Meter(self._equipment, one)
        meter.watchers += 1
        try:
            yield meter
        finally:
            meter.watchers -= 1
            if not meter.watchers:
                self._meters.pop(one.id, None)
                meter.stop()


class _Meter:
    """Looks at one container while it is watched."""

    def __init__(self, equipment: tools.Equipment, one: shelf.Container) -> None:
        self.watchers = 0
        self._equipment = equipment
        self._one = one
        self._count = 0
        self._latest: sample.Reading | None = None
        self._changed = asyncio.Condition()
        self._task = asyncio.create_task(self._run(), name=f"statistics {one.id[:12]}")

    async def after(self, place: int) -> tuple[int, sample.Reading | None]:
        """The latest look, if it is not the one with this number; else the next. Its number."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._count > place or self._task.done())
        if self._task.done() and not self._task.cancelled() and (failure := self._task.exception()) is not None:
            raise failure
        return self._count, self._latest

    def stop(self) -> None:
        """Nobody watches any more."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while not self._one.removed:
                await self._look()
                await self._equipment.clock.sleep(INTERVAL)
        finally:
            await self._tell()

    async def _look(self) -> None:
        run, config = self._one.record.run, self._one.record.config
        reading = None
        if self._one.running and run is not None:
            shared = network.mode(config.host.network_mode)[0] is network.Mode.HOST
            time = clock.rfc3339(self._equipment.clock.now_ns())
            with contextlib.suppress(errors.NotFound):  # it ends just now
                reading = await self._equipment.pools.fs(read, run, time, with_network=not shared)
        self._count += 1
        self._latest = reading
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def read(run: records.Run, time: str, *, with_network: bool) -> sample.Reading:
    """Look once. Blocking. Raises NotFound where the container has ended."""
    group = groups.path(run)  # where the limits are, and with them the times that it was held back
    memory, unified = cgroup_stats.memory(group)
    reading = sample.Reading(
        time=time,
        cpu=cgroup_stats.cpu(group),
        memory=memory,
        pids=cgroup_stats.pids(group),
        blocks=cgroup_stats.blocks(group),
        interfaces=cgroup_stats.interfaces(run.pid) if with_network else None,
        unified=unified,
    )
    if not process.is_alive(run.pid, run.pid_start):
        raise errors.NotFound(f"process {run.pid} is gone")
    return reading


async def _of(one: views.Sample) -> AsyncIterator[views.Sample]:
    yield one
