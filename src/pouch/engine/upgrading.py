"""A container on another image: the same id, name, addresses, networks, volumes and everything else that was asked of it.

Its files are its image's and what it changed; the latter is put aside (`store.snapshot.former`), not deleted, until the new image has
proved itself. What is going on stands in the record (`record.Upgrade`):

| noted                      | what is there                                   | a daemon that finds it so at its start           |
|----------------------------|-------------------------------------------------|--------------------------------------------------|
| `upgrade`, no `former`     | the old container, running or being stopped     | starts it again                                  |
| `upgrade.former`, no run   | the new record, the old files aside or in place | puts the old ones back, and starts that          |
| `upgrade.former`, it runs  | the new container                               | finishes: it has started                         |
| nothing                    | one of them; perhaps files aside                | deletes these                                    |

While it goes on the container keeps its addresses, and the images of both sides keep their layers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Iterable

from pouch.engine import create, events, lifecycle, mounts, restart, shelf, volumes
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine import settings as engine_settings
from pouch.spec import container, errors, health
from pouch.store.snapshot import former as aside

log = logging.getLogger(__name__)

STEADY_SECONDS = 2.0
"""Where nothing tells whether a container is ready: it still runs after this."""
_LOOK_SECONDS = 0.05


def check(record: records.Record) -> None:
    """Raises Conflict for a container that cannot be upgraded as it is now."""
    if record.config.host.auto_remove:
        raise errors.Conflict(
            f"cannot upgrade container {record.id}: it is removed when it stops (--rm)",
            hint="run the new image as another container",
        )
    if record.state.status is container.Status.PAUSED:
        raise errors.Conflict(f"Container {record.id} is paused. Unpause the container before upgrading it")


def successor(
    record: records.Record,
    image: create.Template,
    wish: container.UpgradeConfig,
    settings: engine_settings.Settings,
) -> records.Record:
    """What the container will be: all that was asked at create, with the new image's defaults. Raises InvalidInput, Forbidden."""
    asked = dataclasses.replace(
        record.config,
        image=wish.image,
        entrypoint=record.config.entrypoint if wish.entrypoint is None else wish.entrypoint,
        cmd=record.config.cmd if wish.cmd is None else wish.cmd,
    )
    asked = create.settled(asked, image, settings)
    made = create.record(
        asked, image, settings, id=record.id, name=record.name, created=record.created, networks=record.networks
    )
    kept = {one.target for one in record.mounts}
    new = tuple(one for one in made.mounts if one.target not in kept)
    return dataclasses.replace(
        made,
        mounts=(*record.mounts, *new),
        unfilled=(*record.unfilled, *mounts.volumes(new)),
        secret=record.secret,
        runtime=record.runtime,
        state=record.state,
        stopped_by_user=record.stopped_by_user,
    )


class _Left(errors.Unavailable):
    """The daemon ends while a new container is waited for; the next one finds it running."""


