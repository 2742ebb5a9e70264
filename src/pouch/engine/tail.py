"""The end of a container's log as text, for hooks and messages. Blocking, bounded."""

from __future__ import annotations

import os


def of(path: str, limit: int) -> str:
    """What the container wrote last, `limit` bytes at most; "" where there is no log."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - 4 * limit)
            file.seek(start)
            raw = file.read(4 * limit)
    except OSError:
        return ""
    lines = raw.split(b"\n")
    if start > 0:
        lines = lines[1:]  # the first one is cut
    return b"".join(_written(line) for line in lines)[-limit:].decode(errors="replace")


def _written(line: bytes) -> bytes:
    """What the container wrote of a line `TIME STREAM F|P DATA`."""
    fields = line.split(b" ", 3)
    if len(fields) < 4:
        return b""
    return fields[3] + (b"\n" if fields[2] == b"F" else b"")
