"""Tiny OCI bundles of Debian's static busybox, and what is needed to run them: for tests with the real crun, runc and conmon."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

BUSYBOX = "/bin/busybox"
APPLETS = "sh true false cat echo sleep head tail dd yes id stty kill tty seq env printf touch wc ls sync usleep mkfifo readlink tee".split()
_CAPABILITIES = ["CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_AUDIT_WRITE"]
_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
]


def missing() -> str:
    """Why containers cannot be run here ("" when they can): tried, not guessed from the uid."""
    for program in ("crun", "conmon"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not os.path.exists(BUSYBOX):
        return "busybox-static is not installed"
    with workshop() as shop:
        bundle = shop.bundle(["true"])
        done = subprocess.run(
            ["crun", f"--root={shop.state_root}", "run", "--bundle", bundle.path, bundle.id],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else f"crun cannot run a container here: {done.stderr.strip()}"


def process(
    args: Sequence[str], *, tty: bool = False, cwd: str = "/", env: Sequence[str] = (), uid: int = 0
) -> dict[str, Any]:
    """An OCI process document."""
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES)
    return {
        "terminal": tty,
        "user": {"uid": uid, "gid": uid},
        "args": list(args),
        "env": ["PATH=/bin:/usr/bin", "TERM=xterm", *env],
        "cwd": cwd,
        "capabilities": capabilities,
        "noNewPrivileges": True,
    }


@dataclass
class Bundle:
    """A bundle on disk, not yet created."""

    id: str
    path: str

    @property
    def log(self) -> str:
        """Where its log goes."""
        return f"{self.path}/log"

    @property
    def pid_file(self) -> str:
        """Where the runtime writes the pid."""
        return f"{self.path}/pid"


@dataclass
class Workshop:
    """A temporary directory with bundles, a runtime's state and monitors' exit files."""

    path: str
    made: list[Bundle] = field(default_factory=list)
    monitors: list[int] = field(default_factory=list)
    """Pids of monitors that are our children, to be reaped when their loop no longer does."""

    @property
    def state_root(self) -> str:
        """For the runtime's --root."""
        return f"{self.path}/state"

    @property
    def exit_dir(self) -> str:
        """For monitors."""
        return f"{self.path}/exits"

    def bundle(
        self,
        args: Sequence[str],
        *,
        tty: bool = False,
        mounts: Sequence[dict[str, Any]] = (),
        memory: int = 0,
        env: Sequence[str] = (),
        cwd: str = "/",
        uid: int = 0,
    ) -> Bundle:
        """Make one with its own rootfs."""
        identifier = f"pouch-test-{uuid.uuid4().hex[:12]}"
        path = f"{self.path}/{identifier}"
        _make_rootfs(f"{path}/rootfs")
        resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
        if memory:
            resources["memory"] = {"limit": memory, "swap": memory}
        spec = {
            "ociVersion": "1.0.2",
            "process": process(args, tty=tty, env=env, cwd=cwd, uid=uid),
            "root": {"path": "rootfs"},
            "hostname": "test",
            "mounts": [*_MOUNTS, *mounts],
            "linux": {
                "cgroupsPath": f"/pouch-test/{identifier}",
                "resources": resources,
                "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            },
        }
        with open(f"{path}/config.json", "w") as file:
            json.dump(spec, file)
        bundle = Bundle(identifier, path)
        self.made.append(bundle)
        return bundle


def _make_rootfs(root: str) -> None:
    for directory in ("bin", "etc", "proc", "dev", "sys", "tmp", "directory"):
        os.makedirs(f"{root}/{directory}")
    shutil.copy(BUSYBOX, f"{root}/bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", f"{root}/bin/{applet}")
    with open(f"{root}/not-executable", "w") as file:
        file.write("text\n")


@contextlib.contextmanager
def workshop() -> Iterator[Workshop]:
    """Make one; at the end every container is killed and deleted, and nothing is left."""
    with tempfile.TemporaryDirectory(prefix="pouch-test-") as path:
        shop = Workshop(path)
        os.makedirs(shop.state_root)
        os.makedirs(shop.exit_dir)
        try:
            yield shop
        finally:
            for bundle in shop.made:
                state = f"{shop.state_root}/{bundle.id}"
                if os.path.isdir(state):  # crun would take away runc's state, and leave its processes
                    program = "runc" if os.path.exists(f"{state}/state.json") else "crun"
                    command = [program, f"--root={shop.state_root}", "delete", "--force", bundle.id]
                    subprocess.run(command, capture_output=True, check=False)
            for pid in shop.monitors:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
