"""Namespaces: made, opened and entered without forking the daemon and without touching a thread that is used again."""

from __future__ import annotations

import enum
import errno
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import TypeVar

from pouch.kernel import libc, mount
from pouch.spec import errors

T = TypeVar("T")

Extent = tuple[int, int, int]
"""inside, outside, count."""

_ALSO_CLONED = 0x40000000
"""__WALL of waitpid(2): also children that send no signal when they end."""


class Kind(enum.StrEnum):
    """Names below /proc/<pid>/ns."""

    CGROUP = "cgroup"
    IPC = "ipc"
    MOUNT = "mnt"
    NETWORK = "net"
    PID = "pid"
    USER = "user"
    UTS = "uts"


def open_userns(extents: Sequence[Extent]) -> int:
    """A descriptor of a new user namespace with these (inside, outside, count) extents, for uids and gids alike.

    It lives as long as the descriptor, which the caller closes, or something that uses it (an idmapped mount). Raises
    KernelError: ENOSPC where user.max_user_namespaces is reached, EINVAL where extents overlap, EPERM where an outside id is not ours.
    """
    table = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in extents).encode()
    try:
        pid = _spawn_dead(libc.CLONE_NEWUSER, "user namespace")
    except errors.KernelError as error:
        if error.errno == errno.ENOSPC:
            error.hint = "the limit of user namespaces is reached: see sysctl user.max_user_namespaces"
        raise
    try:
        _write(f"/proc/{pid}/uid_map", table)
        _write(f"/proc/{pid}/gid_map", table)
        return open_namespace(pid, Kind.USER)
    finally:
        os.waitpid(pid, _ALSO_CLONED)


def _spawn_dead(flags: int, target: str) -> int:
    """libc.spawn_dead with all signals held back: one that came in the child would run our handlers there."""
    before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        return libc.spawn_dead(flags, target)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(path: str, data: bytes) -> None:
    """One write(2), as the kernel wants its id maps (user_namespaces(7))."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
    except OSError as error:
        hint = f"extents: {data.decode().strip()}".replace("\n", ", ")
        raise errors.KernelError("write", path, error.errno or errno.EIO, hint=hint) from error


def open_namespace(pid: int, kind: Kind) -> int:
    """A descriptor of a process's namespace; the caller closes it. NotFound where the process is gone."""
    path = f"/proc/{pid}/ns/{kind}"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise errors.NotFound(f"process {pid} is gone: its {kind} namespace cannot be opened") from error
    except OSError as error:
        raise errors.KernelError("open", path, error.errno or errno.EIO) from error


def run_in_namespace(fd: int, fn: Callable[[], T]) -> T:
    """Run fn in a network namespace, in a thread made for it that ends after; its result or exception is passed on.

    A socket made in fn stays in that namespace and may be returned.
    """
    return _in_new_thread(lambda: libc.setns(fd, libc.CLONE_NEWNET, "network namespace"), fn)


def open_netns() -> int:
    """A descriptor of a new, empty network namespace, which lives as long as it or its users do; the caller closes it."""

    def opened() -> int:
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    return _in_new_thread(lambda: libc.unshare(libc.CLONE_NEWNET), opened)


def _in_new_thread(enter: Callable[[], None], fn: Callable[[], T]) -> T:
    outcome: futures.Future[T] = futures.Future()

    def body() -> None:
        try:
            enter()
            outcome.set_result(fn())
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller's thread
            outcome.set_exception(error)

    thread = threading.Thread(target=body, name="namespace", daemon=True)
    thread.start()
    thread.join()
    return outcome.result()


def leave_mount_namespace() -> None:
    """See `mount.leave_namespace`."""
    mount.leave_namespace()
