"""The second disk: this source tree, the wheels that its installation needs, images as archives, and the checks.

::

    /payload
    ├── run         started by the guest when it has booted
    ├── inside/     the checks
    ├── images/     docker-archives
    ├── wheels/     what pip would fetch
    └── source/     src, scripts, packaging and what pip reads
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence

from guest import disk
from support import images, machines

SIZE = "2G"
_SOURCES = ("src", "scripts", "packaging", "pyproject.toml", "README.md", "LICENSE")
_RUN = """#!/bin/sh
cd /payload
export HOME=/root PYTHONDONTWRITEBYTECODE=1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if grep -qw guest.again /proc/cmdline; then exec python3 -m inside --again; fi
exec python3 -m inside {}
"""
_UNWANTED = shutil.ignore_patterns("__pycache__", "*.egg-info")


def make(target: str, rows: Sequence[str]) -> None:
    """An ext4 image at `target`; rows: which of the checks, none for all."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as home:
        for name in _SOURCES:
            source = disk.ROOT / name
            if source.is_dir():
                shutil.copytree(source, f"{home}/source/{name}", ignore=_UNWANTED, symlinks=True)
            elif source.exists():
                shutil.copy2(source, f"{home}/source/{name}")
        shutil.copytree(disk.ROOT / "tests" / "guest" / "inside", f"{home}/inside", ignore=_UNWANTED)
        shutil.copytree(wheels(), f"{home}/wheels")
        os.mkdir(f"{home}/images")
        images.busybox_archive(f"{home}/images/busybox.tar", tag="busybox:latest")
        for case in (machines.DEBIAN12, machines.DEBIAN13):
            os.symlink(machines.archive(case.image), f"{home}/link")
            shutil.copyfile(f"{home}/link", f"{home}/images/{case.name}.tar")
            os.unlink(f"{home}/link")
        with open(f"{home}/run", "w", encoding="utf-8") as file:
            file.write(_RUN.format(shlex.join(rows)))
        os.chmod(f"{home}/run", 0o755)
        disk.make_image(home, target, SIZE)


def wheels() -> str:
    """A directory with all that pip needs to install pouch in the guest; fetched when pyproject.toml asks for other things."""
    with open(disk.ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)
    wanted = sorted([*project["project"]["dependencies"], *project["build-system"]["requires"], "wheel"])
    key = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    target = f"{disk.CACHE}/guest/wheels-{key}"
    if not os.path.isdir(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = tempfile.mkdtemp(prefix=".part-", dir=os.path.dirname(target))
        try:
            version = ("--python-version", disk.PYTHON, "--only-binary", ":all:")
            command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", part]
            subprocess.run([*command, *version, *wanted], check=True, timeout=600)
            os.rename(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return target
