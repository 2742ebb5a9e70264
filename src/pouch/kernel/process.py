"""Processes: identified by pid and start time, signalled without racing a reused pid, and what we ourselves may do.

A process is named by (pid, start time in clock ticks since boot): the kernel reuses the first, never the pair.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pouch.kernel import capability, libc
from pouch.spec import errors

_GONE = (FileNotFoundError, ProcessLookupError)
_LONGEST_COMMAND = 4096
_NO_LOGIN_UID = str((1 << 32) - 1)
_ENDED = frozenset("ZXx")
_HIGHEST_SIGNAL = 64
_RT_FIRST, _RT_LAST = 34, 64
"""SIGRTMIN and SIGRTMAX as C libraries on Linux have them: the first two real-time signals are their own (signal(7))."""
_NAME = re.compile(r"(?:SIG)?([A-Z0-9]+)(?:([+-])([0-9]{1,2}))?")

CAPABILITIES = capability.NAMES

_RLIMIT_LOCKS = 10
RLIMIT_NAMES: Mapping[str, int] = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": _RLIMIT_LOCKS,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}
"""Resource limits by the names that `ulimit` options have, with their numbers (setrlimit(2))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One process as /proc shows it. pid, ppid and uid (the real one) as the host sees them.

    inner_pid: in the pid namespace below ours, the same as pid where it has none. state: the letter of proc_pid_stat(5).
    command: the arguments joined by spaces, or `[name]` where there are none; nothing in it can drive a terminal.
    """

    pid: int
    ppid: int
    inner_pid: int
    uid: int
    state: str
    command: str
    threads: int = 1


def pidfd_open(pid: int) -> int:
    """A descriptor of a process, which the caller closes. NotFound where it is gone and reaped."""
    try:
        return libc.pidfd_open(pid)
    except errors.KernelError as error:
        if error.errno == errno.ESRCH:
            raise errors.NotFound(f"process {pid} is gone") from error
        raise


def start_time(pid: int) -> int:
    """Clock ticks after boot at which the process began; 0 when it is gone. A zombie still has its own."""
    return _stat(pid)[1]


def is_alive(pid: int, start_time: int) -> bool:
    """Whether this very process runs. A zombie does not."""
    state, began = _stat(pid)
    return bool(began) and began == start_time and state not in _ENDED


def _stat(pid: int) -> tuple[str, int]:
    """State and start time (proc_pid_stat(5), fields 3 and 22); the name in field 2 may contain anything but ends at the last bracket."""
    data = _read(f"/proc/{pid}/stat", 1024)
    fields = data[data.rfind(b")") + 2 :].split()
    return (fields[0].decode(), int(fields[19])) if fields else ("", 0)


def _read(path: str, limit: int) -> bytes:
    """One read of a /proc file; b"" where the process is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except _GONE:
        return b""
    except OSError as error:
        raise errors.KernelError("open", path, error.errno or errno.EIO) from error
    try:
        return os.read(fd, limit)
    except _GONE:
        return b""
    except OSError as error:
        raise errors.KernelError("read", path, error.errno or errno.EIO) from error
    finally:
        os.close(fd)


@contextlib.contextmanager
def oom_score(adjustment: int | None, *, own: str = "/proc/self/oom_score_adj") -> Iterator[None]:
    """Processes that are started meanwhile begin with this oom_score_adj (proc_pid_oom_score_adj(5)), not with ours.

    It is ours too for that moment: a child cannot be given another one before it runs. None, or where the kernel refuses: they keep ours.
    """
    before = "" if adjustment is None else _read(own, 16).decode().strip()
    if before in ("", str(adjustment)) or not _written(own, str(adjustment)):
        yield
        return
    try:
        yield
    finally:
        _written(own, before)


def _written(path: str, text: str) -> bool:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        return False
    return True


def send_signal(pid: int, start_time: int, sig: int) -> bool:
    """Send a signal to this very process, never to one that took its pid. False where it has gone."""
    try:
        pidfd = pidfd_open(pid)
    except errors.NotFound:
        return False
    try:
        if not is_alive(
            pid, start_time
        ):  # the pidfd pins whoever has the pid now, so the check holds for the call below
            return False
        libc.pidfd_send_signal(pidfd, sig, f"process {pid} signal {sig}")
        return True
    except errors.KernelError as error:
        if error.errno == errno.ESRCH:
            return False
        raise
    finally:
        os.close(pidfd)


