"""The second disk: this source tree, the wheels that its installation needs, images as archives, and the checks.

::

    /payload
    ├── run         started by the guest when it has booted
    ├── inside/     the checks
    ├── support/    what of tests/support they take
    ├── images/     archives of images
    ├── bin/        a registry and Docker's command line, where this host has them
    ├── wheels/     what pip would fetch
    └── source/     src, scripts, packaging and what pip reads
"""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence

from guest import disk
from support import images, machines, registry

SIZE = "2G"
FILES = 2000
_SUPPORT = ("kill", "images", "treedigest", "file_trees", "certificates")
_PROGRAMS = (registry.PROGRAM, "docker")
"""Of this host, where it has them: a registry and Docker's command line, which is one static file."""
_ZIPPED_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_SOURCES = ("src", "scripts", "packaging", "pyproject.toml", "README.md", "LICENSE")
_RUN = """#!/bin/sh
cd /payload
export HOME=/root PYTHONDONTWRITEBYTECODE=1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
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
        os.mkdir(f"{home}/support")
        for name in _SUPPORT:
            shutil.copy2(disk.ROOT / "tests" / "support" / f"{name}.py", f"{home}/support")
        shutil.copytree(wheels(), f"{home}/wheels")
        os.mkdir(f"{home}/images")
        images.busybox_archive(f"{home}/images/busybox.tar", tag="busybox:latest")
        images.oci_archive(f"{home}/images/files.tar", _many_files(), compress=images.zipped, media=_ZIPPED_LAYER)
        os.mkdir(f"{home}/bin")
        for name in _PROGRAMS:
            if program := shutil.which(name):
                shutil.copy2(program, f"{home}/bin")
        for case in (machines.DEBIAN12, machines.DEBIAN13):
            os.symlink(machines.archive(case.image), f"{home}/link")
            shutil.copyfile(f"{home}/link", f"{home}/images/{case.name}.tar")
            os.unlink(f"{home}/link")
        with open(f"{home}/run", "w", encoding="utf-8") as file:
            file.write(_RUN.format(shlex.join(rows)))
        os.chmod(f"{home}/run", 0o755)
        disk.make_image(home, target, SIZE)


def _many_files() -> images.Picture:
    """files:1, which can run: many small files and a few large ones, then what changes some of them."""
    dice = random.Random(1)
    lower = [
        images.directory("data"),
        *(images.file(f"data/{number}", dice.randbytes(number), uid=number % 70_000) for number in range(FILES)),
        *(images.file(f"data/large-{number}", dice.randbytes(1 << 20), mode=0o4755) for number in range(3)),
    ]
    upper = [
        images.directory("data"),
        *(images.whiteout(f"data/{number}") for number in range(0, FILES, 100)),
        images.file("data/1", b"changed"),
        images.hardlink("data/link", "data/1"),
        images.directory("data/deep", mode=0o700),
        images.symlink("data/deep/up", ".."),
    ]
    return images.busybox_picture(tag="files:1", extra=lower, layers=[images.layer(*upper)])


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
