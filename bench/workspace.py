"""Where a benchmark run lives, and how nothing of it stays: one directory, one name that all it makes carries, one sweep at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

CGROUPS = "/sys/fs/cgroup"
NETWORK_NAMESPACES = "/run/netns"
_SWEEP_SECONDS = 5.0


class Workspace:
    """
    The directory's layout, all peers on one file system::

        <path>/<peer>/     what the peer keeps: stores, sockets, logs
        <path>/images/     the archives and trees that all peers get
        <path>/markers/    the fifos through which apps tell that they run
        /run/<token>/      what ends with a reboot, of all peers: a tmpfs as on any host, and short enough for sockets
    """

    def __init__(self, parent: str) -> None:
        self.path = tempfile.mkdtemp(prefix="pb-", dir=parent)
        os.chmod(self.path, 0o711)  # containers in user namespaces pass through
        self.token = f"pb{secrets.token_hex(3)}"
        """Begins the name of every container, cgroup, bridge and nftables table of this run."""
        self.run = f"/run/{self.token}"
        os.mkdir(self.run, 0o711)
        self._namespaces = _names(NETWORK_NAMESPACES)
        self._swept = False
        self._shared_cgroups = (self.token, "conmon")
        """The parent that we name, and podman's for its monitors below it: no peer removes these, and they are no leak."""

    def directory(self, *names: str) -> str:
        """A directory below, made if missing."""
        path = os.path.join(self.path, *names)
        os.makedirs(path, exist_ok=True)
        return path

    @property
    def cgroup(self) -> str:
        """The cgroup above all that this run makes, as runtimes name it."""
        return f"/{self.token}"

    def sweep(self) -> list[str]:
        """Take away whatever is still there. Answers what the peers had left behind: nothing, when all went well."""
        if self._swept:
            return []
        self._swept = True
        left = [f"process {pid}: {command}" for pid, command in self._stopped_processes()]
        left += [f"mount {point}" for point in self._unmounted()]
        left += [f"link {name}" for name in self._links()]
        for namespace in sorted(_names(NETWORK_NAMESPACES) - self._namespaces):
            if self._owns_namespace(namespace):
                left.append(f"network namespace {namespace}")
        left += [f"cgroup {path}" for path in self._cgroups() if os.path.basename(path) not in self._shared_cgroups]
        self._remove_cgroups()
        for directory in (self.path, self.run):
            shutil.rmtree(directory, ignore_errors=True)
            if os.path.exists(directory):
                left.append(f"directory {directory}")
        return left

    # -- processes

    def processes(self) -> dict[int, str]:
        """Processes of this run, by the directory or the name in their command line or cgroup; not ourselves."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            command, cgroup = _text(f"/proc/{entry}/cmdline").replace("\0", " ").strip(), _text(f"/proc/{entry}/cgroup")
            if self.path in command or self.token in command or f"/{self.token}/" in cgroup:
                found[int(entry)] = command
        return {
            pid: command for pid, command in found.items() if _text(f"/proc/{pid}/stat").rpartition(")")[2][1:2] != "Z"
        }

    def _stopped_processes(self) -> list[tuple[int, str]]:
        left: dict[int, str] = {}
        deadline = time.monotonic() + _SWEEP_SECONDS
        grace = time.monotonic() + 1.0  # a monitor's last steps are no leak
        while (found := self.processes()) and time.monotonic() < deadline:
            if time.monotonic() > grace:
                left.update(found)
                for pid in found:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        return sorted(left.items())

    # -- what the kernel holds

    def _unmounted(self) -> list[str]:
        points = []
        for line in _text("/proc/self/mountinfo").splitlines():
            point = line.split(" ")[4].encode().decode("unicode_escape")
            if f"{point}/".startswith((f"{self.path}/", f"{self.run}/")):
                points.append(point)
        for point in sorted(points, key=len, reverse=True):
            subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
        return points

    def _links(self) -> list[str]:
        names = [name for name in os.listdir("/sys/class/net") if name.startswith(self.token)]
        for name in names:
            subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
        return names

    def _owns_namespace(self, name: str) -> bool:
        """podman's network namespaces carry no name of ours: one that came during this run and that no process lives in."""
        path = f"{NETWORK_NAMESPACES}/{name}"
        with contextlib.suppress(OSError):
            inode = os.stat(path).st_ino
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    with contextlib.suppress(OSError):
                        if os.stat(f"/proc/{entry}/ns/net").st_ino == inode:
                            return False
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
            return True
        return False

    def _cgroups(self) -> list[str]:
        found = []
        roots = [CGROUPS, *(f"{CGROUPS}/{name}" for name in _names(CGROUPS))]
        for root in roots:
            top = f"{root}/{self.token}"
            if os.path.isdir(top):
                found += [directory for directory, _, _ in os.walk(top, topdown=False)]
        return found

    def _remove_cgroups(self) -> None:
        for path in self._cgroups():
            with contextlib.suppress(OSError):
                os.rmdir(path)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: by unwinding."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """While cleaning up, further Ctrl-C are not heard: half a cleaning is what leaks."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _names(directory: str) -> set[str]:
    try:
        return set(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
