"""What the container left for the engine in /run/pouch: the app's end, and why a start failed. Both can be forged by its root.

So they are read as what strangers write: no link followed, no kind but a small regular file, each field checked; what does not
fit is as if it were not there.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass

from pouch.kernel import inroot
from pouch.rich import plan
from pouch.spec import errors

_RECORD = re.compile(r"(exited|killed|dumped) ([0-9]{1,3})(?: ([a-z-]{0,32}))?\n")
_FAILURE = re.compile(r"(initscript|init) (exited|killed|exec) ([0-9]{1,3})\n")
_SMALL = 256
_LOG_TAIL = 16384
_LAST_SIGNAL = 64


@dataclass(frozen=True, slots=True)
class Exit:
    """An end of the app. code: as a shell has it (128 + signal); signal 0 where it exited; result: systemd's word (`oom-kill`), or ""."""

    code: int
    signal: int = 0
    core_dumped: bool = False
    result: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there was no boot. stage: initscript or init; output: the end of what the script wrote."""

    stage: str
    message: str
    output: str = ""


def read(run_dir: str) -> Exit | None:
    """The app's last end. run_dir: the host's side of the container's /run."""
    found = _RECORD.fullmatch(_text(run_dir, plan.EXIT_RECORD))
    if not found:
        return None
    number, result = int(found[2]), found[3] or ""
    if found[1] == "exited":
        return Exit(number, result=result) if number <= 255 else None
    if not 1 <= number <= _LAST_SIGNAL:
        return None
    return Exit(128 + number, number, found[1] == "dumped", result)


def ended_by_app(run_dir: str) -> bool:
    """Whether it was the app's end that ended the machine, where the init cannot say so by its own exit code."""
    return _text(run_dir, "pouch/stopping") == "app\n"


def failure(run_dir: str) -> Failure | None:
    """Why the first process gave up before the init ran."""
    found = _FAILURE.fullmatch(_text(run_dir, "pouch/failed"))
    if not found:
        return None
    stage, how, number = found[1], found[2], int(found[3])
    if stage == "init":
        return Failure(stage, f"the init could not be executed: {os.strerror(number)}")
    how = f"was killed by signal {number}" if how == "killed" else f"exited with {number}"
    return Failure(stage, f"the init script {how}", _text(run_dir, "pouch/initscript.log", tail=_LOG_TAIL))


def _text(run_dir: str, path: str, *, tail: int = 0) -> str:
    """A small file, or the end of a larger one; "" where there is none that can be trusted to be one."""
    try:
        fd = inroot.open_file(run_dir, path, os.O_RDONLY | os.O_NOFOLLOW)
    except (errors.NotFound, errors.KernelError):
        return ""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or (not tail and found.st_size > _SMALL):
            return ""
        data = os.pread(fd, tail or _SMALL, max(found.st_size - tail, 0) if tail else 0)
        return data.decode(errors="replace")
    except OSError as error:
        if error.errno in (errno.EIO, errno.ESTALE):
            return ""
        raise errors.KernelError("read", f"{run_dir}/{path}", error.errno or errno.EIO) from error
    finally:
        os.close(fd)
