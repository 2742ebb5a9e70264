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
import os
from collections.abc import Coroutine

from pouch.engine import (
    boot,
    cleanup,
    clock,
    create,
    furnish,
    groups,
    hooks,
    prepare,
    processes,
    restart,
    shelf,
    signals,
    tail,
    views,
)
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine.specbuild import build, capabilities
from pouch.kernel import process
from pouch.rich import exit as rich_exit
from pouch.rich import plan as rich_plan
from pouch.rich import write
from pouch.runtime import attach, execs, exits, memory, monitor
from pouch.spec import container, errors
from pouch.store import erase

log = logging.getLogger(__name__)

_HANGUP, _INTERRUPT = 128 + 1, 128 + 2
"""How PID 1 of a pid namespace dies by reboot(2): SIGHUP for a restart, SIGINT for halt and power-off (pid_namespaces(7))."""
_STATE_SECONDS = 120.0
_ASK_AGAIN_SECONDS = 0.2


class Lifecycle:
    """Starts, watches and ends containers."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    # -- start --------------------------------------------------------------------------------------------------------

    async def start(self, one: shelf.Container) -> None:
        """Raises StartFailed and what `prepare` raises; then nothing of it is left."""
        equipment = self._equipment
        record = dataclasses.replace(one.record, intent=records.Intent.START, stopped_by_user=False)
        await self._shelf.save(one, record)
        one.killed_at_start = False
        notify: boot.NotifySocket | None = None
        try:
            base = await self._reserve_range(record)
            record, addressing = await self._reserve_address(record)
            pool = equipment.pools.long if equipment.snapshots.copies else equipment.pools.fs
            prepared = await pool(prepare.prepare, equipment, record, base, addressing)
            if prepared.plan is not None:
                notify = self._listen(one, base or 0)
            created = await self._create(record, prepared)
            record = await self._launch(one, record, prepared, created, base, notify)
        except BaseException as error:
            if notify is not None:
                notify.close()
            one.attachments.abandon()
            await self._failed(one, record, error)
            if one.killed_at_start and isinstance(error, errors.StartFailed):
                raise errors.Conflict(f"container {record.id} was killed while it was being started") from error
            raise
        finally:
            one.starting = None
        await self._running(one, record, prepared, notify)

    def interrupt(self, one: shelf.Container, number: int) -> None:
        """A signal for a start that is under way and whose init does not run yet: it fails then, instead of holding the lock for long."""
        run, handed_over = one.starting, one.handed_over
        if run is not None and (number == signals.KILL or (handed_over is not None and not handed_over.done())):
            one.killed_at_start = number == signals.KILL
            signals.to_init(run, number)

    async def _reserve_range(self, record: records.Record) -> int | None:
        equipment = self._equipment
        if not (record.user_namespaced and equipment.user_namespaces):
            return None
        first, last = equipment.settings.userns_first, equipment.settings.userns_last
        return await equipment.pools.db(equipment.database.reserve_range, record.id, first, last)

    async def _reserve_address(self, record: records.Record) -> tuple[records.Record, prepare.Addressing]:
        if record.config.host.network_mode != "bridge":
            return record, prepare.Addressing()
        equipment, network = self._equipment, self._equipment.bridge
        address = await equipment.pools.db(
            equipment.database.reserve_address, network.name, record.id, network.subnet, ()
        )
        record = record.with_state(ip_address=address)
        record = dataclasses.replace(record, gateway=str(network.gateway), prefix_length=network.subnet.prefixlen)
        return record, prepare.Addressing(address=address, gateway=record.gateway)

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

    async def _launch(
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
        )
        one.starting = run
        record = dataclasses.replace(record, run=run, warnings=prepared.warnings)
        record = await equipment.pools.fs(furnish.furnish, equipment, record, prepared, base)
        await one.attachments.connect(lambda: self._attach(record))
        if record.config.host.prestart_hooks:
            document = self._hook_state(record, "created")
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
        record = dataclasses.replace(record, intent=records.Intent.NONE).with_state(
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
        one.restarting = False
        one.record = record  # running and supervised are one step: nobody sees the one without the other
        self.supervise(one, notify)
        self._publish(record, "start")
        await self._shelf.note(one, record)
        for warning in prepared.warnings:
            log.info("container %s: %s", record.id[:12], warning)
        if one.ready:  # it was faster than our own record of the start
            self.learn_boot(one)

    def _listen(self, one: shelf.Container, owner: int) -> boot.NotifySocket:
        one.ready = False
        one.handed_over = asyncio.get_running_loop().create_future()
        path = f"{self._equipment.paths.run_dir(one.id)}/{rich_plan.NOTIFY_SOCKET}"
        return boot.NotifySocket(path, owner, lambda message: self._notified(one, message))

    async def _failed(self, one: shelf.Container, record: records.Record, error: BaseException) -> None:
        one.stop_watching_memory()
        await cleanup.run(self._equipment, record)
        code = error.exit_code if isinstance(error, errors.StartFailed) else 125
        text = error.message if isinstance(error, errors.PouchError) else repr(error)
        state = dataclasses.replace(
            one.record.state, exit_code=code, error=text, pid=0, monitor_pid=0, ip_address="", boot=container.Boot.NONE
        )
        if state.status is not container.Status.CREATED:
            state = dataclasses.replace(state, status=container.Status.EXITED)
        if not one.removed:
            left = dataclasses.replace(one.record, intent=records.Intent.NONE, run=None, state=state)
            await self._shelf.note(one, left)
        if record.config.host.auto_remove:
            await self.remove(one)

    # -- while it runs ------------------------------------------------------------------------------------------------

    def supervise(self, one: shelf.Container, notify: boot.NotifySocket | None) -> None:
        """Wait for the end of the current run, in a task of its own."""
        if one.memory_watch is None and one.record.run is not None:  # adopted
            self._watch_memory(one, one.record.run)
        one.supervisor = self._spawn(self._supervise(one, notify), f"supervise {one.id[:12]}")

    def _watch_memory(self, one: shelf.Container, run: records.Run) -> None:
        looking = memory.look_on(groups.path(run), self._equipment.paths.exit_dir, one.id)
        one.memory_watch = self._spawn(looking, f"memory {one.id[:12]}")

    async def end_of(self, one: shelf.Container, run: records.Run) -> exits.Exit:
        """Wait for the end of a run."""
        exit_dir, kernel = self._equipment.paths.exit_dir, self._equipment.kernel_word
        exit_ = await exits.wait(exit_dir, one.id, run.monitor_pid, run.monitor_start)
        killed = await self._equipment.pools.fs(memory.last_look, groups.path(run), exit_dir, one.id, kernel)
        return dataclasses.replace(exit_, oom=exit_.oom or killed)

    def resume_boot(self, one: shelf.Container) -> boot.NotifySocket | None:
        """Listen again to an init that outlived the daemon."""
        run = one.record.run
        if one.record.config.rich is None or run is None:
            return None
        with contextlib.suppress(OSError):
            return self._listen(one, run.user_namespace_base or 0)
        return None

    async def _supervise(self, one: shelf.Container, notify: boot.NotifySocket | None) -> None:
        run = one.record.run
        assert run is not None
        try:
            exit_ = await self.end_of(one, run)
        finally:
            if notify is not None:
                notify.close()
            one.stop_watching_memory()
            if one.boot_watch is not None:
                one.boot_watch.cancel()
        await self.finish(one, exit_)

    def _notified(self, one: shelf.Container, message: dict[str, str]) -> None:
        if message.get("X_POUCH_STAGE") == "init" and one.handed_over is not None and not one.handed_over.done():
            one.handed_over.set_result(None)
        if message.get("READY") == "1":
            one.ready = True
            if one.running:
                self.learn_boot(one)

    def learn_boot(self, one: shelf.Container) -> None:
        """Find out whether the machine runs as it should, in a task of its own."""
        if one.boot_watch is None or one.boot_watch.done():
            one.boot_watch = self._spawn(self._learn_boot(one), f"boot {one.id[:12]}")

    async def _learn_boot(self, one: shelf.Container) -> None:
        run = one.record.run
        if run is None:
            return
        found = await self._state_of_services(one, run) if run.state_command else container.Boot.RUNNING
        if one.running and one.record.run is run:
            await self._shelf.note(one, one.record.with_state(boot=found))
            self._publish(one.record, f"boot: {found.value}")

    async def _state_of_services(self, one: shelf.Container, run: records.Run) -> container.Boot:
        """Ask the init until it has come to an end with its start: the last jobs may still be in its queue when it says READY."""
        document = {
            "args": list(run.state_command),
            "env": [build.PATH],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "capabilities": capabilities.document(frozenset(), uid=0),
        }
        runtime, clock_ = self._equipment.runtime(run.runtime), self._equipment.clock
        deadline = clock_.monotonic() + _STATE_SECONDS
        while clock_.monotonic() < deadline:
            try:
                group = await self._equipment.pools.fs(groups.of_init, run)
                said = await execs.output(runtime, one.id, document, limit=256, cgroup=group)
            except errors.PouchError as error:
                log.warning("container %s: %s: %s", one.id[:12], " ".join(run.state_command), error)
                break
            found = boot.STATES.get(said.decode(errors="replace").strip())
            if found is not None:
                return found
            await clock_.sleep(_ASK_AGAIN_SECONDS)
        return container.Boot.RUNNING

    # -- end ----------------------------------------------------------------------------------------------------------

    async def finish(self, one: shelf.Container, exit_: exits.Exit) -> None:
        """The end of a run, exactly once: the record first, then hooks, then everything is taken away, then what the policy wants."""
        record, rebooted = self._ended(one.record, exit_) if one.running else (one.record, False)
        if one.running:
            record = dataclasses.replace(record, intent=records.Intent.POSTSTOP)
            await self._shelf.note(one, record)
            one.ended.set()
            self._publish_end(record, exit_)
        if record.intent is records.Intent.POSTSTOP and record.config.host.poststop_hooks:
            await self._poststop(record, exit_)
            await self._shelf.note(one, dataclasses.replace(one.record, intent=records.Intent.NONE))
        await cleanup.run(self._equipment, record, ended=exit_.known)
        # Of the record as it is by now: a client may have given it another name.
        record = dataclasses.replace(
            one.record, intent=records.Intent.NONE, run=None, gateway="", prefix_length=0
        ).with_state(ip_address="", mac_address="")
        again = rebooted or (not self._closing and restart.wanted(record, record.state.exit_code))
        if again:
            count = record.state.restart_count + (0 if rebooted else 1)
            record = record.with_state(status=container.Status.RESTARTING, restart_count=count)
        removed = not again and record.config.host.auto_remove and not one.restarting
        if removed:  # from here on nobody can start it
            record = dataclasses.replace(record, intent=records.Intent.REMOVE)
            record = record.with_state(status=container.Status.REMOVING)
        await self._shelf.note(one, record)
        one.supervisor = None
        if again:
            one.release(record.state.exit_code, "next-exit")
            one.restarter = self._spawn(self._restart_later(one, rebooted=rebooted), f"restart {one.id[:12]}")
            return
        if removed:
            self._spawn(self.remove(one), f"remove {one.id[:12]}")
        one.release(record.state.exit_code, "next-exit", "not-running")

    def _ended(self, record: records.Record, exit_: exits.Exit) -> tuple[records.Record, bool]:
        """The record after this end, and whether the machine rebooted itself."""
        run = record.run
        code, rebooted, error = exit_.code, False, exit_.reason
        app_code: int | None = None
        if record.config.rich is not None and run is not None:
            run_dir = self._equipment.paths.run_dir(record.id)
            if run.has_app:
                ended = rich_exit.read(run_dir)
                app_code = ended.code if ended is not None else None
            # The machine's own doing, not the app's end: then what the app died of on the way is not the container's code.
            own = not record.stopped_by_user and exit_.code != app_code and not rich_exit.ended_by_app(run_dir)
            rebooted = own and exit_.code == _HANGUP
            if own and exit_.code in (_HANGUP, _INTERRUPT):
                code = 0
            elif app_code is not None:
                code = app_code
            elif code == _INTERRUPT:
                code = 0
        record = record.with_state(
            status=container.Status.EXITED,
            boot=container.Boot.NONE,
            pid=0,
            monitor_pid=0,
            exit_code=code,
            app_exit_code=app_code,
            error=error,
            oom_killed=exit_.oom,
            finished_at=clock.rfc3339(exit_.finished_ns),
        )
        return record, rebooted

    def _publish_end(self, record: records.Record, exit_: exits.Exit) -> None:
        if exit_.oom:
            self._publish(record, "oom")
        self._publish(record, "die", exitCode=str(record.state.exit_code))

    async def _poststop(self, record: records.Record, exit_: exits.Exit) -> None:
        commands = record.config.host.poststop_hooks
        if not commands:
            return
        paths = self._equipment.paths
        code = record.state.exit_code
        document = self._hook_state(
            record,
            "stopped",
            exitCode=code,
            signal=code - 128 if 128 < code < 128 + 65 else 0,
            oomKilled=exit_.oom,
            reason=_reason(record, exit_),
            startedAt=record.state.started_at,
            finishedAt=record.state.finished_at,
            logPath=paths.log(record.id),
            logTail=await self._equipment.pools.fs(tail.of, paths.log(record.id), hooks.TAIL_BYTES),
        )
        try:
            await hooks.run(self._equipment, record, "poststop", commands, document)
        except errors.PouchError as error:
            log.warning("container %s: %s", record.id[:12], error)

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

    async def stop(self, one: shelf.Container, timeout: float | None, *, by_user: bool = True) -> None:
        """An orderly stop, SIGKILL at its end. Raises Unavailable when not even that ended it.

        by_user: whether its restart policy shall take it for the user's wish.
        """
        run = one.require_running()
        if one.record.state.status is container.Status.PAUSED:
            await self._equipment.runtime(run.runtime).resume(one.id)
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
        if one.supervisor is None or not await signals.stop(run, timeout, asyncio.shield(one.supervisor), end_app):
            raise errors.Unavailable(f"cannot stop container {one.record.name}: it did not end after SIGKILL")

    async def _end_app(self, one: shelf.Container, run: records.Run) -> None:
        """SIGKILL for what the app's stop timeout left of it: the init would go on waiting for it."""
        with contextlib.suppress(errors.PouchError):
            await self._equipment.pools.fs(processes.kill_app, one.record, run)

    async def remove(self, one: shelf.Container) -> None:
        """Forget a container that does not run, with all that is kept of it. One whose files resist is `dead`: only removal is left."""
        record = dataclasses.replace(one.record, intent=records.Intent.REMOVE)
        await self._shelf.note(one, record.with_state(status=container.Status.REMOVING))
        one.attachments.abandon()
        try:
            await self._equipment.pools.fs(_erase, self._equipment, one.id)
            orphaned = await self._shelf.delete(one)
        except errors.PouchError as error:
            await self._shelf.note(one, one.record.with_state(status=container.Status.DEAD, error=error.message))
            raise
        else:
            self._publish(record, "destroy")
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
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    # -- words --------------------------------------------------------------------------------------------------------

    def _hook_state(self, record: records.Record, status: str, **more: object) -> dict[str, object]:
        paths = self._equipment.paths
        return hooks.state(record, status, paths.container_run(record.id), paths.rootfs(record.id), **more)

    def publish(self, record: records.Record, action: str, **attributes: str) -> None:
        """A container event with Docker's attributes."""
        self._publish(record, action, **attributes)

    def _publish(self, record: records.Record, action: str, **attributes: str) -> None:
        found = {**record.labels, "image": record.image_name, "name": record.name, **attributes}
        self._equipment.events.publish("container", action, record.id, found)

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(_guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that was cancelled before it began
        return task


async def _guarded(work: Coroutine[object, object, None], name: str) -> None:
    """No task of ours dies unseen."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("%s failed", name)


def _erase(equipment: tools.Equipment, container_id: str) -> None:
    equipment.snapshots.remove(container_id)
    erase.erase(equipment.paths.containers(container_id))


def _reason(record: records.Record, exit_: exits.Exit) -> str:
    """Why it ended, for hooks: stopped, oom, lost (the monitor died), signal, failed, done."""
    code = record.state.exit_code
    if exit_.reason:
        return "lost"
    if exit_.oom:
        return "oom"
    if record.stopped_by_user:
        return "stopped"
    if code > 128:
        return "signal"
    return "failed" if code else "done"
