"""The kernel's log as it grows: /dev/kmsg (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import contextlib
import errno
import os

_PATH = "/dev/kmsg"
_RECORD = 8192
"""Bytes that hold any record."""


class Log:
    """What the kernel says from now on. Blocking, but no call waits."""

    def __init__(self, path: str = _PATH) -> None:
        """A log that may not be read (CAP_SYSLOG, a host without the device) has nothing to tell."""
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._fd, 0, os.SEEK_END)

    def read(self) -> list[str]:
        """The messages since the last call, without their heads; those that the kernel had to drop meanwhile are missing."""
        found: list[str] = []
        while self._fd >= 0:
            try:
                record = os.read(self._fd, _RECORD)
            except OSError as error:
                if error.errno == errno.EPIPE:  # the oldest were overwritten: go on with what is there
                    continue
                break
            if not record:
                break
            found.append(record.partition(b";")[2].partition(b"\n")[0].decode(errors="replace"))
        return found

    def close(self) -> None:
        """Let go; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
