"""One container from start to end: what `containers` asks, step by step. Callers hold the container's lock.

The order is the promise: the intent is written before the first act, the record of the end before anything is taken away, and every
failure ends in `cleanup`, so that a daemon killed at any moment finds at its next start what it had begun (`recover`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence

from pouch.engine import (
    boot,
    cleanup,
    ending,
    events,
    groups,
    health_state,
    launch,
    prepare,
    processes,
    readiness,
    restart,
    shelf,
    signals,
    volumes,
    wiring,
)
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine import tasks as beside
from pouch.rich import plan as rich_plan
from pouch.rich import write
from pouch.runtime import exits, memory
from pouch.spec import container, errors
from pouch.store import erase

log = logging.getLogger(__name__)


class Lifecycle:
    """Starts, watches and ends containers."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, keeper: volumes.Volumes) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._volumes = keeper
        self._closing = False
        self._tasks = beside.Tasks()
        self._readiness = readiness.Readiness(equipment, containers, self._tasks)
        self._launcher = launch.Launcher(equipment, containers, self._readiness, keeper)
        self.interrupt = self._launcher.interrupt
        self.watchers: list[Callable[[shelf.Container], None]] = []
        """Told when a container runs from now on, or stands still, or goes on; the end of a run ends what they watch."""

    # -- create -------------------------------------------------------------------------------------------------------

    async def equip(self, one: shelf.Container, others: Sequence[shelf.Container]) -> None:
        """Have the volumes of a container that is noted; where that fails there is no container. others: whose mounts it shares."""
        try:
            for other in others:  # from here on they cannot take their volumes with them
                if other.removed or other.record.state.status is container.Status.REMOVING:
                    raise errors.NotFound(f"No such container: {other.record.name}")
            record = await self._volumes.ensure(one.record)
            await self._shelf.save(one, dataclasses.replace(record, intent=records.Intent.NONE))
        except BaseException:
            await self.remove(one, volumes=True, told=False)
            raise

    # -- start --------------------------------------------------------------------------------------------------------

    async def start(self, one: shelf.Container) -> None:
        """Raises StartFailed and what `prepare` raises; then nothing of it is left."""
        record = dataclasses.replace(one.record, intent=records.Intent.START, stopped_by_user=False)
        await self._shelf.save(one, record)
        one.end_visits(writers=True)  # of the last run
        one.killed_at_start = False
        try:
            record, place = await self._launcher.reserve(record)
            try:
                launched = await self._launcher.bring_up(one, record, place)
            finally:
                place.close()
        except BaseException as error:
            one.attachments.abandon()
            await self._failed(one, record, error)
            if one.killed_at_start and isinstance(error, errors.StartFailed):
                raise errors.Conflict(f"container {record.id} was killed while it was being started") from error
            raise
        finally:
            one.starting = None
        await self._running(one, launched.record, launched.prepared, launched.notify)

    async def _running(
        self,
        one: shelf.Container,
        record: records.Record,
        prepared: prepare.Prepared,
        notify: boot.NotifySocket | None,
    ) -> None:
        assert record.run is not None
        boot_state = container.Boot.NONE
        if record.config.rich is not None:
            waits = prepared.plan is not None and prepared.plan.ready is rich_plan.Ready.NOTIFY
            boot_state = container.Boot.STARTING if waits else container.Boot.RUNNING
        record = dataclasses.replace(record, intent=records.Intent.NONE, unfilled=()).with_state(
            status=container.Status.RUNNING,
            boot=boot_state,
            init=prepared.plan.init if prepared.plan else "",
            pid=record.run.pid,
            monitor_pid=record.run.monitor_pid,
            exit_code=0,
            error="",
            oom_killed=False,
            app_exit_code=None,
        )
        one.started_monotonic = self._equipment.clock.monotonic()
        one.ended.clear()
        one.restarting = one.adopted = False
        if boot_state is container.Boot.STARTING:
            one.booted.clear()
        else:
            one.booted.set()
        record = health_state.begun(record)
        one.record = record  # running and supervised are one step: nobody sees the one without the other
        self.supervise(one, notify)
        for place in record.state.endpoints:
            events.of_membership(self._equipment.events, place, "connect", record.id)
        self.publish(record, "start")
        self.changed(one)
        await self._shelf.note(one, record)
        for warning in prepared.warnings:
            log.info("container %s: %s", record.id[:12], warning)
        if one.ready:  # it was faster than our own record of the start
            self._readiness.learn(one)

    async def _failed(self, one: shelf.Container, record: records.Record, error: BaseException) -> None:
        one.stop_watching_memory()
        await cleanup.run(self._equipment, record)
        code = error.exit_code if isinstance(error, errors.StartFailed) else 125
        text = error.message if isinstance(error, errors.PouchError) else repr(error)
        state = dataclasses.replace(
            one.record.state,
            exit_code=code,
            error=text,
            pid=0,
            monitor_pid=0,
            endpoints=(),
            ports=(),
            boot=container.Boot.NONE,
        )
        if state.status is not container.Status.CREATED:
            state = dataclasses.replace(state, status=container.Status.EXITED)
        if not one.removed:
            left = dataclasses.replace(one.record, intent=records.Intent.NONE, run=None, state=state)
            await self._shelf.note(one, left)
        if record.config.host.auto_remove:
            await self.remove(one, volumes=True)

    # -- while it runs ------------------------------------------------------------------------------------------------

    def supervise(self, one: shelf.Container, notify: boot.NotifySocket | None) -> None:
        """Wait for the end of the current run, in a task of its own."""
        if one.memory_watch is None and one.record.run is not None:  # adopted
            self._watch_memory(one, one.record.run)
        one.supervisor = self._tasks.spawn(self._supervise(one, notify), f"supervise {one.id[:12]}")

    def _watch_memory(self, one: shelf.Container, run: records.Run) -> None:
        looking = memory.look_on(groups.path(run), self._equipment.paths.exit_dir, one.id)
        one.memory_watch = self._tasks.spawn(looking, f"memory {one.id[:12]}")

    async def end_of(self, one: shelf.Container, run: records.Run) -> exits.Exit:
        """Wait for the end of a run."""
        return await ending.of(self._equipment, one.id, run)

    def resume_boot(self, one: shelf.Container) -> boot.NotifySocket | None:
        """Listen again to an init that outlived the daemon."""
        return self._readiness.resume(one)

    def learn_boot(self, one: shelf.Container) -> None:
        """Find out whether the machine runs as it should, in a task of its own."""
        self._readiness.learn(one)

    async def _supervise(self, one: shelf.Container, notify: boot.NotifySocket | None) -> None:
        run = one.record.run
        assert run is not None
        try:
            exit_ = await self.end_of(one, run)
        finally:
            if notify is not None:
                notify.close()
            one.stop_watching_memory()
            one.stop_watching_health()
            if one.boot_watch is not None:
                one.boot_watch.cancel()
        await self.finish(one, exit_)

    def changed(self, one: shelf.Container) -> None:
        """Tell the watchers."""
        for watcher in self.watchers:
            watcher(one)

    async def renamed(self, one: shelf.Container) -> None:
        """Its networks call it by its new name from now on."""
        run, record = one.record.run, wiring.renamed(one.record)
        if not one.running or record is one.record:
            return
        await self._shelf.note(one, record)
        await self._equipment.pools.fs(wiring.tell, self._equipment, record)
        if one.record.run is not run:  # it has ended meanwhile
            await self._equipment.pools.fs(wiring.take_away, self._equipment, record)

    # -- end ----------------------------------------------------------------------------------------------------------

    async def finish(self, one: shelf.Container, exit_: exits.Exit) -> None:
        """The end of a run, exactly once: the record first, then hooks, then everything is taken away, then what the policy wants."""
        run_dir = self._equipment.paths.run_dir(one.id)
        news = one.running
        record, rebooted = ending.noted(one.record, exit_, run_dir) if news else (one.record, False)
        if news:
            record = health_state.ended(dataclasses.replace(record, intent=records.Intent.POSTSTOP))
            if self._again(record, rebooted=rebooted):  # nobody shall see it as exited meanwhile
                record = record.with_state(status=container.Status.RESTARTING)
            await self._shelf.note(one, record)
            one.ended.set()
            if exit_.oom:
                self.publish(record, "oom")
        if record.intent is records.Intent.POSTSTOP and record.config.host.poststop_hooks:
            await ending.poststop(self._equipment, record, exit_)
            await self._shelf.note(one, dataclasses.replace(one.record, intent=records.Intent.NONE))
        await cleanup.run(self._equipment, record, ended=exit_.known)
        for place in one.record.state.endpoints:
            events.of_membership(self._equipment.events, place, "disconnect", record.id)
        # Of the record as it is by now: a client may have given it another name.
        record = dataclasses.replace(one.record, intent=records.Intent.NONE, run=None, connecting="").with_state(
            endpoints=(), ports=(), status=container.Status.EXITED
        )
        again = self._again(record, rebooted=rebooted)
        if again:
            count = record.state.restart_count + (0 if rebooted else 1)
            record = record.with_state(status=container.Status.RESTARTING, restart_count=count)
        removed = not again and record.config.host.auto_remove and not one.restarting
        if removed:  # from here on nobody can start it
            record = dataclasses.replace(record, intent=records.Intent.REMOVE, remove_volumes=True)
            record = record.with_state(status=container.Status.REMOVING)
        await self._shelf.note(one, record)
        one.supervisor = None
        if news:
            if one.stopping:  # before the end, as dockerd tells it
                self.publish(record, "stop")
            self.publish(record, "die", exitCode=str(record.state.exit_code), execDuration=str(ending.duration(record)))
        if again:
            one.release(record.state.exit_code, "next-exit", "not-running")  # Docker's: each end is one
            one.restarter = self._tasks.spawn(self._restart_later(one, rebooted=rebooted), f"restart {one.id[:12]}")
            return
        if removed:
            self._tasks.spawn(self.remove(one), f"remove {one.id[:12]}")
        one.release(record.state.exit_code, "next-exit", "not-running")

    def _again(self, record: records.Record, *, rebooted: bool) -> bool:
        """Whether it is to run again after this end."""
        return rebooted or (not self._closing and restart.wanted(record, record.state.exit_code))

    async def _restart_later(self, one: shelf.Container, *, rebooted: bool) -> None:
        """Wait, then start again, unless somebody stopped or removed it meanwhile."""
        equipment = self._equipment
        if not rebooted:
            ran = equipment.clock.monotonic() - one.started_monotonic
            one.backoff = restart.delay(one.backoff, ran)
            await equipment.clock.sleep(one.backoff)
        async with one.lock:
            if self._closing or one.removed or one.record.state.status is not container.Status.RESTARTING:
                return
            try:
                await self.start(one)
            except errors.PouchError as error:
                log.warning("container %s: restart failed: %s", one.id[:12], error)
                one.release(one.record.state.exit_code, "not-running")

    async def cancel_restart(self, one: shelf.Container) -> bool:
        """Take back a restart that waits; whether there was one."""
        if one.record.state.status is not container.Status.RESTARTING:
            return False
        if one.restarter is not None:
            one.restarter.cancel()
            one.restarter = None
        record = dataclasses.replace(one.record, stopped_by_user=True)
        await self._shelf.note(one, record.with_state(status=container.Status.EXITED))
        one.release(record.state.exit_code, "not-running")
        return True

    async def stop(
        self, one: shelf.Container, timeout: float | None, *, by_user: bool = True, signal: int | None = None
    ) -> None:
        """An orderly stop, SIGKILL at its end. Raises Unavailable when not even that ended it.

        by_user: whether its restart policy shall take it for the user's wish. signal: the first one, where not its own.
        """
        run = one.require_running()
        if one.record.state.status is container.Status.PAUSED:
            await self._equipment.runtime(run.runtime).resume(one.id)
            self.publish(one.record, "unpause")
        if one.record.run is not run or not one.running:  # it had been killed while it was frozen
            return
        record = dataclasses.replace(one.record, stopped_by_user=by_user)
        if record.state.boot is not container.Boot.NONE:
            record = record.with_state(boot=container.Boot.STOPPING)
        await self._shelf.note(one, record.with_state(status=container.Status.RUNNING))
        if run.stop_files:
            await self._equipment.pools.fs(
                write.write, run.stop_files, self._equipment.paths.run_dir(one.id), run.user_namespace_base or 0
            )
        end_app = functools.partial(self._end_app, one, run)
        ended = asyncio.shield(one.supervisor) if one.supervisor is not None else None
        if ended is None or not await signals.stop(
            run, timeout, ended, end_app, functools.partial(self.signalled, one), first=signal
        ):
            raise errors.Unavailable(f"cannot stop container {one.record.name}: it did not end after SIGKILL")

    async def _end_app(self, one: shelf.Container, run: records.Run) -> None:
        """SIGKILL for what the app's stop timeout left of it: the init would go on waiting for it."""
        with contextlib.suppress(errors.PouchError):
            await self._equipment.pools.fs(processes.kill_app, one.record, run)

    async def remove(self, one: shelf.Container, *, volumes: bool = False, told: bool = True) -> None:
        """Forget a container that does not run, with all that is kept of it. One whose files resist is `dead`: only removal is left.

        volumes: with its anonymous volumes. told: whether anybody knew of it.
        """
        volumes = volumes or one.record.remove_volumes
        record = dataclasses.replace(one.record, intent=records.Intent.REMOVE, remove_volumes=volumes)
        await self._shelf.note(one, record.with_state(status=container.Status.REMOVING))
        one.end_visits()
        one.attachments.abandon()
        try:
            await self._equipment.pools.fs(_erase, self._equipment, one.id)
            if volumes:
                await self._volumes.remove_anonymous(record)
            orphaned = await self._shelf.delete(one)
        except errors.PouchError as error:
            await self._shelf.note(one, one.record.with_state(status=container.Status.DEAD, error=error.message))
            raise
        else:
            if told:
                self.publish(record, "destroy")
            if orphaned:
                await self._equipment.pools.fs(self._equipment.images.collect)
        finally:
            one.release(record.state.exit_code, "next-exit", "not-running", "removed")

    def end_restarts(self) -> None:
        """From now on nothing is started again: what restart policies want is for the next daemon."""
        self._closing = True

    async def close(self) -> None:
        """Let go of all containers: they go on without us."""
        self.end_restarts()
        await self._tasks.close()

    def signalled(self, one: shelf.Container, number: int) -> None:
        """Tell of a signal that its first process was sent."""
        self.publish(one.record, "kill", signal=str(number))

    def publish(self, record: records.Record, action: str, **attributes: str) -> None:
        """A container event with Docker's attributes."""
        events.of_container(self._equipment.events, record, action, **attributes)


def _erase(equipment: tools.Equipment, container_id: str) -> None:
    equipment.snapshots.remove(container_id)
    erase.erase(equipment.paths.containers(container_id))
