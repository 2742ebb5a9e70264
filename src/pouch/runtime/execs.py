"""Further processes in a running container, each run by the OCI runtime's `exec` as a child of the daemon.

Their streams are ours: pipes that the process itself holds (nobody copies between), or its terminal. No monitor is needed,
which halves the time; the price is that an exec process loses its client and its exit code when the daemon ends.
Its runtime process waits for it and passes its exit code on, so a detached one's code is known too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pouch.kernel import device
from pouch.kernel import process as processes
from pouch.runtime import child, failure, oci, stdio, terminal, watch
from pouch.spec import errors

_MESSAGE = 64 << 10
_NOT_RUNNING = ("not running", "is stopped", "stopped container")


class ExecProcess:
    """An exec process that has begun."""

    def __init__(
        self, runner: child.Child, pid: int, streams: stdio.PipeStdio, *, detached: bool, relayed: bool
    ) -> None:
        """relayed: the runner itself copies between the terminal and the process."""
        self._runner = runner
        self._streams = streams
        self._relayed = relayed
        self._start_time = processes.start_time(pid)
        self.pid = pid
        """As the host sees it."""
        self.stdio = None if detached else streams
        """Its streams; None for a detached one. The caller closes them."""

    def __repr__(self) -> str:
        return f"<ExecProcess {self.pid} {self._runner!r}>"

    @property
    def running(self) -> bool:
        """Whether its exit code is still to come."""
        return not self._runner.ended

    async def wait(self) -> int:
        """Its exit code; 128 + n when signal n killed it. May be called by many, at any time."""
        status = await self._runner.wait()
        return status if status >= 0 else 128 - status

    def resize(self, height: int, width: int) -> None:
        """Set the size of its terminal. Conflict when it has none, or none any more."""
        if self._streams.terminal < 0:
            raise errors.Conflict(f"exec process {self.pid} has no terminal to resize")
        terminal.set_size(self._streams.terminal, height, width)
        if self._relayed:
            self._runner.send_signal(signal.SIGWINCH)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; nothing happens when it has ended."""
        processes.send_signal(self.pid, self._start_time, number)


async def spawn(
    runtime: oci.Runtime,
    container_id: str,
    process: Mapping[str, Any],
    *,
    tty: bool = False,
    stdin: bool = False,
    stdout: bool = True,
    stderr: bool = True,
    detach: bool = False,
    size: tuple[int, int] | None = None,
    cgroup: str = "",
    owner: tuple[int, int] | None = None,
) -> ExecProcess:
    """Run an OCI `process` document in a running container; answers when it has begun.

    stdin, stdout, stderr: what the client wants; the rest is a null device. size: height, width of the terminal.
    owner: host ids for the streams, where the container has a user namespace of its own.
    cgroup: below the container's own, for a container whose init has made it a tree (cgroup v2 refuses processes in its root).
    Raises StartFailed with Docker's words and codes (126, 127), Conflict when the container does not run.
    """
    document = dict(process) | {"terminal": tty}
    if size is not None and tty:
        document["consoleSize"] = {"height": size[0], "width": size[1]}
    with contextlib.ExitStack() as undo:
        attempt = _Attempt(runtime, container_id, document, cgroup, owner, undo)
        relayed = tty and not runtime.sends_console
        if not tty:
            stdin, stdout, stderr = (wanted and not detach for wanted in (stdin, stdout, stderr))
            runner, pid, streams = await attempt.with_pipes(stdin=stdin, stdout=stdout, stderr=stderr)
        elif relayed:
            runner, pid, streams = await attempt.with_relay(size or (0, 0))
        else:
            runner, pid, streams = await attempt.with_console()
        if detach:
            await streams.close()
        started = ExecProcess(runner, pid, streams, detached=detach, relayed=relayed)
        if size is not None and tty:
            with contextlib.suppress(errors.Conflict):  # it has ended already
                started.resize(*size)
        return started


async def output(
    runtime: oci.Runtime, container_id: str, process: Mapping[str, Any], *, limit: int = 1 << 20, cgroup: str = ""
) -> bytes:
    """What a short command prints on stdout, `limit` bytes of it. When the caller is cancelled, the command is killed."""
    started = await spawn(runtime, container_id, process, stderr=False, cgroup=cgroup)
    assert started.stdio is not None
    kept = bytearray()
    try:
        while (piece := await started.stdio.read()) is not None:
            kept += piece[1][: max(0, limit - len(kept))]
    except BaseException:
        started.kill()
        raise
    finally:
        await started.stdio.close()
    return bytes(kept)


