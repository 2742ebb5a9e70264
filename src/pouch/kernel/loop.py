"""Loop devices: a file as a block device (loop(4)). It goes by itself when nobody has it open or mounted any more."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator

from pouch.spec import errors

_CONTROL = "/dev/loop-control"
_CONFIGURE = 0x4C0A
_GET_FREE = 0x4C82
_READ_ONLY = 1
_AUTOCLEAR = 4
_CONFIG = struct.Struct("=II QQQQQ IIII 64s 64s 32s QQ 64x")
"""struct loop_config with the struct loop_info64 in it (linux/loop.h)."""
_ATTEMPTS = 32
"""A device that was free a moment ago may be taken by another program."""


@contextlib.contextmanager
def attached(path: str, *, read_only: bool = False) -> Iterator[str]:
    """The name of a block device that is the file, for as long as the block runs, and as long as it is mounted.

    Raises KernelError; ENOENT for /dev/loop-control where the kernel has no loop devices. Needs Linux 5.8.
    """
    with contextlib.ExitStack() as stack:
        file = _opened(path, os.O_RDONLY if read_only else os.O_RDWR, stack)
        control = _opened(_CONTROL, os.O_RDWR, stack)
        flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
        name = os.fsencode(path)[:63]
        config = _CONFIG.pack(file, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags, name, b"", b"", 0, 0)
        yield _configured(control, config, path, stack)


def _configured(control: int, config: bytes, path: str, stack: contextlib.ExitStack) -> str:
    for _ in range(_ATTEMPTS):
        device = f"/dev/loop{_ioctl(control, _GET_FREE, 0, _CONTROL)}"
        fd = _opened(device, os.O_RDWR, stack)
        try:
            _ioctl(fd, _CONFIGURE, config, f"{device} for {path}")
        except errors.KernelError as error:
            if error.errno != errno.EBUSY:
                raise
        else:
            return device
    raise errors.KernelError("ioctl", _CONTROL, errno.EBUSY, hint="all loop devices are taken as soon as they are free")


def _ioctl(fd: int, request: int, argument: int | bytes, target: str) -> int:
    try:
        done = fcntl.ioctl(fd, request, argument)
    except OSError as error:
        raise errors.KernelError("ioctl", target, error.errno or errno.EIO) from error
    return done if isinstance(done, int) else 0


def _opened(path: str, flags: int, stack: contextlib.ExitStack) -> int:
    try:
        fd = os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise errors.KernelError("open", path, error.errno or errno.EIO) from error
    stack.callback(os.close, fd)
    return fd
