"""Processes of ours: the one place where the runtime room starts one.

asyncio's own subprocesses are not used: Python 3.11 watches each by a thread of its own, and 3.12 to 3.14 each changed the
watcher interface. A pidfd (pidfd_open(2)) in the loop works alike everywhere. `subprocess.Popen` starts them by vfork.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pouch.kernel import process as processes
from pouch.spec import errors

READ_SIZE = 65536
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Mapping[str, str] = {"PATH": SEARCH_PATH, "TZ": "UTC"}
"""What programs of ours see. Nothing of the daemon's: crun would act upon NOTIFY_SOCKET and LISTEN_FDS."""


def locate(program: str) -> str:
    """The program's absolute path. Raises Unavailable where it is not installed."""
    found = shutil.which(program, path=SEARCH_PATH)
    if found is None:
        raise errors.Unavailable(
            f'program "{program}" is not there: expected an executable file in {SEARCH_PATH}',
            hint=f"install {os.path.basename(program)}, or name its path in the daemon's configuration",
        )
    return os.path.abspath(found)


class _Process(subprocess.Popen[bytes]):
    """A process that may outlive us: monitors are meant to. Reaping is the loop's matter, so there is nothing to warn of."""

    def __del__(self) -> None:
        """Nothing, where Popen warns of a process that still runs."""


class Child:
    """A running process that is a child of this one; reaped by the loop it was started in, whether anybody waits or not."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int] = self._loop.create_future()
        self._callbacks: list[Callable[[], None]] = []
        try:
            self._pidfd = os.pidfd_open(process.pid)
            self._loop.add_reader(self._pidfd, self._reap)
        except BaseException:
            process.kill()
            process.wait()
            raise

    def __repr__(self) -> str:
        status = f"status {self._status.result()}" if self.ended else "running"
        return f"<Child {self.pid} {self._process.args!r} {status}>"

    @property
    def pid(self) -> int:
        """Its process id; no other process has it before this one is reaped."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it was reaped."""
        return self._status.done()

    async def wait(self) -> int:
        """Its exit code, or minus the signal that killed it. May be called by many, and cancelled without harm."""
        return await asyncio.shield(self._status)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back when it was reaped; in the next turn of the loop when it was already."""
        if self.ended:
            self._loop.call_soon(callback)
        else:
            self._callbacks.append(callback)

    def not_on_end(self, callback: Callable[[], None]) -> None:
        """Undo `on_end`; idempotent."""
        with contextlib.suppress(ValueError):
            self._callbacks.remove(callback)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._status.set_result(self._process.wait())  # its end was told: this does not block
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


def spawn(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] = ENVIRONMENT,
    directory: str | None = None,
    new_session: bool = False,
    oom_score_adj: int | None = 0,
) -> Child:
    """Start a program with these descriptors (DEVNULL where none is given). Takes about a millisecond of the loop's time.

    oom_score_adj: None for the daemon's own; what runs in containers must not be spared by the kernel as the daemon is.
    Raises Unavailable when the program cannot be executed or the host is out of processes, memory or descriptors.
    """
    try:
        with processes.oom_score(oom_score_adj):
            started = _Process(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                env=environment,
                cwd=directory,
                start_new_session=new_session,
            )
        return Child(started)
    except OSError as error:
        raise errors.Unavailable(f"cannot run {argv[0]}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has run: exit code or minus the signal, and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


async def run(argv: Sequence[str], *, limit: int = 1 << 20) -> Finished:
    """Run a program to its end; of each of its streams `limit` bytes are kept.

    Not the end of its output but the end of the process counts: a grandchild that inherited a stream does not hold this up.
    A caller that is cancelled leaves the program to itself: it is reaped nevertheless.
    """
    out, err = Collector(limit), Collector(limit)
    try:
        child = spawn(argv, stdout=out.write_end, stderr=err.write_end)
        out.begin()
        err.begin()
        status = await child.wait()
        return Finished(status, out.finish(), err.finish())
    finally:
        out.close()
        err.close()


class Collector:
    """A pipe whose other end is given to a process, and what was read from it so far. `close` must be called."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._ended = False

    def begin(self) -> None:
        """Read from now on; our copy of the writing end is closed."""
        os.close(self.write_end)
        self.write_end = -1
        self._loop.add_reader(self._read_end, self._read)

    async def line(self) -> bytes:
        """The first line; what there is of it when the writers are gone."""
        while b"\n" not in self._kept and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return bytes(self._kept).partition(b"\n")[0]

    def finish(self) -> bytes:
        """Everything that has been written until now."""
        while self._read():
            pass
        return bytes(self._kept)

    def close(self) -> None:
        """Close what is open; idempotent."""
        if self._read_end >= 0:
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            self._read_end = -1
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def _read(self) -> bool:
        """Take one piece; whether there may be more."""
        try:
            data = os.read(self._read_end, READ_SIZE)
        except BlockingIOError:
            return False
        self._changed.set()
        if not data:
            self._ended = True
            self._loop.remove_reader(self._read_end)
            return False
        self._kept += data[: max(0, self._limit - len(self._kept))]
        return True