class Upgrades:
    """Upgrades containers. Callers hold the container's lock."""

    def __init__(
        self,
        equipment: tools.Equipment,
        containers: shelf.Shelf,
        life: lifecycle.Lifecycle,
        keeper: volumes.Volumes,
    ) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._life = life
        self._volumes = keeper
        self._leaving = False

    def leave(self) -> None:
        """The daemon ends: nobody is waited for any more."""
        self._leaving = True

    async def run(
        self,
        one: shelf.Container,
        new: records.Record,
        *,
        running: bool,
        stop_timeout: float | None,
        ready_seconds: int = 0,
    ) -> None:
        """Do it, or have everything as before and raise what was wrong. running: the container shall run afterwards."""
        old = one.record
        async with self._leased(old.layers, new.layers):
            await self._forget(one)
            await self._shelf.save(one, dataclasses.replace(old, upgrade=records.Upgrade(running=running)))
            try:
                await self._stop(one, stop_timeout)
                await self._change(one, new, old)
                if running:
                    await self._life.start(one)
                    await self._ready(one, ready_seconds, degraded=old.state.boot is container.Boot.DEGRADED)
                await self._finish(one)
            except _Left:
                raise
            except (errors.PouchError, OSError) as error:
                await self._undo(one, stop_timeout, new.image_name, error)
        log.info("container %s: upgraded from %s to %s", one.id[:12], old.image_id, new.image_id)

    async def resume(self, one: shelf.Container) -> None:
        """Bring an upgrade to an end that was broken off, forwards where the new container runs, else back."""
        upgrade = one.record.upgrade
        if upgrade is None:
            await self._forget(one)
        elif upgrade.former is not None and one.running:
            log.info("container %s: its upgrade is finished, the new one runs", one.id[:12])
            try:
                await self._finish(one)
            except errors.NotFound:  # somebody removed the new image meanwhile
                await self._back(one, float(self._equipment.settings.stop_timeout))
        else:
            log.warning("container %s: its upgrade was broken off and is taken back", one.id[:12])
            await self._back(one, None)

    # -- steps --------------------------------------------------------------------------------------------------------

    async def _stop(self, one: shelf.Container, timeout: float | None) -> None:
        if one.running:
            await self._life.stop(one, timeout)

    async def _change(self, one: shelf.Container, new: records.Record, old: records.Record) -> None:
        """The record first: whoever finds it knows what to go back to, however far the rest has come."""
        upgrade = one.record.upgrade
        assert upgrade is not None
        before = dataclasses.replace(one.record, upgrade=None, stopped_by_user=old.stopped_by_user)
        state = dataclasses.replace(one.record.state, error="", restart_count=0, health=None)
        record = dataclasses.replace(
            new, name=one.record.name, state=state, upgrade=dataclasses.replace(upgrade, former=before)
        )
        await self._shelf.save(one, record)
        equipment = self._equipment
        await equipment.pools.db(equipment.database.flush)
        await equipment.pools.fs(aside.set_aside, equipment.paths, one.id)
        if mounts.volumes(record.mounts):
            await self._shelf.save(one, await self._volumes.ensure(record))

    async def _ready(self, one: shelf.Container, seconds: int, *, degraded: bool) -> None:
        """Raises StartFailed where it does not become ready. degraded: it was so before, so that is as good as running."""
        clock = self._equipment.clock
        begun = clock.monotonic()
        while seconds and not is_ready(one, clock.monotonic() - begun, degraded=degraded):
            if self._leaving:
                raise _Left(
                    f"container {one.record.name} runs its new image, and pouchd ends before it is known to be ready"
                )
            if clock.monotonic() - begun > seconds:
                raise errors.StartFailed(f"it was not ready within {seconds} s: {_shown(one.record.state)}")
            await clock.sleep(_LOOK_SECONDS)

    async def _finish(self, one: shelf.Container) -> None:
        """From here on there is no way back."""
        upgrade, equipment = one.record.upgrade, self._equipment
        one.record = dataclasses.replace(one.record, upgrade=None)  # at once: its end may be noted at the same time
        try:
            dropped = await equipment.pools.db(
                equipment.database.move_container, one.id, records.encode(one.record), one.record.image_id
            )
        except BaseException:
            one.record = dataclasses.replace(one.record, upgrade=upgrade)
            raise
        await equipment.pools.db(equipment.database.flush)
        await self._forget(one)
        former = upgrade.former.image_name if upgrade is not None and upgrade.former is not None else ""
        events.of_container(equipment.events, one.record, "upgrade", oldImage=former)
        if dropped:
            await equipment.pools.fs(equipment.images.collect)
        if upgrade is not None and upgrade.running:
            await self._go_on(one)

    async def _go_on(self, one: shelf.Container) -> None:
        """One that has ended by now, while its restart policy was kept from acting."""
        if one.running:
            return
        await one.settled()
        record = one.record
        if record.state.status is container.Status.EXITED and restart.wanted(record, record.state.exit_code):
            await self._start(one)

    # -- back ---------------------------------------------------------------------------------------------------------

    async def _undo(self, one: shelf.Container, stop_timeout: float | None, image: str, error: Exception) -> None:
        """Raises StartFailed that says what was wrong, and what is there now."""
        log.warning("container %s: its upgrade to %s failed: %s", one.id[:12], image, error)
        reason = error.message if isinstance(error, errors.PouchError) else str(error)
        what = f"container {one.record.name} could not be upgraded to {errors.shown(image)}: {reason}"
        try:
            await self._back(one, stop_timeout)
        except errors.PouchError as worse:
            text = f"{what}; nor does it run as before: {worse.message}"
            raise errors.StartFailed(text, hint=worse.hint) from error
        code = error.exit_code if isinstance(error, errors.StartFailed) else 125
        hint = error.hint if isinstance(error, errors.PouchError) else ""
        raise errors.StartFailed(f"{what}; it is as before", exit_code=code, hint=hint) from error

    async def _back(self, one: shelf.Container, stop_timeout: float | None) -> None:
        """The old container, whole, and running if it did. Idempotent."""
        equipment, upgrade = self._equipment, one.record.upgrade
        if upgrade is None:
            return
        old = upgrade.former
        if old is not None:
            await self._stop(one, stop_timeout)
            await one.settled()
            await equipment.pools.fs(aside.take_back, equipment.paths, one.id)
            await self._volumes.remove_anonymous(_with_only_new_mounts(one.record, old))
            # Still noted, without what to go back to: until it runs again, a daemon that is killed has to start it.
            left = dataclasses.replace(upgrade, former=None)
            await self._shelf.note(one, dataclasses.replace(old, name=one.record.name, upgrade=left))
        failure: errors.PouchError | None = None
        if upgrade.running and not one.running:
            try:
                await self._life.start(one)
            except errors.PouchError as error:
                failure = error
        await self._shelf.note(one, dataclasses.replace(one.record, upgrade=None))
        if not one.running:
            await equipment.pools.db(equipment.database.release_addresses, one.id)
        if failure is not None:
            raise failure
        if upgrade.running:
            await self._go_on(one)

    async def _start(self, one: shelf.Container) -> None:
        try:
            await self._life.start(one)
        except errors.PouchError as error:
            log.warning("container %s: %s", one.id[:12], error)

    # -- what both need -----------------------------------------------------------------------------------------------

    async def _forget(self, one: shelf.Container) -> None:
        """Files that resist stay, and are tried again at the daemon's next start."""
        try:
            await self._equipment.pools.fs(aside.forget, self._equipment.paths, one.id)
        except errors.PouchError as error:
            log.warning("container %s: %s", one.id[:12], error)

    @contextlib.asynccontextmanager
    async def _leased(self, *chains: Iterable[str]) -> AsyncIterator[None]:
        """The layers stay, whatever becomes of their images."""
        pools, stack = self._equipment.pools, contextlib.ExitStack()
        await pools.fs(stack.enter_context, self._equipment.images.lease([one for chain in chains for one in chain]))
        try:
            yield
        finally:
            await pools.fs(stack.close)


