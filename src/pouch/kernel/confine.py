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
    from collections.abc import Collection

NOBODY = 65534
_NOWHERE = "/proc/self/fdinfo"
"""A directory that is empty as soon as its process is gone, and never holds more than numbers."""
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_VERSION_3 = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3: two words for each set."""

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _MACHINE_AT = 0, 4
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


def into(root: str, keep: Collection[str]) -> None:
    """Make `root` this process's root directory for good: of its capabilities only `keep` (names) remain, and none can be regained.

    For a single-threaded process without open directories. CAP_SYS_CHROOT, CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH would let it out
    again and cannot be kept. Capabilities that the process does not have are left out.
    """
    if {"CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"} & set(keep):
        raise errors.InvalidInput(f"a process that keeps {', '.join(sorted(keep))} is not confined")
    kept = set(keep) & _permitted()
    _chroot(root)
    _keep(kept)


def sealed() -> None:
    """Leave this process nothing but its memory and the descriptors it has: no file system, no capability, nobody's id.

    A filter of system calls (seccomp(2)) lets it read, write, get memory and end; others answer EPERM. Where the machine or the kernel
    has no such filter, the rest must do. For a single-threaded process, whose modules are all imported.
    """
    _chroot(_NOWHERE)
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError as error:
        raise errors.KernelError("setresuid", "this process", error.errno or errno.EIO) from error
    _keep(())
    _filter()


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


def _filter() -> None:
    machine = os.uname().machine
    if machine not in _MACHINES:
        return
    calls = sorted(_NUMBERS[machine].values())
    program = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 0, len(calls) + 1, _MACHINES[machine]),
        (_LOAD, 0, 0, _NUMBER_AT),
        *((_EQUAL, len(calls) - place, 0, number) for place, number in enumerate(calls)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    try:
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(_Program(len(program), code)))
    except errors.KernelError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise


def _permitted() -> frozenset[str]:
    """Names of the capabilities this process may use."""
    with open("/proc/self/status", "rb") as lines:
        held = next(int(line.split()[1], 16) for line in lines if line.startswith(b"CapPrm:"))
    return frozenset(name for number, name in enumerate(capability.NAMES) if held >> number & 1)
