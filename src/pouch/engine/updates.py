"""Changes of containers and of the daemon while they run (see `facade.UpdatesFacade`).

What runs is changed first: where its runtime refuses, the record says what it said before.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import dataclasses
import io
import logging
import os
import tarfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from pouch.engine import create, daemon_change, files, groups, lifecycle, limits, shelf
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine.specbuild import resources
from pouch.kernel import cgroup
from pouch.rich import plan as rich_plan
from pouch.rich import seeds
from pouch.spec import change, container, errors

log = logging.getLogger(__name__)

_FIXED = (
    "memory_swappiness",
    "oom_kill_disable",
    "blkio_weight_device",
    "blkio_read_bps",
    "blkio_write_bps",
    "blkio_read_iops",
    "blkio_write_iops",
)
"""Limits that Docker's update does not know either."""


class Updates:
    """The facade's updates."""

    def __init__(
        self,
        equipment: tools.Equipment,
        containers: shelf.Shelf,
        life: lifecycle.Lifecycle,
        container_files: files.Files,
    ) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._life = life
        self._files = container_files
        self._lock = asyncio.Lock()

    async def update(self, ref: str, wanted: change.ContainerChange) -> builtins.list[str]:
        """See the facade."""
        limits.check(wanted.resources, update=True)
        limits.check_host(wanted.resources, self._equipment.host)
        one = self._shelf.get(ref)
        async with one.lock:
            if one.removed or one.record.state.status in (container.Status.REMOVING, container.Status.DEAD):
                raise errors.Conflict(
                    f'Cannot update container {one.id}: container is marked for removal and cannot be "update"'
                )
            try:
                changed(one.record, wanted)
            except errors.InvalidInput as error:
                raise errors.InvalidInput(
                    f"Cannot update container {one.id}: {error.message}", hint=error.hint
                ) from None
            warnings = await self._limit(one, wanted.resources) if wanted.limits else []
            # Of the record as it is by now: its end may have been noted meanwhile.
            await self._shelf.note(one, changed(one.record, wanted))
            self._life.publish(one.record, "update")
        if wanted.env:
            warnings += await self._tell_sessions(one)
        return warnings

    async def _limit(self, one: shelf.Container, wanted: container.Resources) -> builtins.list[str]:
        """Change the limits of one that runs; warnings, also of one that does not. Nothing has changed where it raises."""
        before = one.record.config.host.resources
        after = limits.merged(before, wanted)
        document, _ = resources.limits(after, self._equipment.host, {})
        warnings = resources.limits(wanted, self._equipment.host, {})[1]
        run = one.record.run
        if not one.running or run is None:
            return warnings
        try:
            await self._apply(one, run, _touched(document, wanted), after, wanted)
        except errors.PouchError as error:
            if not one.running:
                return warnings
            with contextlib.suppress(errors.PouchError):
                old = resources.limits(before, self._equipment.host, {})[0]
                await self._apply(one, run, _touched(old, wanted), before, wanted)
            error.message = f"Cannot update container {one.id}: {error.message}"
            raise
        return warnings

    async def _apply(
        self,
        one: shelf.Container,
        run: records.Run,
        document: dict[str, object],
        after: container.Resources,
        wanted: container.Resources,
    ) -> None:
        controllers = self._equipment.host.controllers
        freed = [name for name in _freed(wanted, after) if name in controllers]
        unified = cgroup.mode() is cgroup.Mode.V2
        if unified:
            document = _without_limits(document, freed)
        if document:
            await self._equipment.runtime(run.runtime).update(one.id, document)
        if not unified:  # where crun cannot say it, and nobody brings the limit back
            for name in freed:
                await self._equipment.pools.fs(cgroup.unlimit, groups.path(run), name)

    async def _tell_sessions(self, one: shelf.Container) -> builtins.list[str]:
        """Write the environment anew for sessions of a machine that runs; warnings."""
        if not one.running or one.record.config.rich is None:
            return []
        rootfs = self._equipment.paths.rootfs(one.id)
        try:
            found, warnings = await self._equipment.pools.fs(seeds.sessions, rootfs, one.record.env)
            if found:
                await self._files.put(one.id, "/", _archive(found, self._equipment.clock.now_ns() // 10**9))
        except errors.PouchError as error:
            return [f"login shells, cron jobs and ssh sessions see it from the next start on: {error.message}"]
        return [*warnings]

    async def update_daemon(self, wanted: change.DaemonChange) -> None:
        """See the facade."""
        daemon_change.check(wanted)
        equipment = self._equipment
        async with self._lock:
            await equipment.pools.db(
                daemon_change.keep, equipment.database, equipment.configured, equipment.configured_level, wanted
            )
            names = use(equipment, wanted)
        if names:
            log.info("changed by a client: %s", ", ".join(names))
        equipment.events.publish("daemon", "reload", equipment.daemon_id, {"name": os.uname().nodename})


def use(equipment: tools.Equipment, wanted: change.DaemonChange) -> list[str]:
    """Let a change of the daemon's configuration be in force; the names of what is different now."""
    equipment.settings, names = daemon_change.applied(equipment.settings, wanted)
    equipment.registries.use(equipment.settings.of_registries())
    if wanted.log_level not in (None, daemon_change.log_level()):
        names.append("log_level")
        daemon_change.use_log_level(wanted.log_level)
    return [name.replace("_", "-") for name in names]


def changed(record: records.Record, wanted: change.ContainerChange) -> records.Record:
    """The record with these changes. Raises InvalidInput in Docker's sentences."""
    config = record.config
    host = config.host
    if wanted.limits:
        for name in _FIXED:
            if getattr(wanted.resources, name) != getattr(container.Resources(), name):
                raise errors.InvalidInput(f"{name.replace('_', ' ')} cannot be changed", hint="make the container anew")
        host = dataclasses.replace(host, resources=limits.merged(host.resources, wanted.resources))
    if wanted.restart_policy is not None:
        if host.auto_remove and wanted.restart_policy.name != "no":
            raise errors.InvalidInput(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        host = dataclasses.replace(host, restart_policy=wanted.restart_policy)
    return dataclasses.replace(
        record,
        config=dataclasses.replace(
            config,
            host=host,
            env=create.overridden(config.env, wanted.env),
            labels={**_without(config.labels, wanted.labels_removed), **wanted.labels},
        ),
        env=create.merged_env(record.env, wanted.env),
        labels={**_without(record.labels, wanted.labels_removed), **wanted.labels},
    )


def _without(labels: dict[str, str], names: Iterable[str]) -> dict[str, str]:
    names = frozenset(names)
    return {key: value for key, value in labels.items() if key not in names}


_PARTS = {
    "memory": ("memory", "memory_swap", "memory_reservation"),
    "cpu": (
        "nano_cpus cpu_shares cpu_quota cpu_period cpuset_cpus cpuset_mems cpu_realtime_period cpu_realtime_runtime".split()
    ),
    "pids": ("pids_limit",),
    "blockIO": ("blkio_weight",),
}


def _touched(document: dict[str, object], wanted: container.Resources) -> dict[str, object]:
    """The parts of `linux.resources` in which something is to change; whole: swap is counted from memory, quota from period."""
    nothing = container.Resources()
    return {
        part: document[part]
        for part, names in _PARTS.items()
        if part in document and any(getattr(wanted, name) != getattr(nothing, name) for name in names)
    }


def _freed(wanted: container.Resources, after: container.Resources) -> Iterator[str]:
    """Controllers whose limit, of tasks or of time, is taken away."""
    if wanted.pids_limit and after.pids_limit <= 0:
        yield "pids"
    if (wanted.cpu_quota or wanted.nano_cpus) and after.cpu_quota <= 0 and after.nano_cpus <= 0:
        yield "cpu"


def _without_limits(document: dict[str, object], freed: Iterable[str]) -> dict[str, object]:
    """For the runtime, which tells systemd: a limit of which that was not told comes back with its next daemon-reload."""
    found = dict(document)
    for name in freed:
        part = found.get(name, {})
        assert isinstance(part, dict)
        found[name] = {**part, ("limit" if name == "pids" else "quota"): -1}
    return found


async def _archive(found: Sequence[rich_plan.File], now: int) -> AsyncIterator[bytes]:
    """A tar of these files, root's. now: seconds since 1970."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in found:
            member = tarfile.TarInfo(file.path.lstrip("/"))
            member.size, member.mode, member.mtime = len(file.content), file.mode, now
            archive.addfile(member, io.BytesIO(file.content))
    yield buffer.getvalue()
