"""Giving up power: a process that is about to read foreign bytes locks itself into a directory."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Collection

from pouch.kernel import libc, process
from pouch.spec import errors

_PR_SET_NO_NEW_PRIVS = 38
_VERSION_3 = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3: two words for each set."""


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct of capset(2)."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    """struct __user_cap_data_struct of capset(2)."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_capset = libc.Call("capset", ctypes.POINTER(_Header), ctypes.POINTER(_Data))


def into(root: str, keep: Collection[str]) -> None:
    """Make `root` this process's root directory for good: of its capabilities only `keep` (names) remain, and none can be regained.

    For a single-threaded process without open directories. CAP_SYS_CHROOT, CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH would let it out
    again and cannot be kept. Capabilities that the process does not have are left out.
    """
    if {"CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"} & set(keep):
        raise errors.InvalidInput(f"a process that keeps {', '.join(sorted(keep))} is not confined")
    kept = set(keep) & _permitted()
    try:
        os.chroot(root)
        os.chdir("/")
    except OSError as error:
        raise errors.KernelError("chroot", root, error.errno or errno.EIO) from error
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    bits = sum(1 << process.CAPABILITIES.index(name) for name in kept)
    words = (_Data * 2)(*(_Data(word, word, 0) for word in (bits & 0xFFFFFFFF, bits >> 32)))
    _capset("this process", ctypes.byref(_Header(_VERSION_3, 0)), words)


def _permitted() -> frozenset[str]:
    """Names of the capabilities this process may use."""
    with open("/proc/self/status", "rb") as lines:
        held = next(int(line.split()[1], 16) for line in lines if line.startswith(b"CapPrm:"))
    return frozenset(name for number, name in enumerate(process.CAPABILITIES) if held >> number & 1)
