"""How much of the disk a directory takes."""

from __future__ import annotations

import contextlib
import os
import stat

DEEPEST = 200
"""Directories within each other that are looked into: each holds a descriptor."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512
"""Bytes of a block of st_blocks (inode(7))."""


def used(path: str) -> int:
    """Bytes of the disk that a tree takes: a file with several names once, holes not. A missing tree takes none.

    What changes meanwhile counts as it is met. No link is followed, whoever moves directories about.
    """
    try:
        fd = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return 0
    try:
        return _used(fd, set(), 0)
    finally:
        os.close(fd)


def _used(fd: int, seen: set[tuple[int, int]], depth: int) -> int:
    total = 0
    for name in os.listdir(fd):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # gone or replaced since it was listed
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_blocks * _BLOCK
            if stat.S_ISDIR(status.st_mode) and depth < DEEPEST:
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
                try:
                    total += _used(inner, seen, depth + 1)
                finally:
                    os.close(inner)
    return total
