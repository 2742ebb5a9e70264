"""Containers as edges ask for them: find, check, lock, and let `lifecycle` do it (see `facade.ContainersFacade`)."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence

from pouch.engine import (
    clock,
    create,
    endpoints,
    health_state,
    lifecycle,
    mounts,
    present,
    processes,
    prune,
    sharing,
    shelf,
    signals,
    upgrading,
    views,
)
from pouch.engine import equipment as tools
from pouch.engine import images as image_service
from pouch.engine import record as records
from pouch.engine.specbuild import build, inputs
from pouch.kernel import process
from pouch.rich import exit as rich_exit
from pouch.runtime import attach as streams
from pouch.runtime import logs as log_files
from pouch.spec import container, errors, ids, network

log = logging.getLogger(__name__)

_WAYS_IN = (network.Driver.BRIDGE, network.Driver.CNI)
_NAME_ATTEMPTS = 8


class Containers:
    """The facade's containers."""

    def __init__(
        self,
        equipment: tools.Equipment,
        containers: shelf.Shelf,
        life: lifecycle.Lifecycle,
        images: image_service.Images,
        upgrades: upgrading.Upgrades,
    ) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._life = life
        self._images = images
        self._upgrades = upgrades
        self._pruning = prune.Pruning(equipment, containers)

    # -- create and remove --------------------------------------------------------------------------------------------

    async def create(self, config: container.ContainerConfig, name: str) -> tuple[str, builtins.list[str]]:
        """See the facade."""
        if name:
            name = ids.check_name(name)
        create.check(config, self._equipment.settings)
        create.check_host(config.host, self._equipment.host)
        image = await self._images.template(config.image)
        config = create.settled(config, image, self._equipment.settings)
        others = [
            (self._shelf.get(ref), read_only) for ref, read_only in map(mounts.parse_from, config.host.volumes_from)
        ]
        config = self._with_id(config)
        memberships = endpoints.memberships(config, self._equipment.networks)
        for network_name, wanted in memberships.items():
            endpoints.check(self._equipment.networks.member(network_name), wanted)
        now = self._equipment.clock.now_ns()
        id_ = ids.new_id()
        for attempt in range(_NAME_ATTEMPTS):
            chosen = name or ids.random_name(attempt)
            if not name and self._shelf.has_name(chosen):
                continue
            record = create.record(
                config,
                image,
                self._equipment.settings,
                id=id_,
                name=chosen,
                created=clock.rfc3339(now),
                others=[(other.record, read_only) for other, read_only in others],
                networks=memberships,
            )
            if mounts.volumes(record.mounts):
                record = dataclasses.replace(record, intent=records.Intent.CREATE)
            try:
                one = await self._shelf.insert(record, now)
            except errors.Conflict:
                if name or attempt == _NAME_ATTEMPTS - 1:
                    raise
                continue
            break
        if record.intent is records.Intent.CREATE:
            async with one.lock:
                await self._life.equip(one, [other for other, _ in others])
        self._life.publish(record, "create")
        return id_, self._warnings(record)

    def _with_id(self, config: container.ContainerConfig) -> container.ContainerConfig:
        """With the ids of the containers whose namespaces it shall use, which may get other names."""
        config = sharing.with_ids(config, self._shelf)
        kind, argument = network.mode(config.host.network_mode)
        if kind is not network.Mode.CONTAINER:
            return config
        mode = f"container:{self._shelf.get(argument).id}"
        return dataclasses.replace(config, host=dataclasses.replace(config.host, network_mode=mode))

    def _warnings(self, record: records.Record) -> builtins.list[str]:
        config, host = record.config, self._equipment.host
        given = inputs.Inputs(record=record, host=host, identity=inputs.Identity(), rootfs="", cgroups_path="")
        found = list(build.foreseen(given))
        if config.rich and config.host.userns_mode != "host" and not self._equipment.user_namespaces:
            found.append(
                "this host cannot map ids of mounts: the rich container runs without a user namespace of its own"
            )
        elif record.user_namespaced and config.host.network_mode == "host":
            found.append(
                "the host's network does not belong to the container's user namespace: ports below 1024 cannot be bound, "
                "no address can be changed; use --userns host where that matters"
            )
        if endpoints.bindings(record) and config.host.network_mode == "host":
            found.append("Published ports are discarded when using host network mode")
        elif endpoints.bindings(record) and not self._reachable(record):
            found.append("Published ports are reached by nobody: the container is in no network that has a way in")
        if config.host.log_driver == "none" and config.rich:
            found.append("with the log driver none, what the app writes is kept nowhere")
        return found

    def _reachable(self, record: records.Record) -> bool:
        """Whether ports of the host can lead to it: by a bridge that is not internal, or by whatever CNI plugins do."""
        found = [self._equipment.networks.member(name) for name in record.networks]
        return any(one.driver in _WAYS_IN and not one.config.internal for one in found)

    async def remove(self, ref: str, force: bool = False, volumes: bool = False) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        if not force:
            _require_removable(one)
        if force:
            one.end_visits()
            self._life.interrupt(one, signals.KILL)
            await self._kill_now(one)
        async with one.lock:
            await one.settled()
            if not force:
                _require_removable(one)
            await self._life.cancel_restart(one)
            if one.running and force:
                await self._kill_now(one)
                await one.settled()
            _require_removable(one)
            if one.record.state.status is container.Status.REMOVING and not one.removed:
                await one.add_waiter("removed")  # `--rm` is about it
            if not one.removed:
                await self._life.remove(one, volumes=volumes)

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> tuple[builtins.list[str], int]:
        """See the facade."""
        return await self._pruning.containers(filters, self.remove)

    async def _kill_now(self, one: shelf.Container) -> None:
        """End it without waiting for the lock: a stop may be holding it, patiently."""
        run, supervisor = one.record.run, one.supervisor
        if not one.running or run is None or supervisor is None:
            return
        one.record = dataclasses.replace(one.record, stopped_by_user=True)
        signals.to_init(run, signals.KILL)
        self._life.signalled(one, signals.KILL)
        if one.record.state.status is container.Status.PAUSED:
            await self._equipment.runtime(run.runtime).resume(one.id)
        if sharing.among_others(one.record.config.host):
            await self._equipment.runtime(run.runtime).kill(one.id, signals.KILL, all_processes=True)
        done, _ = await asyncio.wait((supervisor,), timeout=signals.LAST_SECONDS)
        if not done:
            raise errors.Unavailable(f"Could not kill running container {one.id}: it did not end after SIGKILL")

    async def upgrade(self, ref: str, wish: container.UpgradeConfig) -> builtins.list[str]:
        """See the facade."""
        one = self._shelf.get(ref)
        image = await self._images.template(wish.image)
        async with one.lock:
            await one.settled()
            self._require(one)
            upgrading.check(one.record)
            await self._finished(one)
            new = upgrading.successor(one.record, image, wish, self._equipment.settings)
            create.check_host(new.config.host, self._equipment.host)
            waited = await self._life.cancel_restart(one)
            one.backoff = 0.0
            await self._upgrades.run(
                one,
                new,
                running=one.running or waited,
                stop_timeout=self._patience(one, wish.stop_timeout),
                ready_seconds=wish.ready_seconds,
            )
            return self._warnings(one.record)

    async def _finished(self, one: shelf.Container) -> None:
        """An upgrade that was broken off, and could not be taken back at once, is out of the way."""
        if one.record.upgrade is not None:
            await self._upgrades.resume(one)

    # -- state --------------------------------------------------------------------------------------------------------

    async def start(self, ref: str) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        async with one.lock:
            if one.record.state.status is container.Status.PAUSED:
                raise errors.Conflict("cannot start a paused container, try unpause instead")
            if one.running:
                raise errors.NotModified(f"container {one.id} is running already")
            await self._start(one)

    async def _start(self, one: shelf.Container) -> None:
        await one.settled()
        await self._life.cancel_restart(one)
        self._require(one)
        await self._finished(one)
        if one.running:
            return
        one.backoff = 0.0
        one.record = one.record.with_state(restart_count=0)
        await self._life.start(one)

    def _require(self, one: shelf.Container) -> None:
        if one.removed or one.record.state.status is container.Status.REMOVING:
            raise errors.NotFound(f"No such container: {one.id}")
        if one.record.state.status is container.Status.DEAD:
            raise errors.Conflict(f"container {one.id} is dead: it could not be removed whole", hint="remove it again")

    async def stop(self, ref: str, timeout: int | None, signal: str = "") -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        number = process.signal_number(signal) if signal else None
        rich = one.record.config.rich
        if rich is not None and rich.init_script:
            self._life.interrupt(one, signals.TERM)
        async with one.lock:
            await one.settled()
            if await self._life.cancel_restart(one):
                self._life.publish(one.record, "stop")
                return
            if not one.running:
                raise errors.NotModified(f"container {one.id} is stopped already")
            await self._stop(one, timeout, number)

    async def stop_all(self) -> None:
        """Stop what runs, all at once, because the host goes down: what restart policies want holds when it comes back."""
        self._life.end_restarts()
        await asyncio.gather(*(self._stop_with_host(one) for one in self._shelf if one.running))

    async def _stop_with_host(self, one: shelf.Container) -> None:
        async with one.lock:
            if not one.running:
                return
            try:
                await self._life.stop(one, self._patience(one, None), by_user=False)
            except errors.PouchError as error:
                log.warning("container %s: %s", one.id[:12], error)

    async def _stop(self, one: shelf.Container, timeout: int | None, signal: int | None = None) -> None:
        one.stopping = True
        try:
            await self._life.stop(one, self._patience(one, timeout), signal=signal)
        finally:
            one.stopping = False

    def _patience(self, one: shelf.Container, timeout: int | None) -> float | None:
        if timeout is None:
            timeout = one.record.stop_timeout
        if timeout is None:
            timeout = self._equipment.settings.stop_timeout
        return None if timeout < 0 else float(timeout)

    async def restart(self, ref: str, timeout: int | None, signal: str = "") -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        number = process.signal_number(signal) if signal else None
        async with one.lock:
            if one.running:
                self._keep_from_removal(one)
                await self._stop(one, timeout, number)
            await self._start(one)
            self._life.publish(one.record, "restart")

    def _keep_from_removal(self, one: shelf.Container) -> None:
        """`--rm` waits for the next end."""
        one.restarting = True

    async def kill(self, ref: str, signal: str) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        try:
            number = process.signal_number(signal)
        except errors.InvalidInput as error:
            said = error.message[:1].lower() + error.message[1:]
            raise errors.InvalidInput(f"cannot kill container: {ref}: {said}", hint=error.hint) from None
        if one.record.state.status is container.Status.RESTARTING:
            async with one.lock:
                await one.settled()
                if await self._life.cancel_restart(one):
                    return
        run = one.record.run
        if not one.running or run is None:
            raise errors.Conflict(f"cannot kill container: {ref}: container {one.id} is not running")
        if number == signals.KILL:
            await self._kill_now(one)
            return
        if run.stop and number == run.stop[0].signal:  # what it ends by: nobody wants it back
            one.record = dataclasses.replace(one.record, stopped_by_user=True)
        signals.to_init(run, number)
        self._life.signalled(one, number)

    async def pause(self, ref: str) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        async with one.lock:
            run = one.require_running()
            if one.record.state.status is container.Status.PAUSED:
                raise errors.Conflict(f"Container {one.id} is already paused")
            try:
                await self._equipment.runtime(run.runtime).pause(one.id)
            except errors.PouchError:
                one.require_running()  # it has just ended: that is what is wrong
                raise
            one.require_running()
            await self._shelf.note(one, health_state.ended(one.record.with_state(status=container.Status.PAUSED)))
            self._life.changed(one)
            self._life.publish(one.record, "pause")

    async def unpause(self, ref: str) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        async with one.lock:
            run = one.require_running()
            if one.record.state.status is not container.Status.PAUSED:
                raise errors.Conflict(f"Container {one.id} is not paused")
            await self._equipment.runtime(run.runtime).resume(one.id)
            if one.record.state.status is container.Status.PAUSED:  # else it had been killed, and has ended by now
                await self._shelf.note(one, one.record.with_state(status=container.Status.RUNNING))
                self._life.changed(one)
            self._life.publish(one.record, "unpause")

    async def rename(self, ref: str, new: str) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        async with one.lock:
            self._require(one)
            old = one.record.name
            if new == old:
                raise errors.InvalidInput("Renaming a container with the same name as its current name")
            try:
                await self._shelf.rename(one, ids.check_name(f"/{new}"))
            except (errors.InvalidInput, errors.Conflict) as error:
                raise type(error)(f"Error when allocating new name: {error.message}", hint=error.hint) from None
            await self._life.renamed(one)
            self._life.publish(one.record, "rename", oldName=f"/{old}")

    async def wait(self, ref: str, condition: str, armed: asyncio.Event | None = None) -> views.WaitResult:
        """See the facade."""
        one = self._shelf.get(ref)
        state = one.record.state
        busy = one.running or state.status is container.Status.RESTARTING or one.supervisor is not None
        if condition == "not-running" and not busy:
            if armed is not None:
                armed.set()
            return views.WaitResult(state.exit_code)
        waiter = one.add_waiter(condition)
        if armed is not None:
            armed.set()
        return views.WaitResult(await waiter)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def get(self, ref: str) -> views.ContainerView:
        """See the facade."""
        one = self._shelf.get(ref)
        view = self._view(one)
        run = one.record.run
        if one.running and run is not None and run.has_app:
            # A machine that goes on after its app (`keep`, `restart`): the app's last end stands in the machine's /run.
            ended = await self._equipment.pools.fs(rich_exit.read, self._equipment.paths.run_dir(one.id))
            if ended is not None:
                view = dataclasses.replace(view, state=dataclasses.replace(view.state, app_exit_code=ended.code))
        return view

    async def list(self, all: bool = False, limit: int = 0) -> builtins.list[views.ContainerView]:
        """See the facade."""
        found = [one for one in self._shelf if all or limit or one.running]
        found.sort(key=lambda one: one.record.created, reverse=True)
        return [self._view(one) for one in (found[:limit] if limit else found)]

    def all(self) -> Sequence[views.ContainerView]:
        """See the facade."""
        return [self._view(one) for one in self._shelf]

    def _view(self, one: shelf.Container) -> views.ContainerView:
        return present.view(one.record, self._equipment, tuple(one.exec_ids))

    async def top(self, ref: str, ps_args: str) -> views.TopView:
        """See the facade."""
        one = self._shelf.get(ref)
        found = await processes.top(one.require_running(), ps_args or "-ef")
        self._life.publish(one.record, "top")
        return found

    async def tree(self, ref: str) -> Sequence[dict[str, object]]:
        """See the facade."""
        one = self._shelf.get(ref)
        return await self._equipment.pools.fs(processes.tree, one.record, one.require_running())

    async def changes(self, ref: str) -> Sequence[tuple[int, str]]:
        """See the facade."""
        one = self._shelf.get(ref)
        return await self._equipment.pools.long(self._equipment.snapshots.changes, one.id, one.record.layers)

    # -- streams ------------------------------------------------------------------------------------------------------

    async def logs(self, ref: str, query: views.LogQuery) -> views.LogStream:
        """See the facade."""
        one = self._shelf.get(ref)
        if one.record.config.host.log_driver == "none":
            raise errors.Unsupported("configured logging driver does not support reading")
        return await log_files.open_log(
            self._equipment.paths.log(one.id), query, ended=lambda: not one.running, changed=one.ended
        )

    async def attach(self, ref: str) -> views.Stdio:
        """See the facade."""
        one = self._shelf.get(ref)
        if one.record.state.status is container.Status.PAUSED:
            raise errors.Conflict(f"Container {one.id} is paused, unpause the container before attach.")
        if one.running:
            bundle = self._equipment.paths.container_run(one.id)
            self._life.publish(one.record, "attach")
            return await streams.connect(f"{bundle}/attach", tty=one.record.config.tty)
        self._require(one)
        self._life.publish(one.record, "attach")
        return one.attachments.add()

    def detached(self, ref: str) -> None:
        """See the facade."""
        with contextlib.suppress(errors.NotFound):  # removed meanwhile
            self._life.publish(self._shelf.get(ref).record, "detach")

    async def resize(self, ref: str, height: int, width: int) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        one.require_running()
        if not one.record.config.tty:
            raise errors.InvalidInput(f"container {one.record.name} has no terminal to resize")
        if not (0 < height < 65536 and 0 < width < 65536):
            raise errors.InvalidInput(f"invalid terminal size {height}x{width}", hint="h and w from 1 to 65535")
        await streams.resize(f"{self._equipment.paths.container_run(one.id)}/ctl", height, width)
        self._life.publish(one.record, "resize", height=str(height), width=str(width))


def _require_removable(one: shelf.Container) -> None:
    """Raises Conflict in Docker's sentences for one that is not to be removed but by force."""
    match one.record.state.status:
        case container.Status.RUNNING | container.Status.RESTARTING as status:
            reason = f"container is {status.value}: stop the container before removing or force remove"
        case container.Status.PAUSED:
            reason = "container is paused and must be unpaused first"
        case _:
            return
    raise errors.Conflict(f'cannot remove container "{one.record.name}": {reason}')