def is_ready(one: shelf.Container, seconds: float, *, degraded: bool) -> bool:
    """By its healthcheck and its machine's boot, whatever it has of these; else by staying up. Raises StartFailed where it never will be."""
    record, state = one.record, one.record.state
    if not one.running:
        raise errors.StartFailed(f"it ended with code {state.exit_code} before it was ready")
    asked = record.healthcheck is not None and record.healthcheck.probes
    status = state.health.status if state.health is not None else health.Status.STARTING
    if asked and status is health.Status.UNHEALTHY:
        raise errors.StartFailed(f"it is unhealthy{_last_words(state)}")
    if state.boot is container.Boot.DEGRADED and not degraded:
        raise errors.StartFailed("its machine is degraded: some of its services failed")
    booted = state.boot in (container.Boot.RUNNING, container.Boot.DEGRADED)
    if not asked and state.boot is container.Boot.NONE:
        return seconds >= STEADY_SECONDS
    return (not asked or status is health.Status.HEALTHY) and (state.boot is container.Boot.NONE or booted)


def _last_words(state: container.State) -> str:
    log_of_probes = state.health.log if state.health is not None else ()
    said = log_of_probes[-1].output.strip() if log_of_probes else ""
    return f": {errors.shown(said)}" if said else ""


def _shown(state: container.State) -> str:
    words = [f"boot {state.boot.value}"] if state.boot is not container.Boot.NONE else []
    if state.health is not None and state.health.status is not health.Status.NONE:
        words.append(f"health {state.health.status.value}")
    return ", ".join(words) or state.status.value


def _with_only_new_mounts(new: records.Record, old: records.Record) -> records.Record:
    kept = {one.target for one in old.mounts}
    return dataclasses.replace(new, mounts=tuple(one for one in new.mounts if one.target not in kept))
