"""What the end of a run means: the container's exit code, whether its machine rebooted, and what hooks are told."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging

from pouch.engine import clock, groups, hooks, tail
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.rich import exit as rich_exit
from pouch.runtime import exits, memory
from pouch.spec import container, errors

log = logging.getLogger(__name__)

_HANGUP, _INTERRUPT = 128 + 1, 128 + 2
"""How PID 1 of a pid namespace dies by reboot(2): SIGHUP for a restart, SIGINT for halt and power-off (pid_namespaces(7))."""


async def of(equipment: tools.Equipment, container_id: str, run: records.Run) -> exits.Exit:
    """Wait for the end of a run."""
    exit_dir, kernel = equipment.paths.exit_dir, equipment.kernel_word
    exit_ = await exits.wait(exit_dir, container_id, run.monitor_pid, run.monitor_start)
    killed = await equipment.pools.fs(memory.last_look, groups.path(run), exit_dir, container_id, kernel)
    return dataclasses.replace(exit_, oom=exit_.oom or killed)


def noted(record: records.Record, exit_: exits.Exit, run_dir: str) -> tuple[records.Record, bool]:
    """The record after this end, and whether the machine rebooted itself. run_dir: the container's /run on the host."""
    run = record.run
    code, rebooted, error = exit_.code, False, exit_.reason
    app_code: int | None = None
    if record.config.rich is not None and run is not None:
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
        # the end's time is a file's, which the kernel takes from a clock that is some milliseconds late
        finished_at=max(clock.rfc3339(exit_.finished_ns), record.state.started_at),
    )
    return record, rebooted


def duration(record: records.Record) -> int:
    """Whole seconds that the run which has ended took."""
    began, ended = (dt.datetime.fromisoformat(text) for text in (record.state.started_at, record.state.finished_at))
    return int((ended - began).total_seconds())


async def poststop(equipment: tools.Equipment, record: records.Record, exit_: exits.Exit) -> None:
    """Run the hooks after the stop; their failure is told in the log."""
    commands = record.config.host.poststop_hooks
    if not commands:
        return
    log_path, code = equipment.paths.log(record.id), record.state.exit_code
    document = hooks.document(
        equipment,
        record,
        "stopped",
        exitCode=code,
        signal=code - 128 if 128 < code < 128 + 65 else 0,
        oomKilled=exit_.oom,
        reason=_reason(record, exit_),
        startedAt=record.state.started_at,
        finishedAt=record.state.finished_at,
        logPath=log_path,
        logTail=await equipment.pools.fs(tail.of, log_path, hooks.TAIL_BYTES),
    )
    try:
        await hooks.run(equipment, record, "poststop", commands, document)
    except errors.PouchError as error:
        log.warning("container %s: %s", record.id[:12], error)


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