def session(pid: int) -> int:
    """The id of its session, 0 when it has gone."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def capabilities() -> frozenset[str]:
    """Names of the capabilities in our bounding set: what a child can have at most."""
    line = next(line for line in _read("/proc/self/status", 1 << 14).splitlines() if line.startswith(b"CapBnd:"))
    held = int(line.split()[1], 16)
    return frozenset(name for number, name in enumerate(CAPABILITIES) if held >> number & 1)


def unset_loginuid() -> bool:
    """Take back a login uid that we inherited (a daemon started from an ssh session): containers would inherit it too, and pam_loginuid(8)

    then fails for their cron and sshd. False where the kernel refuses (no CAP_AUDIT_CONTROL, or made immutable); nothing to do is True.
    """
    path = "/proc/self/loginuid"
    try:
        with open(path, "r+", encoding="ascii") as file:
            if file.read().strip() == _NO_LOGIN_UID:
                return True
            file.seek(0)
            file.write(_NO_LOGIN_UID)
    except FileNotFoundError:
        return True  # a kernel without audit has none
    except OSError:
        return False
    return True


def rlimit(name: str) -> tuple[int, int]:
    """Our soft and hard limit; -1 is unlimited. name: as in `ulimit`, `nofile`. InvalidInput where there is none such."""
    number = RLIMIT_NAMES.get(name)
    if number is None:
        raise errors.InvalidInput(f"invalid ulimit type: {name}", hint=f"expected one of {', '.join(RLIMIT_NAMES)}")
    return resource.getrlimit(number)


def signal_number(text: str) -> int:
    """`KILL`, `sigkill`, `9`, `RTMIN+3`, `SIGRTMAX-2` as a number. InvalidInput("invalid signal: X") otherwise."""
    number = _signal_number(text.strip().upper())
    if not 1 <= number <= _HIGHEST_SIGNAL:
        hint = "expected a name such as TERM, SIGHUP or RTMIN+3, or a number from 1 to 64"
        raise errors.InvalidInput(f"invalid signal: {text}", hint=hint)
    return number


def _signal_number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text)
    match = _NAME.fullmatch(text)
    if match is None:
        return 0
    name, sign, distance = match[1], match[2], int(match[3] or 0)
    if name == "RTMIN" and sign != "-":
        return _RT_FIRST + distance
    if name == "RTMAX" and sign != "+":
        return _RT_LAST - distance if _RT_LAST - distance >= _RT_FIRST else 0
    found = signal.Signals.__members__.get(f"SIG{name}")
    return int(found) if found is not None and not sign else 0


def children(pid: int) -> list[int]:
    """The children of all threads of a process; none where it is gone."""
    found: list[int] = []
    with contextlib.suppress(*_GONE):
        for task in os.listdir(f"/proc/{pid}/task"):
            path = f"/proc/{pid}/task/{task}/children"
            with contextlib.suppress(*_GONE), open(path, encoding="ascii") as file:
                found.extend(map(int, file.read().split()))
    return found


def status(pid: int) -> ProcessStatus:
    """What /proc shows of a process, by two reads. NotFound where it is gone."""
    fields = dict(line.split(b":", 1) for line in _read(f"/proc/{pid}/status", 1 << 14).splitlines() if b":" in line)
    if not fields:
        raise errors.NotFound(f"process {pid} is gone")
    arguments = _read(f"/proc/{pid}/cmdline", _LONGEST_COMMAND)
    inner = fields.get(b"NSpid", b"").split() or [str(pid).encode()]
    return ProcessStatus(
        pid=pid,
        ppid=int(fields[b"PPid"]),
        inner_pid=int(inner[min(1, len(inner) - 1)]),
        uid=int(fields[b"Uid"].split()[0]),
        state=fields[b"State"].split()[0].decode(),
        command=_command(arguments) or f"[{printable(os.fsdecode(fields[b'Name'].strip()))}]",
        threads=int(fields.get(b"Threads", b"1")),
    )


def statuses(pids: Iterable[int]) -> list[ProcessStatus]:
    """As status, for many; those that are gone are left out."""
    found: list[ProcessStatus] = []
    for pid in pids:
        with contextlib.suppress(errors.NotFound):
            found.append(status(pid))
    return found


def _command(arguments: bytes) -> str:
    return printable(os.fsdecode(arguments.rstrip(b"\0").replace(b"\0", b" ")))


def printable(text: str) -> str:
    r"""The text with everything that is not printable (controls, escapes, bidirectional marks, stray bytes) as `\x1b` or `\u202e`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as os.fsdecode keeps it
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
