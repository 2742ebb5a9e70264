"""Giving up power: a process that is about to read foreign bytes locks itself up."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from pouch.kernel import capability, libc
from pouch.spec import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

NOBODY = 65534
_NOWHERE = "/proc/self/fdinfo"
"""A directory that is empty as soon as its process is gone, and never holds more than numbers."""
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_PR_SET_NAME = 15
_SECCOMP_MODE_FILTER = 2
_VERSION_3 = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3: two words for each set."""

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT = 0, 4, 16, 24
"""struct seccomp_data; of the arguments, which have 64 bits, the lower half, which is all that the kernel looks at in these."""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBERS = {
    "x86_64": {
        "read": 0,
        "write": 1,
        "close": 3,
        "mmap": 9,
        "mprotect": 10,
        "munmap": 11,
        "brk": 12,
        "rt_sigreturn": 15,
        "mremap": 25,
        "madvise": 28,
        "exit": 60,
        "futex": 202,
        "exit_group": 231,
        "splice": 275,
    },
    "aarch64": {
        "read": 63,
        "write": 64,
        "close": 57,
        "mmap": 222,
        "mprotect": 226,
        "munmap": 215,
        "brk": 214,
        "rt_sigreturn": 139,
        "mremap": 216,
        "madvise": 233,
        "exit": 93,
        "futex": 98,
        "exit_group": 94,
        "splice": 76,
    },
}
"""What a process needs that reads, computes and writes."""
_NETWORK_NUMBERS = {
    "x86_64": {
        "rt_sigprocmask": 14,
        "ioctl": 16,
        "connect": 42,
        "accept": 43,
        "sendto": 44,
        "recvfrom": 45,
        "sendmsg": 46,
        "recvmsg": 47,
        "getsockname": 51,
        "getsockopt": 55,
        "clock_gettime": 228,
        "epoll_wait": 232,
        "epoll_ctl": 233,
        "epoll_pwait": 281,
        "accept4": 288,
        "getrandom": 318,
    },
    "aarch64": {
        "epoll_ctl": 21,
        "epoll_pwait": 22,
        "ioctl": 29,
        "clock_gettime": 113,
        "rt_sigprocmask": 135,
        "accept": 202,
        "connect": 203,
        "getsockname": 204,
        "sendto": 206,
        "recvfrom": 207,
        "getsockopt": 209,
        "sendmsg": 211,
        "recvmsg": 212,
        "accept4": 242,
        "getrandom": 278,
    },
}
"""What it needs besides to speak with the network by sockets of its own. Of ioctl(2) the filter lets FIONBIO through only."""
_SOCKET = {"x86_64": 41, "aarch64": 198}
_INTERNET = (2, 10)
"""AF_INET, AF_INET6: the families of sockets it may make; no netlink, packet or unix sockets."""
_FIONBIO = 0x5421


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct of capset(2)."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    """struct __user_cap_data_struct of capset(2)."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


class _Program(ctypes.Structure):
    """struct sock_fprog of seccomp(2)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


_capset = libc.Call("capset", ctypes.POINTER(_Header), ctypes.POINTER(_Data))
_capget = libc.Call("capget", ctypes.POINTER(_Header), ctypes.POINTER(_Data))


def into(root: str, keep: Collection[str]) -> None:
    """Make `root` this process's root directory for good: of its capabilities only `keep` (names) remain, and none can be regained.

    For a single-threaded process without open directories. CAP_SYS_CHROOT, CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH would let it out
    again and cannot be kept. Capabilities that the process does not have are left out.
    """
    _check(keep)
    kept = set(keep) & _permitted()
    _chroot(root)
    _keep(kept)


def join(mount_namespace: int, user_namespace: int | None = None) -> None:
    """Enter a container's mount namespace, and its user namespace first, whose root this process then is: outside it, it is nobody.

    For a single-threaded process, which from then on nobody may trace who shares its ids (a container with `--pid host` sees it).
    Raises KernelError.
    """
    libc.prctl(_PR_SET_DUMPABLE, 0)  # ptrace(2): before anybody inside may have a claim on it
    if user_namespace is not None:
        libc.setns(user_namespace, libc.CLONE_NEWUSER, "user namespace")
        try:
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        except OSError as error:
            raise errors.KernelError("setresuid", "user namespace", error.errno or errno.EIO) from error
    libc.prctl(_PR_SET_DUMPABLE, 0)  # the change of ids before has set it anew, see fs.suid_dumpable in proc(5)
    libc.setns(mount_namespace, libc.CLONE_NEWNS, "mount namespace")


def behind(root: str) -> None:
    """Make a copy of all mounts at and below `root` this process's root directory, in which no device can be opened.

    The copy belongs to this process alone and ends with it; what is mounted later does not appear in it. The process keeps its
    capabilities: it is confined once it has called `keep`. Raises KernelError; ENOSYS before Linux 5.12.
    """
    copy = libc.open_tree(root, libc.OPEN_TREE_CLONE | libc.AT_RECURSIVE)
    try:
        attributes = libc.MountAttr(attr_set=libc.MOUNT_ATTR_NODEV | libc.MOUNT_ATTR_NOSUID)
        libc.mount_setattr(copy, attributes, root, recursive=True)
        at(copy, root)
    finally:
        os.close(copy)


def at(directory: int, name: str) -> None:
    """Make an open directory this process's root directory. `name` is for errors."""
    try:
        os.fchdir(directory)
        os.chroot(".")
    except OSError as error:
        raise errors.KernelError("chroot", name, error.errno or errno.EIO) from error


