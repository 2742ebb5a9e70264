"""The guest's disk: Debian bookworm with systemd as PID 1 on pure cgroup v2, and the packages that scripts/setup names. Made once.

::

    <cache>/guest/<key>/
    ├── root.img    ext4 without a partition table; every boot writes into a throw-away overlay on it
    ├── vmlinuz     Debian's cloud kernel
    └── initrd
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = os.environ.get("POUCH_TEST_CACHE", "/var/cache/pouch-test")
SUITE = "bookworm"
PYTHON = "3.11"
"""Its Python."""
SIZE = "8G"
SERVICES = ("firewalld", "systemd-resolved", "ufw")
"""What may meddle with networks. Off, until a row starts them."""
BASE = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "python3",
    "iptables",
    *SERVICES,
)
HERE = Path(__file__).parent / "disk"
"""Files that are put into the disk as they are."""
_OPTIONS = (
    "--mode=root",
    "--variant=minbase",
    "--format=directory",
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)
_SECONDS = 1800


@dataclass(frozen=True)
class Disk:
    """Paths of a finished one."""

    image: str
    kernel: str
    initrd: str


def setup_packages() -> tuple[str, ...]:
    """What scripts/setup installs, read from it: the guest is a machine on which `make install` has nothing left to fetch."""
    text = (ROOT / "scripts" / "setup").read_text(encoding="utf-8")
    block = re.search(r"^PACKAGES=\(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL)
    assert block, "scripts/setup has no PACKAGES"
    return tuple(word for line in block[1].splitlines() for word in line.partition("#")[0].split())


def ensure() -> Disk:
    """The disk from the cache; made when its recipe is a new one, which takes minutes."""
    packages = sorted({*BASE, *setup_packages()})
    recipe = [SUITE, SIZE, *packages, *(path.read_text() for path in sorted(HERE.rglob("*")) if path.is_file())]
    key = hashlib.sha256("\0".join([*recipe, *_OPTIONS]).encode()).hexdigest()[:12]
    home = f"{CACHE}/guest/{SUITE}-{key}"
    if not os.path.isdir(home):
        os.makedirs(os.path.dirname(home), exist_ok=True)
        part = tempfile.mkdtemp(prefix=".part-", dir=os.path.dirname(home))
        try:
            _make(part, packages)
            os.rename(part, home)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return Disk(f"{home}/root.img", f"{home}/vmlinuz", f"{home}/initrd")


def _make(home: str, packages: list[str]) -> None:
    tree = f"{home}/tree"
    hooks = [
        f"--customize-hook=copy-in {' '.join(str(path) for path in sorted(HERE.iterdir()))} /",
        '--customize-hook=chroot "$1" systemctl enable guest-payload.service',
        f'--customize-hook=chroot "$1" systemctl disable {" ".join(SERVICES)}',
        '--customize-hook=echo guest > "$1"/etc/hostname; : > "$1"/etc/machine-id; rm -f "$1"/etc/resolv.conf',
        '--customize-hook=chroot "$1" update-initramfs -u',
    ]
    _run("mmdebstrap", *_OPTIONS, f"--include={','.join(packages)}", *hooks, SUITE, tree)
    shutil.copyfile(glob.glob(f"{tree}/boot/vmlinuz-*")[0], f"{home}/vmlinuz")
    shutil.copyfile(glob.glob(f"{tree}/boot/initrd.img-*")[0], f"{home}/initrd")
    make_image(tree, f"{home}/root.img", SIZE)
    shutil.rmtree(tree)


def make_image(tree: str, target: str, size: str) -> None:
    """An ext4 file system with what is in a directory, sparse."""
    _run("truncate", "-s", size, target)
    _run("mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", tree, target)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"guest: {argv[0]} failed ({done.returncode}):\n{done.stderr[-3000:]}")
