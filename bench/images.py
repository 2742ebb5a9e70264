"""The images that all peers get: one tree each, as a directory and as a docker-archive, byte for byte the same for everybody."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.failure import BenchError
from bench.workspace import Workspace

BUSYBOX = "/bin/busybox"
SUITE = "bookworm"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "cron",
    "rsyslog",
    "openssh-server",
    "procps",
    "iproute2",
)
CACHE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build", "bench")
SMALL_NAME = "localhost/bench-busybox:latest"
RICH_NAME = "localhost/bench-debian:latest"
ENABLED_NAME = "localhost/bench-debian-enabled:latest"
APP_DIRECTORY = "/bench"
APP = (
    "/bin/sh",
    "-c",
    "echo app > /bench/app; systemctl is-system-running --wait > /bench/running; exec sleep infinity",
)
"""The app of the rich cases: its first action, then systemd's own word when the boot is over, each into a fifo of the host's."""
UNIT_NAME = "bench-app.service"
UNIT = f"""[Unit]
Description=The benchmark's app
[Service]
ExecStart={APP[0]} {APP[1]} '{APP[2]}'
[Install]
WantedBy=multi-user.target
"""
"""For peers that know no app: the same command line as a unit."""
_CONFIG = {"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z"}
_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """`tree`: its files in a directory (never written to); `archive`: a docker-archive that holds it under `name`."""

    name: str
    tree: str
    archive: str


def busybox(workspace: Workspace) -> Image:
    """Debian's static busybox and links to it."""
    if not os.path.exists(BUSYBOX):
        raise BenchError(f"{BUSYBOX} is missing: expected Debian's busybox-static")
    tree = workspace.directory("images", "busybox")
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
        os.mkdir(f"{tree}/{name}")
    shutil.copy2(BUSYBOX, f"{tree}/bin/busybox")
    for name in ("sh", "true", "sleep"):
        os.symlink("busybox", f"{tree}/bin/{name}")
    layer = f"{workspace.directory('images')}/busybox.tar"
    with tarfile.open(layer, "w") as tar:
        tar.add(tree, arcname=".", filter=_plain)
    archive = f"{workspace.directory('images')}/busybox-archive.tar"
    _write_archive(archive, SMALL_NAME, [layer], ["/bin/sh"])
    return Image(SMALL_NAME, tree, archive)


def debian(workspace: Workspace, say: Callable[[str], None]) -> Image:
    """Debian with systemd and the usual services, its tree made by mmdebstrap once and kept in build/bench."""
    layer = _debian_layer(say)
    tree = workspace.directory("images", "debian")
    subprocess.run(
        ["tar", "--extract", "--numeric-owner", "--preserve-permissions", "-f", layer, "-C", tree], check=True
    )
    archive = f"{workspace.directory('images')}/debian-archive.tar"
    _write_archive(archive, RICH_NAME, [layer], ["/bin/bash"])
    return Image(RICH_NAME, tree, archive)


def enabled(workspace: Workspace, base: Image) -> Image:
    """The Debian image with the app as an enabled unit in a second layer, for peers that boot an image as it is."""
    layer = f"{workspace.directory('images')}/enabled.tar"
    with tarfile.open(layer, "w") as tar:
        unit = tarfile.TarInfo(f"etc/systemd/system/{UNIT_NAME}")
        unit.size, unit.mode = len(UNIT), 0o644
        tar.addfile(unit, io.BytesIO(UNIT.encode()))
        link = tarfile.TarInfo(f"etc/systemd/system/multi-user.target.wants/{UNIT_NAME}")
        link.type, link.linkname = tarfile.SYMTYPE, f"../{UNIT_NAME}"
        tar.addfile(link)
    archive = f"{workspace.directory('images')}/enabled-archive.tar"
    _write_archive(archive, ENABLED_NAME, [_debian_layer(lambda _: None), layer], ["/sbin/init"])
    return Image(ENABLED_NAME, base.tree, archive)


def _debian_layer(say: Callable[[str], None]) -> str:
    key = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    layer = f"{CACHE}/{SUITE}-{key}.tar"
    if os.path.exists(layer):
        return layer
    os.makedirs(CACHE, exist_ok=True)
    part = f"{layer}.{os.getpid()}.part.tar"
    say(f"making a Debian {SUITE} tree with mmdebstrap (once; kept as {os.path.relpath(layer)})")
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [
        "--customize-hook=rm -f $1/etc/ssh/ssh_host_* $1/etc/hostname $1/etc/resolv.conf; : > $1/etc/machine-id"
    ]
    try:
        done = subprocess.run([*command, SUITE, part], capture_output=True, text=True, check=False, timeout=1200)
        if done.returncode != 0:
            raise BenchError(f"mmdebstrap {SUITE}: exit code {done.returncode}\n{done.stderr[-2000:].strip()}")
        os.rename(part, layer)
    finally:
        if os.path.exists(part):
            os.unlink(part)
    return layer


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def _write_archive(path: str, name: str, layers: Sequence[str], command: Sequence[str]) -> None:
    """A docker-archive (manifest.json, config, layers), as `docker save` writes it."""
    digests = [_digest(layer) for layer in layers]
    config = {
        **_CONFIG,
        "config": {"Env": [_ENV], "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": _CONFIG["created"], "created_by": os.path.basename(layer)} for layer in layers],
    }
    raw = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(raw).hexdigest()}.json"
    names = [f"{digest}/layer.tar" for digest in digests]
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": names}]).encode()
    with tarfile.open(path, "w") as tar:
        for layer, member_name in zip(layers, names, strict=True):
            tar.add(layer, arcname=member_name)
        for member_name, data in ((config_name, raw), ("manifest.json", manifest)):
            member = tarfile.TarInfo(member_name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
