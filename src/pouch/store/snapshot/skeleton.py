"""The lowest layer of every container: places to mount on that an image may lack.

A runtime makes missing mount points itself, in the container's own files: they would show as its changes and be shipped by `commit`.
Below all layers of the image this one never hides anything of it, and is shared by all containers.
"""

from __future__ import annotations

import os

_DIRECTORIES = (("etc", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755), ("run", 0o755), ("tmp", 0o1777))
_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")


def ensure(path: str) -> None:
    """Make it; idempotent."""
    os.makedirs(path, mode=0o755, exist_ok=True)
    for name, mode in _DIRECTORIES:
        os.makedirs(f"{path}/{name}", exist_ok=True)
        os.chmod(f"{path}/{name}", mode)
    for name in _FILES:
        with open(f"{path}/{name}", "ab"):
            os.chmod(f"{path}/{name}", 0o644)
