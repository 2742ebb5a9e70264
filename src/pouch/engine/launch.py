"""The way of a container from its record to a running init. Who calls it cleans up when it fails."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from dataclasses import dataclass

from pouch.engine import (
    boot,
    clock,
    create,
    furnish,
    groups,
    hooks,
    name_files,
    prepare,
    readiness,
    shelf,
    signals,
    views,
    volumes,
)
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.kernel import process
from pouch.rich import exit as rich_exit
from pouch.runtime import attach, exits, monitor
from pouch.spec import errors
from pouch.store import db


@dataclass(frozen=True, slots=True)
class Place:
    """What is reserved for one run. base: first id of its user namespace on the host, None without one."""

    base: int | None
    addressing: name_files.Addressing


@dataclass(frozen=True, slots=True)
class Launched:
    """A container that runs. notify: where its init tells of itself, which the holder closes; None for an ordinary container."""

    record: records.Record
    prepared: prepare.Prepared
    notify: boot.NotifySocket | None


class Launcher:
    """Brings containers up."""

    def __init__(self, equipment: tools.Equipment, ready: readiness.Readiness, keeper: volumes.Volumes) -> None:
        self._equipment = equipment
        self._volumes = keeper
        self._readiness = ready

    async def reserve(self, record: records.Record) -> tuple[records.Record, Place]:
        """An address and a range of user ids, noted for this container until it is removed or cleaned up."""
        base = await self._range(record)
        record, addressing = await self._address(record)
        return record, Place(base, addressing)

    async def bring_up(self, one: shelf.Container, record: records.Record, place: Place) -> Launched:
        """Raises StartFailed and what `prepare` raises."""
        equipment = self._equipment
        notify: boot.NotifySocket | None = None
        paths = await self._volumes.mount(record)
        copies = equipment.snapshots.copies or (paths and not record.state.started_at)
        pool = equipment.pools.long if copies else equipment.pools.fs
        prepared = await pool(prepare.prepare, equipment, record, place.base, place.addressing, paths)
        try:
            if prepared.plan is not None:
                notify = self._readiness.listen(one, place.base or 0)
            created = await self._create(record, prepared)
            record = await self._start(one, record, prepared, created, place.base, notify)
        except BaseException:
            if notify is not None:
                notify.close()
            raise
        return Launched(record, prepared, notify)

    @staticmethod
    def interrupt(one: shelf.Container, number: int) -> None:
        """A signal for a start that is under way and whose init does not run yet: it fails then, instead of holding the lock for long."""
        run, handed_over = one.starting, one.handed_over
        if run is not None and (number == signals.KILL or (handed_over is not None and not handed_over.done())):
            one.killed_at_start = number == signals.KILL
            signals.to_init(run, number)

    async def _range(self, record: records.Record) -> int | None:
        equipment = self._equipment
        if not (record.user_namespaced and equipment.user_namespaces):
            return None
        first, last = equipment.settings.userns_first, equipment.settings.userns_last
        return await equipment.pools.db(equipment.database.reserve_range, record.id, first, last)

    async def _address(self, record: records.Record) -> tuple[records.Record, name_files.Addressing]:
        if record.config.host.network_mode != "bridge":
            return record, name_files.Addressing()
        equipment, network = self._equipment, self._equipment.bridge
        default = equipment.networks.get("bridge")
        request = db.AddressRequest(default.id, str(network.subnet))
        (address,) = await equipment.pools.db(equipment.database.reserve_addresses, record.id, (request,))
        record = record.with_state(ip_address=address)
        record = dataclasses.replace(record, gateway=str(network.gateway), prefix_length=network.subnet.prefixlen)
        return record, name_files.Addressing(address=address, gateway=record.gateway)

    async def _create(self, record: records.Record, prepared: prepare.Prepared) -> monitor.Created:
        config, paths = record.config, self._equipment.paths
        log_path = "" if config.host.log_driver == "none" else paths.log(record.id)
        await self._equipment.pools.fs(os.makedirs, paths.log_dir(record.id), 0o700, exist_ok=True)
        request = monitor.MonitorRequest(
            id=record.id,
            name=record.name,
            bundle=prepared.bundle,
            log_path=log_path,
            pid_file=f"{prepared.bundle}/pid",
            tty=config.tty,
            stdin=config.open_stdin,
            stdin_once=config.stdin_once,
            log_max_size=create.log_size(config.host.log_options, self._equipment.settings.log_max_size),
        )
        return await self._equipment.monitors[record.runtime].create(request)

    async def _start(
        self,
        one: shelf.Container,
        record: records.Record,
        prepared: prepare.Prepared,
        created: monitor.Created,
        base: int | None,
        notify: boot.NotifySocket | None,
    ) -> records.Record:
        """From a created container to a running one."""
        equipment, plan = self._equipment, prepared.plan
        run = records.Run(
            pid=created.pid,
            pid_start=process.start_time(created.pid),
            monitor_pid=created.monitor_pid,
            monitor_start=created.monitor_start_time,
            runtime=record.runtime,
            cgroups_path=prepared.cgroups_path,
            stop=prepared.stop,
            stop_grace=plan.stop_grace if plan else 0.0,
            stop_files=plan.stop_files if plan else (),
            user_namespace_base=base,
            state_command=plan.state_command if plan else (),
            inner_group=await equipment.pools.fs(groups.of_created, prepared.cgroups_path, created.pid),
            has_app=plan.has_app if plan else False,
            volumes=dict(prepared.volumes),
        )
        one.starting = run
        record = dataclasses.replace(record, run=run, warnings=prepared.warnings)
        record = await equipment.pools.fs(furnish.furnish, equipment, record, prepared, base)
        await one.attachments.connect(lambda: self._attach(record))
        if record.config.host.prestart_hooks:
            document = hooks.document(equipment, record, "created")
            await hooks.run(equipment, record, "prestart", record.config.host.prestart_hooks, document)
        # Before the start: the end of a short run may be noted before the start has returned.
        record = record.with_state(started_at=clock.rfc3339(self._equipment.clock.now_ns()))
        await equipment.runtime(record.runtime).start(record.id)
        if notify is not None:
            await self._handed_over(one, run, notify)
        return record

    async def _handed_over(self, one: shelf.Container, run: records.Run, notify: boot.NotifySocket) -> None:
        """The start is done when the launcher hands over to the init: a failure of the init script is the start's, with its output."""
        equipment = self._equipment
        gone = asyncio.ensure_future(exits.wait(equipment.paths.exit_dir, one.id, run.monitor_pid, run.monitor_start))
        handed_over = one.handed_over
        assert handed_over is not None
        timeout = equipment.settings.hook_timeout
        try:
            done, _ = await asyncio.wait((handed_over, gone), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            ended = gone.result() if gone in done else None
        finally:
            gone.cancel()
        failure = rich_exit.failure(equipment.paths.run_dir(one.id))
        if failure is not None:
            output = f": {failure.output.strip()}" if failure.output.strip() else ""
            raise errors.StartFailed(failure.message + output)
        if not done:
            raise errors.StartFailed(
                f"the init script did not end within {timeout} s and was killed",
                hint="hook-timeout in pouchd's configuration",
            )
        notify.read()  # what it sent and its end may come at once, in any order
        if ended is not None and not handed_over.done():
            raise errors.StartFailed(f"the container ended with {ended.code} before its init ran")

    async def _attach(self, record: records.Record) -> views.Stdio:
        bundle = self._equipment.paths.container_run(record.id)
        return await attach.connect(f"{bundle}/attach", tty=record.config.tty)
