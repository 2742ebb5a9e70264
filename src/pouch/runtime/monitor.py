"""The monitor: conmon, one small process per container, its parent and the holder of its streams, log and exit code.

It outlives the daemon. It is started with `--sync` (it stays our child, but in a session of its own): so its pid is known at
once and a fork and a pid file are saved; when the daemon ends it is adopted by PID 1. It lives in the daemon's cgroup,
never in the container's: a unit for the daemon needs `KillMode=process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import dataclass

from pouch.kernel import process
from pouch.runtime import child, exits, failure, oci
from pouch.spec import errors

_ANSWER_LIMIT = 65536
_FINISH_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorRequest:
    """What a monitor is to make and watch."""

    id: str
    name: str
    bundle: str
    """Directory with config.json; conmon puts its sockets here (see attach.py)."""
    log_path: str
    """The log in k8s-file format; "" for none. No colon in it: conmon would cut it there."""
    pid_file: str
    tty: bool = False
    stdin: bool = False
    """Whether the container's stdin is a pipe to attached clients, not /dev/null."""
    stdin_once: bool = False
    """Whether its stdin ends when the first attached client goes or ends its input; else it stays open for the next."""
    log_max_size: int = 0
    """Bytes after which the log is begun anew; 0 for no limit."""
    exit_command: tuple[str, ...] = ()
    """Run by the monitor when the container has ended."""
    keep_fds: tuple[int, ...] = ()
    """Descriptors of ours that the monitor is to have open for as long as it lives: sockets that hold ports. The container has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A container that is created but not started. Start times as `kernel.process.start_time` gives them."""

    monitor_pid: int
    monitor_start_time: int
    pid: int


class Monitor:
    """Starts monitors."""

    def __init__(self, program: str, runtime: oci.Runtime, exit_dir: str) -> None:
        """Raises Unavailable when the program is not installed."""
        self.program = child.locate(program)
        self.runtime = runtime
        self.exit_dir = exit_dir

    async def create(self, request: MonitorRequest) -> Created:
        """Start a monitor that makes the container (the runtime's `create`). Raises StartFailed with Docker's words and codes.

        After a failure, or when the caller is cancelled, neither monitor nor container is left.
        """
        home = exits.prepare(self.exit_dir, request.id)
        answer, complaint = child.Collector(_ANSWER_LIMIT), child.Collector(_ANSWER_LIMIT)
        try:
            argv = self.command(request, home)
            environment = {**child.ENVIRONMENT, "_OCI_SYNCPIPE": str(answer.write_end)}
            monitor = child.spawn(
                argv,
                stderr=complaint.write_end,
                pass_fds=(answer.write_end, *request.keep_fds),
                environment=environment,
                oom_score_adj=None,  # it protects itself, and gives the container the usual
                directory=home,  # where it would leave its `oom` file, and a place that keeps no mount busy
            )
            answer.begin()
            complaint.begin()
            return await self._answered(request, monitor, answer, complaint)
        finally:
            answer.close()
            complaint.close()
            take_null_back()  # before anything of the container runs

    def command(self, request: MonitorRequest, home: str) -> list[str]:
        """conmon's argv."""
        if ":" in request.log_path:
            raise errors.InvalidInput(f'log path "{request.log_path}" has a colon in it, which conmon cannot take')
        argv = [self.program, "--sync", "--api-version", "1", "--full-attach", "--no-sync-log", "--log-level", "error"]
        argv += ["--cid", request.id, "--cuuid", request.id, "--name", request.name, "--bundle", request.bundle]
        argv += ["--persist-dir", home, "--container-pidfile", request.pid_file]
        argv += ["--log-path", f"k8s-file:{request.log_path}" if request.log_path else "none"]
        argv += ["--runtime", self.runtime.program]
        for option in self.runtime.options:
            argv += ["--runtime-arg", option]
        if request.log_max_size > 0:
            argv += ["--log-size-max", str(request.log_max_size)]
        if request.tty:
            argv.append("--terminal")
        if request.stdin:
            argv.append("--stdin")
            if request.tty or not request.stdin_once:  # a terminal's end is typed; who detached from it may come again
                argv.append("--leave-stdin-open")
        if request.exit_command:
            argv += ["--exit-command", request.exit_command[0]]
            for word in request.exit_command[1:]:
                argv += ["--exit-command-arg", word]
        return argv

    async def _answered(
        self, request: MonitorRequest, monitor: child.Child, answer: child.Collector, complaint: child.Collector
    ) -> Created:
        """Wait for the monitor's one line on the sync pipe: {"data": PID} or {"data": -1, "message": TEXT}."""
        start_time = process.start_time(monitor.pid)
        try:
            line = await answer.line()
        except asyncio.CancelledError:
            # A runtime that is killed half-way leaves cgroups behind: let it finish, then undo what it did.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FINISH_SECONDS):
                    await answer.line()
            await asyncio.shield(asyncio.ensure_future(self._undo(request, monitor)))
            raise
        pid, text = _understood(line)
        if pid > 0:
            return Created(monitor_pid=monitor.pid, monitor_start_time=start_time, pid=pid)
        await self._undo(request, monitor)
        text = text or complaint.finish().decode(errors="replace")
        raise failure.start_failed(self.runtime.name, text, _program_of(request.bundle))

    async def _undo(self, request: MonitorRequest, monitor: child.Child) -> None:
        with contextlib.suppress(errors.PouchError):
            await self.runtime.delete(request.id, force=True)
        monitor.send_signal(signal.SIGKILL)  # a runtime below it dies with it (PR_SET_PDEATHSIG)
        await monitor.wait()
        exits.forget(self.exit_dir, request.id)


def take_null_back() -> None:
    """Make root the owner of /dev/null again.

    A runtime that makes a container in a user namespace gives its streams to the namespace's root (crun 1.8), and conmon's stdin for
    it is the host's /dev/null. Its owner could take the device from all of the host by chmod.
    """
    with contextlib.suppress(OSError):
        found = os.stat(os.devnull)
        if (found.st_uid, found.st_gid) != (0, 0):
            os.chown(os.devnull, 0, 0)


def _understood(line: bytes) -> tuple[int, str]:
    """The pid (-1 for a failure) and the message of the monitor's answer."""
    try:
        document = json.loads(line.decode(errors="replace"), strict=False) if line else {}
        return int(document.get("data", -1)), str(document.get("message", ""))
    except (ValueError, TypeError, AttributeError):
        return -1, f"the monitor answered {line[:200]!r}"


def _program_of(bundle: str) -> str:
    """argv[0] of the bundle's process, for the error's text."""
    try:
        with open(os.path.join(bundle, "config.json"), "rb") as file:
            return str(json.load(file)["process"]["args"][0])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