def keep(names: Collection[str]) -> None:
    """Give up all capabilities but these (names), for good. Those that let a process out of its root cannot be kept, see `into`."""
    _check(names)
    _keep(set(names) & _held())


def only(names: Collection[str]) -> None:
    """Give up all capabilities but these (names), for good. Unlike `keep` for what is not confined yet, and may need any of them."""
    _keep(set(names) & _held())


def sealed() -> None:
    """Leave this process nothing but its memory and the descriptors it has: no file system, no capability, nobody's id.

    A filter of system calls (seccomp(2)) lets it read, write, get memory and end; others answer EPERM. Where the machine or the kernel
    has no such filter, the rest must do. For a single-threaded process, whose modules are all imported.
    """
    _nobody()
    machine = os.uname().machine
    if machine in _MACHINES:
        _filter(machine, _NUMBERS[machine], {})


def networked(name: str) -> None:
    """As `sealed`, but this process may also make internet sockets, wait (epoll(7)) and take descriptors. name: what ps(1) calls it."""
    called = ctypes.create_string_buffer(name.encode())
    libc.prctl(_PR_SET_NAME, ctypes.addressof(called))
    _nobody()
    machine = os.uname().machine
    if machine in _MACHINES:
        allowed = {**_NUMBERS[machine], **_NETWORK_NUMBERS[machine]}
        ioctl = allowed.pop("ioctl")
        _filter(
            machine,
            allowed,
            {_SOCKET[machine]: (_FIRST_ARGUMENT_AT, _INTERNET), ioctl: (_SECOND_ARGUMENT_AT, (_FIONBIO,))},
        )


def _nobody() -> None:
    _chroot(_NOWHERE)
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError as error:
        raise errors.KernelError("setresuid", "this process", error.errno or errno.EIO) from error
    _keep(())


def _chroot(root: str) -> None:
    try:
        os.chroot(root)
        os.chdir("/")
    except OSError as error:
        raise errors.KernelError("chroot", root, error.errno or errno.EIO) from error


def _keep(kept: Collection[str]) -> None:
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    bits = sum(1 << capability.NAMES.index(name) for name in kept)
    words = (_Data * 2)(*(_Data(word, word, 0) for word in (bits & 0xFFFFFFFF, bits >> 32)))
    _capset("this process", ctypes.byref(_Header(_VERSION_3, 0)), words)


def _filter(machine: str, allowed: Mapping[str, int], checked: Mapping[int, tuple[int, Sequence[int]]]) -> None:
    """allowed: numbers of calls by name. checked: of a call's number, where one of its arguments is, and the values it may have."""
    program = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 1, 0, _MACHINES[machine]),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for number in sorted(allowed.values()):
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for number, (place, values) in checked.items():
        program.append((_EQUAL, 0, 2 + 2 * len(values), number))
        program.append((_LOAD, 0, 0, place))
        for value in values:
            program += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
        program.append((_RETURN, 0, 0, _REFUSE))
    program.append((_RETURN, 0, 0, _REFUSE))
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    whole = _Program(len(program), code)  # held by a name: the kernel reads it at its address
    try:
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(whole))
    except errors.KernelError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise


def _check(kept: Collection[str]) -> None:
    if {"CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"} & set(kept):
        raise errors.InvalidInput(f"a process that keeps {', '.join(sorted(kept))} is not confined")


def _held() -> frozenset[str]:
    """As `_permitted`, without /proc: capget(2)."""
    words = (_Data * 2)()
    _capget("this process", ctypes.byref(_Header(_VERSION_3, 0)), words)
    held = words[0].permitted | words[1].permitted << 32
    return frozenset(name for number, name in enumerate(capability.NAMES) if held >> number & 1)


def _permitted() -> frozenset[str]:
    """Names of the capabilities this process may use."""
    with open("/proc/self/status", "rb") as lines:
        held = next(int(line.split()[1], 16) for line in lines if line.startswith(b"CapPrm:"))
    return frozenset(name for number, name in enumerate(capability.NAMES) if held >> number & 1)
