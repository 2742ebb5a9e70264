"""The way of a container from its record to a running init. Who calls it cleans up when it fails."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

from pouch.engine import (
    boot,
    clock,
    endpoints,
    furnish,
    groups,
    hooks,
    log_options,
    name_files,
    network_plan,
    prepare,
    readiness,
    sharing,
    shelf,
    signals,
    views,
    volumes,
)
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.kernel import process
from pouch.network import ports
from pouch.rich import exit as rich_exit
from pouch.runtime import attach, exits, monitor
from pouch.spec import container, errors, network


@dataclass(frozen=True, slots=True)
class Place:
    """What is reserved for one run. base: first id of its user namespace on the host, None without one.

    ports: its ports on this host, held by sockets that the monitor inherits.
    """

    base: int | None
    addressing: name_files.Addressing
    members: tuple[endpoints.Member, ...] = ()
    ports: ports.Reservation | None = None

    def close(self) -> None:
        """Let go of what a monitor would have inherited, or has."""
        if self.ports is not None:
            self.ports.close()


@dataclass(frozen=True, slots=True)
class Launched:
    """A container that runs. notify: where its init tells of itself, which the holder closes; None for an ordinary container."""

    record: records.Record
    prepared: prepare.Prepared
    notify: boot.NotifySocket | None


class Launcher:
    """Brings containers up."""

    def __init__(
        self,
        equipment: tools.Equipment,
        containers: shelf.Shelf,
        ready: readiness.Readiness,
        keeper: volumes.Volumes,
    ) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._volumes = keeper
        self._readiness = ready

    async def reserve(self, record: records.Record) -> tuple[records.Record, Place]:
        """Addresses, a range of user ids and ports, noted for this container until it is removed or cleaned up. The caller closes the place."""
        base = await self._range(record)
        kind, argument = network.mode(record.config.host.network_mode)
        if kind is network.Mode.CONTAINER:
            return record, Place(base, self._shared(record, argument))
        if kind is network.Mode.NAMESPACE:
            return record, Place(base, name_files.Addressing(netns=argument))
        record, members = await self._members(record)
        addressing = name_files.Addressing(endpoints=record.state.endpoints)
        record, reserved = await self._ports(record, members)
        return record, Place(base, addressing, members, reserved)

    async def bring_up(self, one: shelf.Container, record: records.Record, place: Place) -> Launched:
        """Raises StartFailed and what `prepare` raises."""
        equipment = self._equipment
        notify: boot.NotifySocket | None = None
        paths = await self._volumes.mount(record)
        copies = equipment.snapshots.copies or (paths and (not record.state.started_at or record.unfilled))
        pool = equipment.pools.long if copies else equipment.pools.fs
        joined = sharing.join(equipment, self._shelf, record)
        prepared = await pool(prepare.prepare, equipment, record, place.base, place.addressing, paths, joined)
        try:
            if prepared.plan is not None:
                notify = self._readiness.listen(one, place.base or 0)
            created = await self._create(record, prepared, place)
            record = await self._start(one, record, prepared, created, place, notify)
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

    async def _members(self, record: records.Record) -> tuple[records.Record, tuple[endpoints.Member, ...]]:
        """Its places, with their addresses."""
        equipment = self._equipment
        names = endpoints.in_order(record.networks, record.config.host.network_mode)
        networks = [equipment.networks.member(name) for name in names]
        asked = [endpoints.requests(one, record.networks[one.name]) for one in networks]
        flat = [request for requests in asked for request in requests]
        given = list(await equipment.pools.db(equipment.database.reserve_addresses, record.id, flat)) if flat else []
        members = []
        for number, (one, requests) in enumerate(zip(networks, asked, strict=True)):
            addresses, given = given[: len(requests)], given[len(requests) :]
            wanted = record.networks[one.name]
            members.append((one, endpoints.endpoint(record, one, wanted, addresses, f"eth{number}")))
        routed = endpoints.members_routed(members)
        return record.with_state(endpoints=tuple(endpoint for _, endpoint in routed)), routed

    async def _ports(
        self, record: records.Record, members: Sequence[endpoints.Member]
    ) -> tuple[records.Record, ports.Reservation | None]:
        wanted = endpoints.bindings(record)
        if not wanted or record.config.host.network_mode == "host":
            return record, None
        equipment = self._equipment
        at = endpoints.published_at(record.state.endpoints)
        if not any(one.driver in (network.Driver.BRIDGE, network.Driver.CNI) for one, _ in members):
            return record, None
        families = {"ipv4": at is None or bool(at.ipv4), "ipv6": at is None or bool(at.ipv6)}
        for one, place in members:
            if place == at:
                wanted = endpoints.bound_to(wanted, network_plan.host_binding(one))
        reserved = await equipment.pools.fs(ports.reserve, wanted, self._held(record.id), **families)
        return record.with_state(ports=reserved.ports), reserved

    def _held(self, but: str) -> dict[ports.Key, str]:
        """The ports of other containers that run."""
        return {
            key: one.record.name
            for one in self._shelf
            if one.id != but and one.record.run is not None
            for key in ports.keys(one.record.state.ports)
        }

    def _shared(self, record: records.Record, ref: str) -> name_files.Addressing:
        """The namespace of another container. Conflict in Docker's sentence where that does not run."""
        other = self._shelf.get(ref)
        run = other.record.run
        if not other.running or run is None:
            raise errors.Conflict(f"cannot join network of a non running container: {other.id}")
        if other.record.state.status is container.Status.RESTARTING:
            raise errors.Conflict(f"Container {other.id} is restarting, wait until the container is running")
        shared = other.id
        kind, argument = network.mode(other.record.config.host.network_mode)
        if kind is network.Mode.CONTAINER:
            shared = self._shelf.get(argument).id
        return name_files.Addressing(netns=f"/proc/{run.pid}/ns/net", shared=shared)

    async def _create(self, record: records.Record, prepared: prepare.Prepared, place: Place) -> monitor.Created:
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
            log_max_size=log_options.size(config.host.log_options, self._equipment.settings.log_max_size),
            keep_fds=place.ports.fds if place.ports is not None else (),
        )
        return await self._equipment.monitors[record.runtime].create(request)

    async def _start(
        self,
        one: shelf.Container,
        record: records.Record,
        prepared: prepare.Prepared,
        created: monitor.Created,
        place: Place,
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
            user_namespace_base=place.base,
            state_command=plan.state_command if plan else (),
            inner_group=await equipment.pools.fs(groups.of_created, prepared.cgroups_path, created.pid),
            has_app=plan.has_app if plan else False,
            volumes=dict(prepared.volumes),
        )
        one.starting = run
        record = dataclasses.replace(record, run=run, warnings=prepared.warnings)
        record = await equipment.pools.fs(furnish.furnish, equipment, record, prepared, place.base, place.members)
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
