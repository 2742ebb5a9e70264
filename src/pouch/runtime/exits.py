"""How containers ended: what monitors leave behind, and waiting for it.

::

    <exit_dir>/<id>/      the monitor's persistent and working directory
    ├── exit              decimal exit code, 128 + n for signal n; written whole, just before the monitor ends
    └── oom               there when the kernel ran out of the container's memory
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from pouch.kernel import process
from pouch.spec import errors

UNKNOWN_CODE = 255
"""The exit code of a container whose monitor was killed: nobody can know the real one any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The end of a container. finished_ns: nanoseconds since 1970.

    `reason` is empty, or says why the code is not known: then the container's processes may still run, without anybody
    who reads their output, and are to be killed.
    """

    code: int
    finished_ns: int
    oom: bool = False
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether `code` is the container's own."""
        return not self.reason


def directory(exit_dir: str, container_id: str) -> str:
    """What one container's monitor writes into."""
    return f"{exit_dir}/{container_id}"


def prepare(exit_dir: str, container_id: str) -> str:
    """An empty directory for the next run's monitor, so that an older end is never taken for a new one."""
    forget(exit_dir, container_id)
    path = directory(exit_dir, container_id)
    os.makedirs(path, mode=0o700)
    return path


def forget(exit_dir: str, container_id: str) -> None:
    """Remove what a monitor left; idempotent."""
    shutil.rmtree(directory(exit_dir, container_id), ignore_errors=True)


def note_oom(exit_dir: str, container_id: str) -> None:
    """Leave what a monitor leaves when the kernel ran out of the container's memory; nothing where there is no run to note it of."""
    with contextlib.suppress(FileNotFoundError), open(f"{directory(exit_dir, container_id)}/oom", "ab"):
        pass


def oom_noted(exit_dir: str, container_id: str) -> bool:
    """Whether a monitor or `note_oom` has left that mark."""
    return os.path.exists(f"{directory(exit_dir, container_id)}/oom")


def read(exit_dir: str, container_id: str) -> Exit | None:
    """How the container's last run ended, or None while it has not."""
    path = directory(exit_dir, container_id)
    try:
        with open(f"{path}/exit", "rb") as file:
            text = file.read(16).strip()
            finished_ns = os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.Unavailable(f"cannot read exit file {path}/exit: {error.strerror}") from error
    try:
        code = int(text)
    except ValueError as error:
        raise errors.CorruptData(f"exit file {path}/exit holds {text!r}: expected a decimal exit code") from error
    if code < 0:  # conmon's -1: it ended its loop without a status of the container
        return _unknown(container_id, finished_ns, f"its monitor wrote {code}")
    return Exit(code=code, finished_ns=finished_ns, oom=oom_noted(exit_dir, container_id))


async def wait(
    exit_dir: str,
    container_id: str,
    monitor_pid: int,
    monitor_start_time: int,
    *,
    clock: Callable[[], int] = time.time_ns,
) -> Exit:
    """Wait for the end of a container's run by its monitor's pidfd: also of one that is not our child, or gone long ago.

    monitor_start_time: as `kernel.process.start_time` gave it (clock ticks); tells whether the pid is still the monitor's.
    """
    await _gone(monitor_pid, monitor_start_time)
    # The monitor writes before it ends: whatever it had to say is there now.
    why = f"its monitor (pid {monitor_pid}) ended without leaving one"
    return read(exit_dir, container_id) or _unknown(container_id, clock(), why)


def _unknown(container_id: str, finished_ns: int, why: str) -> Exit:
    return Exit(
        code=UNKNOWN_CODE, finished_ns=finished_ns, reason=f"exit code of container {container_id} is unknown: {why}"
    )


async def _gone(pid: int, start_time: int) -> None:
    """Return when the process with that pid and start time has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError as error:
        raise errors.KernelError("pidfd_open", str(pid), error.errno or 0) from error
    loop = asyncio.get_running_loop()
    try:
        # Compared after opening: from here on the descriptor cannot come to mean another process.
        if process.start_time(pid) != start_time or _readable(pidfd):
            return
        ended = asyncio.Event()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
    finally:
        os.close(pidfd)


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
