"""What survives a power cut: flushing a file system, and telling one boot of the host from another."""

from __future__ import annotations

import os

from pouch.kernel import libc

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def flush(path: str) -> None:
    """Have everything that was written so far to the file system of `path` on the disk (syncfs(2)). Seconds, where much is dirty.

    Raises KernelError, also where an earlier write in the background has failed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.syncfs(descriptor, path)
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """What the kernel calls this boot: a UUID (random(4))."""
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
