"""Debian packages taken apart below build/bench instead of being installed: their daemons must not start on this host."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from bench.failure import BenchError
from bench.images import CACHE


def programs(packages: Sequence[str]) -> str:
    """A directory with the packages' files (`usr/bin`, `usr/sbin` ...), made once. Raises BenchError."""
    target = f"{CACHE}/{'+'.join(packages)}"
    if os.path.isdir(target):
        return target
    os.makedirs(CACHE, exist_ok=True)
    part = tempfile.mkdtemp(prefix="packages-", dir=CACHE)
    try:
        for package in packages:
            _run(["apt-get", "download", package], part)
        for name in sorted(os.listdir(part)):
            _run(["dpkg-deb", "--extract", name, "files"], part)
        os.rename(f"{part}/files", target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def search_path(root: str) -> str:
    """PATH with the extracted programs first."""
    return os.pathsep.join((f"{root}/usr/bin", f"{root}/usr/sbin", os.environ.get("PATH", os.defpath)))


def _run(command: Sequence[str], directory: str) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