class _Attempt:
    """The start of one exec process. Descriptors that are open when it fails are closed by `undo`."""

    def __init__(
        self,
        runtime: oci.Runtime,
        container_id: str,
        document: Mapping[str, Any],
        cgroup: str,
        owner: tuple[int, int] | None,
        undo: contextlib.ExitStack,
    ) -> None:
        self._runtime = runtime
        self._id = container_id
        self._document = document
        self._cgroup = cgroup
        self._owner = owner
        self._undo = undo
        self._home = runtime.make_scratch()
        undo.callback(shutil.rmtree, self._home, ignore_errors=True)

    async def with_pipes(self, *, stdin: bool, stdout: bool, stderr: bool) -> tuple[child.Child, int, stdio.PipeStdio]:
        """Run it with pipes for what is wanted."""
        in_read, in_write = os.pipe() if stdin else (device.open_null(), -1)
        ours, given, outputs = [in_write], [in_read], {}
        for stream, wanted in ((1, stdout), (2, stderr)):
            read_end, write_end = os.pipe() if wanted else (-1, device.open_null())
            ours.append(read_end)
            given.append(write_end)
            if wanted:
                outputs[read_end] = stream
        kept = self._undo.enter_context(_closing(ours))
        with _closing(given):
            self._give(given)
            runner = self._run(given)
        pid = await self._begun(runner)
        kept.clear()
        return runner, pid, stdio.PipeStdio(outputs, in_write, runner, tty=False)

    async def with_console(self) -> tuple[child.Child, int, stdio.PipeStdio]:
        """Run it with a terminal that the runtime makes and sends us."""
        console = terminal.ConsoleSocket(f"{self._home}/tty")
        with contextlib.closing(console):
            with _closing([device.open_null()]) as (null,):
                runner = self._run([null] * 3, f"--console-socket={console.path}")
            master = await console.receive(runner)
        kept = self._undo.enter_context(_closing([master]))
        pid = await self._begun(runner)
        kept.clear()
        return runner, pid, stdio.PipeStdio({master: 1}, master, runner, tty=True)

    async def with_relay(self, size: tuple[int, int]) -> tuple[child.Child, int, stdio.PipeStdio]:
        """Run it with a terminal of ours, which the runtime copies to and from the inner one."""
        master, slave = os.openpty()
        kept = self._undo.enter_context(_closing([master]))
        with _closing([slave]):
            terminal.set_size(master, *size)
            runner = self._run([slave] * 3)
        pid = await self._begun(runner)
        kept.clear()
        return runner, pid, stdio.PipeStdio({master: 1}, master, runner, tty=True)

    def _give(self, given: Sequence[int]) -> None:
        """The process's user must be able to open /dev/stdout anew; across a user namespace the runtime cannot see to it."""
        if self._owner is not None:
            for fd in given:
                os.fchown(fd, *self._owner)

    def _run(self, given: Sequence[int], *options: str) -> child.Child:
        words = [f"--log={self._home}/log", "exec", f"--pid-file={self._home}/pid", *options]
        if self._cgroup:
            words.append(f"--cgroup={self._cgroup}")
        document = os.memfd_create("process")
        with _closing([document]), open(document, "wb", closefd=False) as file:
            file.write(json.dumps(self._document).encode())
            file.flush()
            words += [f"--process=/proc/self/fd/{document}", self._id]
            stdin, stdout, stderr = given
            argv = self._runtime.command(*words)
            score = int(self._document.get("oomScoreAdj") or 0)  # which crun's exec does not set
            return child.spawn(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(document,),
                new_session=True,
                oom_score_adj=score,
            )

    async def _begun(self, runner: child.Child) -> int:
        """Wait until the process has begun: the runtime writes its pid only then. Raises what the runtime says otherwise."""
        woken = asyncio.Event()
        runner.on_end(woken.set)
        try:
            with watch.changes(self._home, woken):
                while (pid := _pid(f"{self._home}/pid")) == 0:
                    if runner.ended:
                        raise self._failed()
                    woken.clear()
                    if not runner.ended:
                        await woken.wait()
                return pid
        except asyncio.CancelledError:
            runner.send_signal(signal.SIGKILL)
            raise
        finally:
            runner.not_on_end(woken.set)

    def _failed(self) -> errors.PouchError:
        try:
            with open(f"{self._home}/log", encoding="utf-8", errors="replace") as file:
                text = file.read(_MESSAGE)
        except OSError:
            text = ""
        if any(words in text for words in _NOT_RUNNING) or not self._runtime.knows(self._id):
            return errors.Conflict(f"container {self._id} is not running")
        return failure.start_failed(self._runtime.name, text, str(next(iter(self._document.get("args") or ("",)))))


def _pid(path: str) -> int:
    """The pid in a file; 0 while there is none (it is written in place by crun, renamed there by runc)."""
    try:
        with open(path, "rb") as file:
            return int(file.read(16) or 0)
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _closing(descriptors: list[int]) -> Iterator[list[int]]:
    """Close these at the end, but for the negative ones; what the user of the list takes out of it stays open."""
    try:
        yield descriptors
    finally:
        for fd in descriptors:
            if fd >= 0:
                os.close(fd)
