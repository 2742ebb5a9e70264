"""crun alone, with bundles that lie ready on a mounted overlay: the floor. No image, no store, no monitor, no log, no network, no seccomp."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from bench.bench import Bench
from bench.failure import BenchError, NotOffered
from bench.images import APP_DIRECTORY, UNIT, UNIT_NAME
from bench.markers import Markers
from bench.measure import Action
from bench.peers import Boot, Memory, Peer

_CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
    ).split()
]
_STOP = signal.SIGRTMIN + 3
_STOP_SECONDS = 30.0


def make() -> Peer:
    """The peer."""
    return Crun()


class Crun(Peer):
    """`crun run` of ready bundles."""

    name = "crun"
    title = "crun"
    packages = ("crun",)
    programs = ("crun", "mount", "umount")
    order = 30

    def open(self, bench: Bench) -> None:
        super().open(bench)
        self._mounted: list[str] = []
        self._once = self.bundle("once", bench.small.tree, ["true"])

    def close(self) -> None:
        if not hasattr(self, "_mounted"):
            return
        for name in _listed(f"{self.run}/state"):
            with contextlib.suppress(BenchError):
                self.commands.run(self._crun("delete", "--force", name))
        for point in reversed(self._mounted):
            subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)

    def version(self) -> str:
        return self.commands.out(["crun", "--version"]).splitlines()[0]

    def run_true(self, network: str) -> Action:
        if network != "none":
            raise NotOffered("crun makes an empty network namespace: see the row without network")
        return self.commands.action(self._crun("run", "--bundle", self._once, f"{self.bench.workspace.token}-once"))

    def exec_true(self, name: str) -> Sequence[str]:
        return self._crun("exec", name, "true")

    def prepare(self, name: str) -> None:
        self.bundle(name, self.bench.small.tree, ["sleep", "1000000"])

    def forget(self, name: str) -> None:
        self._unmount(f"{self.home}/bundles/{name}/rootfs")
        shutil.rmtree(f"{self.home}/bundles/{name}")

    def run_detached(self, name: str) -> Sequence[str]:
        return self._crun("run", "--detach", "--bundle", f"{self.home}/bundles/{name}", name)

    def create(self, name: str) -> Sequence[str]:
        return self._crun("create", "--bundle", f"{self.home}/bundles/{name}", name)

    def remove(self, name: str) -> Sequence[str]:
        return self._crun("delete", "--force", name)

    def list_all(self) -> Sequence[str]:
        return self._crun("list")

    def show_version(self) -> Sequence[str]:
        return self._crun("--version")

    @contextlib.contextmanager
    def boot(self, name: str, markers: Markers) -> Iterator[Boot]:
        path = self.bundle(name, self.bench.rich.tree, ["/sbin/init"], markers=markers.directory)
        pid_file = f"{path}/pid"
        start = self._crun("run", "--detach", "--pid-file", pid_file, "--bundle", path, name)
        try:
            yield Boot(start, lambda: self._stop(name, pid_file))
        finally:
            if name in _listed(f"{self.run}/state"):
                self.commands.run(self._crun("delete", "--force", name))
            self._unmount(f"{path}/run")
            self.forget(name)

    def memory(self) -> Memory:
        return Memory(0, 0)

    # -- bundles

    def bundle(self, name: str, tree: str, argv: Sequence[str], *, markers: str = "") -> str:
        """An OCI bundle: config.json, overlay over the image's tree. With `markers` a machine: systemd's /run, cgroup2, the app's unit."""
        path = self.bench.workspace.directory(self.name, "bundles", name)
        for part in ("upper", "work", "rootfs"):
            os.mkdir(f"{path}/{part}")
        self._mount("overlay", f"{path}/rootfs", f"lowerdir={tree},upperdir={path}/upper,workdir={path}/work")
        document = _spec(argv, f"{self.bench.workspace.cgroup}/{name}")
        if markers:
            os.mkdir(f"{path}/run")
            self._mount("tmpfs", f"{path}/run", "mode=755,nosuid,nodev")
            _write_unit(f"{path}/run/systemd/system")
            document["mounts"] += _machine_mounts(f"{path}/run", markers)
            document["process"]["env"].append("container=oci")
        with open(f"{path}/config.json", "w", encoding="ascii") as file:
            json.dump(document, file)
        return path

    def _mount(self, kind: str, target: str, options: str) -> None:
        self.commands.run(["mount", "-t", kind, "-o", options, kind, target])
        self._mounted.append(target)

    def _unmount(self, target: str) -> None:
        self.commands.run(["umount", target])
        self._mounted.remove(target)

    def _stop(self, name: str, pid_file: str) -> None:
        """Ask systemd to halt and wait for the end of PID 1."""
        with open(pid_file, encoding="ascii") as file:
            descriptor = os.pidfd_open(int(file.read()))
        try:
            self.commands.run(self._crun("kill", name, str(int(_STOP))))
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(_STOP_SECONDS * 1000):
                raise BenchError(f"crun: {name} did not stop in {_STOP_SECONDS:.0f} s")
        finally:
            os.close(descriptor)

    def _crun(self, *words: str) -> list[str]:
        return ["crun", "--root", f"{self.run}/state", "--cgroup-manager", "cgroupfs", *words]


def _spec(argv: Sequence[str], cgroup: str) -> dict[str, Any]:
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "hostname": "bench",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(argv),
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
        },
        "mounts": [
            _mounted("/proc", "proc", "nosuid", "noexec", "nodev"),
            _mounted("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mounted("/dev/pts", "devpts", *pts),
            _mounted("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            _mounted("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            _mounted("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": [
                "/proc/acpi",
                "/proc/kcore",
                "/proc/keys",
                "/proc/timer_list",
                "/proc/scsi",
                "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def _machine_mounts(run: str, markers: str) -> list[dict[str, Any]]:
    return [
        _mounted("/sys/fs/cgroup", "cgroup2", "rw", "nosuid", "noexec", "nodev"),
        {"destination": "/run", "type": "bind", "source": run, "options": ["bind", "nosuid", "nodev"]},
        _mounted("/run/lock", "tmpfs", "nosuid", "nodev", "noexec", "mode=1777"),
        _mounted("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777"),
        {"destination": APP_DIRECTORY, "type": "bind", "source": markers, "options": ["bind", "nosuid", "nodev"]},
    ]


def _mounted(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


def _write_unit(directory: str) -> None:
    """The app's unit, enabled, in the tmpfs that will be /run."""
    os.makedirs(f"{directory}/multi-user.target.wants")
    with open(f"{directory}/{UNIT_NAME}", "w", encoding="ascii") as file:
        file.write(UNIT)
    os.symlink(f"../{UNIT_NAME}", f"{directory}/multi-user.target.wants/{UNIT_NAME}")


def _listed(directory: str) -> Sequence[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return ()
