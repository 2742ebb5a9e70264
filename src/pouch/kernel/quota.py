"""Limits of what a directory may take, by project quotas (ext4, XFS, f2fs): everything made in it gets the directory's project number.

A project's limit is the file system's, not the directory's: a number must be nobody else's.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from pouch.kernel import libc
from pouch.spec import errors

_GET_ATTRIBUTES = 0x801C581F
_SET_ATTRIBUTES = 0x401C5820
_ATTRIBUTES = struct.Struct("=IIIII8x")
"""struct fsxattr: xflags, extsize, nextents, projid, cowextsize (linux/fs.h)."""
_INHERIT = 0x200
"""FS_XFLAG_PROJINHERIT."""
_LIMITS = struct.Struct("=QQQQQQQQI4x")
"""struct if_dqblk: hard and soft limit in KiB, bytes used, hard and soft limit of inodes, inodes used, times, what is valid (quotactl(2))."""
_BLOCK = 1024
_BLOCK_LIMITS = 1
_PROJECT = 2
"""PRJQUOTA."""
_GET = 0x800007
_SET = 0x800008
_GET_STATE = (ord("X") << 8) + 8
"""Q_XGETQSTATV: also of file systems that are not XFS."""
_STATE = 512
_ENFORCED = 1 << 5
"""FS_QUOTA_PDQ_ENFD."""

_quotactl_fd = libc.Call("quotactl_fd", ctypes.c_uint, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, number=443)
_quotactl = libc.Call("quotactl", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)


def refusal(path: str) -> str:
    """Why no directory of this file system can have a limit; "" where it can."""
    state = ctypes.create_string_buffer(b"\x01", _STATE)
    try:
        _call(path, _GET_STATE, 0, state)
    except errors.KernelError as error:
        if error.errno == errno.EPERM:
            return "this process may not ask for quotas"
        return "its file system has no project quotas"
    flags = int(struct.unpack_from("=H", state.raw, 2)[0])
    return "" if flags & _ENFORCED else "its file system is mounted without project quotas"


def limit(directory: str, project: int, size: int) -> None:
    """Let a directory and all that will be in it take at most `size` bytes, in whole KiB; 0: any. What is in it already does not count.

    Raises KernelError.
    """
    _mark(directory, project)
    set_limit(directory, project, size)


def set_limit(path: str, project: int, size: int) -> None:
    """Change a project's limit; 0: none. path: anywhere on the file system."""
    kib = -(-size // _BLOCK)
    given = ctypes.create_string_buffer(_LIMITS.pack(kib, kib, 0, 0, 0, 0, 0, 0, _BLOCK_LIMITS), _LIMITS.size)
    _call(path, _SET, project, given)


def used(path: str, project: int) -> int:
    """Bytes that a project takes on the file system of `path`."""
    return _read(path, project)[2]


def is_free(path: str, project: int) -> bool:
    """Whether a project's number has neither files nor limits."""
    return not any(_read(path, project)[:6])


def project_of(directory: str) -> int:
    """The project that what is made in a directory gets; 0 for none."""
    fd = _opened(directory)
    try:
        flags, _, _, project, _ = _ATTRIBUTES.unpack(_ioctl(fd, _GET_ATTRIBUTES, bytes(_ATTRIBUTES.size), directory))
    finally:
        os.close(fd)
    return int(project) if flags & _INHERIT else 0


def _mark(directory: str, project: int) -> None:
    fd = _opened(directory)
    try:
        data = _ioctl(fd, _GET_ATTRIBUTES, bytes(_ATTRIBUTES.size), directory)
        flags, extent, count, _, copy = _ATTRIBUTES.unpack(data)
        _ioctl(fd, _SET_ATTRIBUTES, _ATTRIBUTES.pack(flags | _INHERIT, extent, count, project, copy), directory)
    finally:
        os.close(fd)


def _read(path: str, project: int) -> tuple[int, ...]:
    """struct if_dqblk of a project; all nothing for one that nobody ever had (ENOENT of XFS)."""
    found = ctypes.create_string_buffer(_LIMITS.size)
    try:
        _call(path, _GET, project, found)
    except errors.KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    return _LIMITS.unpack(found.raw)


def _call(path: str, command: int, project: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
    """quotactl_fd(2); before Linux 5.14 quotactl(2), which wants the block device's name."""
    joined = (command << 8) | _PROJECT
    fd = _opened(path)
    try:
        _quotactl_fd(path, fd, joined, project, buffer)
    except errors.KernelError as error:
        if error.errno != errno.ENOSYS:
            raise
        device = os.fstat(fd).st_dev
        name = f"/dev/block/{os.major(device)}:{os.minor(device)}".encode()
        _quotactl(path, ctypes.c_int(joined).value, name, project, buffer)
    finally:
        os.close(fd)


def _ioctl(fd: int, request: int, data: bytes, target: str) -> bytes:
    try:
        return fcntl.ioctl(fd, request, data)
    except OSError as error:
        raise errors.KernelError("ioctl", target, error.errno or errno.EIO) from error


def _opened(directory: str) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise errors.KernelError("open", directory, error.errno or errno.EIO) from error
