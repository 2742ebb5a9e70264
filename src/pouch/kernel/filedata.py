"""The data of a file into another: in the kernel, sharing blocks where the file system can, holes left as holes."""

from __future__ import annotations

import errno
import os

_IN_USER_SPACE = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM, errno.EBADF}
)
"""What copy_file_range(2) answers where the file systems cannot; what is really wrong, reading and writing say again."""
_PIECE = 64 << 20
_BUFFER = 1 << 20


def copy(source: int, target: int, size: int) -> None:
    """Copy `size` bytes to a file that is empty; what is not written of the source (lseek(2), SEEK_DATA) stays a hole.

    A source that is shorter than it said leaves a hole at the end. Raises OSError.
    """
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            begin = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        position = os.lseek(source, begin, os.SEEK_HOLE)
        _range(source, target, begin, min(position, size))


def _range(source: int, target: int, begin: int, end: int) -> None:
    while begin < end:
        try:
            count = os.copy_file_range(source, target, min(end - begin, _PIECE), begin, begin)
        except OSError as error:
            if error.errno not in _IN_USER_SPACE:
                raise
            count = os.pwrite(target, os.pread(source, min(end - begin, _BUFFER), begin), begin)
        if count == 0:
            return
        begin += count
