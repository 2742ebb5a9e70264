"""inotify(7): be told that something happened to a file or in a directory, without looking again and again."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pouch.kernel import libc

MODIFY = 0x2
ATTRIBUTES = 0x4
CLOSE_WRITE = 0x8
MOVED_TO = 0x80
CREATE = 0x100
DELETE_SELF = 0x400
MOVE_SELF = 0x800
OVERFLOW = 0x4000
IGNORED = 0x8000

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_BUFFER = 64 << 10
_HEAD = struct.Struct("iIII")

_init = libc.Call("inotify_init1", ctypes.c_int)
_add = libc.Call("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_remove = libc.Call("inotify_rm_watch", ctypes.c_int, ctypes.c_int)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. watch: the number `add` gave, -1 for OVERFLOW (events were lost); name: in a directory, the entry's."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """One inotify instance. A user may have few of them (fs.inotify.max_user_instances, 128), but thousands of watches each."""

    def __init__(self) -> None:
        """Raises KernelError EMFILE where the user has too many."""
        self._fd = _init("instance", _NONBLOCK_CLOEXEC)

    def fileno(self) -> int:
        """For waiting until there is something to read."""
        return self._fd

    def add(self, path: str, mask: int) -> int:
        """Watch the inode a path leads to; its number. The same inode gives the same number, with the new mask.

        Raises KernelError: ENOENT, or ENOSPC at fs.inotify.max_user_watches.
        """
        return _add(path, self._fd, os.fsencode(path), mask)

    def remove(self, watch: int) -> None:
        """Watch it no more. Raises KernelError EINVAL where the kernel did so itself (an IGNORED event says it)."""
        _remove(f"watch {watch}", self._fd, watch)

    def read(self) -> list[Event]:
        """What has happened since the last call; nothing is waited for."""
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return []
        return list(parse(data))

    def close(self) -> None:
        """End it and all its watches."""
        os.close(self._fd)


def parse(data: bytes) -> Iterator[Event]:
    """The events in what read(2) gave: struct inotify_event, each with its name padded by zeros."""
    offset = 0
    while offset < len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, offset)
        offset += _HEAD.size
        yield Event(watch, mask, data[offset : offset + length].rstrip(b"\0"))
        offset += length
