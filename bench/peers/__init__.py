"""One peer per file, found by listing this folder: each has `def make() -> Peer`.

A peer offers what it can; for the rest `Peer` raises NotOffered, and the report shows the reason. Operations that are measured come as argv or
as an Action, so that nothing but the peer's own work lies between two readings of the clock.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.bench import Bench
from bench.failure import NotOffered
from bench.markers import Markers
from bench.measure import Action, Commands
from bench.place import Place


@dataclass(frozen=True)
class Boot:
    """One rich container about to be booted. `start` returns at once or when it runs, as the program does; `stop` ends when it has stopped."""

    start: Sequence[str]
    stop: Action


@dataclass(frozen=True)
class Memory:
    """Bytes: resident set of the peer's daemon (0: it has none); private memory of the monitors of all running containers."""

    daemon: int
    monitors: int


@dataclass(frozen=True)
class Plug:
    """What makes and takes away one endpoint with one published port for a container's namespace, each in one measured call."""

    up: Callable[[Place], None]
    down: Callable[[Place], None]


class Peer:
    """What is compared. `open` sets it up in its own directory below the workspace, `close` ends all it started."""

    name = ""
    title = ""
    packages: Sequence[str] = ()
    """Debian packages it comes from."""
    programs: Sequence[str] = ()
    """What must be on PATH."""
    order = 0
    """The report's columns from left to right."""

    bench: Bench
    commands: Commands
    home: str
    run: str
    """Its directory on a tmpfs."""

    def probe(self) -> str:
        """Why it cannot run here; "" when it can, as far as can be told before `open`."""
        missing = [program for program in self.programs if shutil.which(program) is None]
        return f"{', '.join(missing)} not installed (Debian: {' '.join(self.packages)})" if missing else ""

    def open(self, bench: Bench) -> None:
        """Make stores, load the images, start the daemon. Raises BenchError or NotOffered."""
        self.bench = bench
        self.home = bench.workspace.directory(self.name)
        os.chmod(self.home, 0o711)
        self.run = f"{bench.workspace.run}/{self.name}"
        os.mkdir(self.run, 0o711)
        self.commands = Commands(self.home, self.environment())

    def close(self) -> None:
        """Take all of it away. Called also when `open` failed half-way."""

    def environment(self) -> dict[str, str]:
        """For its programs: ours without what steers Python or containers."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "CONTAINER", "POUCH", "DOCKER", "NOTIFY_", "LISTEN_"))
        }

    def diagnosis(self) -> str:
        """What its log said last, for a failure's report; "" without a log."""
        return ""

    def version(self) -> str:
        """One line for the report."""
        raise NotImplementedError

    # -- what is measured

    def run_true(self, network: str) -> Action:
        """`true` in a new busybox container that goes when it ends. network: "bridge" (the peer's default) or "none"."""
        raise self._not_offered("run")

    def exec_true(self, name: str) -> Sequence[str]:
        """`true` in a running container."""
        raise self._not_offered("exec")

    def run_detached(self, name: str) -> Sequence[str]:
        """A busybox container that sleeps, without network unless that is the default."""
        raise self._not_offered("run -d")

    def remove(self, name: str) -> Sequence[str]:
        """End and remove a running container at once."""
        raise self._not_offered("rm -f")

    def create(self, name: str) -> Sequence[str]:
        """A busybox container that is not started."""
        raise self._not_offered("create")

    def list_all(self) -> Sequence[str]:
        """All containers, running or not."""
        raise self._not_offered("ps -a")

    def pull(self, reference: str) -> Action:
        """Have an image of the bench's registry ready to be run."""
        raise self._not_offered("pull")

    def drop(self, reference: str) -> None:
        """Remove a pulled image with all it left, outside the measured time."""

    def load(self, archive: str) -> None:
        """Read a docker-archive, outside the measured time."""
        raise self._not_offered("images")

    def list_images(self) -> Sequence[str]:
        """All images."""
        raise self._not_offered("images")

    def remove_image(self, name: str) -> Sequence[str]:
        """Remove a loaded image."""
        raise self._not_offered("rmi")

    def show_version(self) -> Sequence[str]:
        """The cheapest command that a user gives."""
        raise self._not_offered("version")

    def boot(self, name: str, markers: Markers) -> contextlib.AbstractContextManager[Boot]:
        """A Debian with systemd and images.APP as a service of it, `markers.directory` bound to /bench. Gone after the block."""
        raise self._not_offered("booting a systemd image with an app")

    def memory(self) -> Memory:
        """What it costs now, beside the containers' own processes."""
        raise self._not_offered("memory")

    def fresh(self) -> None:
        """Put a daemon into the state in which it starts; no daemon: nothing to do."""

    def served(self, host: Place) -> contextlib.AbstractContextManager[str]:
        """This engine on a host of its own with a network: the socket on which it answers Docker's API, with the small image there."""
        raise self._not_offered("networks")

    def plug(self, host: Place) -> contextlib.AbstractContextManager[Plug]:
        """What it makes endpoints with, without the rest of it."""
        raise self._not_offered("networks")

    # -- shared by several

    def prepare(self, name: str) -> None:
        """Before `run_detached` or `create`, outside the measured time: what this peer needs on disk."""

    def forget(self, name: str) -> None:
        """After `remove`, outside the measured time."""

    @contextlib.contextmanager
    def sleeper(self, name: str) -> Iterator[None]:
        """A running container for the length of the block."""
        self.prepare(name)
        try:
            self.commands.run(self.run_detached(name))
            try:
                yield
            finally:
                self.commands.run(self.remove(name))
        finally:
            self.forget(name)

    def _not_offered(self, what: str) -> NotOffered:
        return NotOffered(f"{self.title} is not measured at {what}")


def private_bytes(pid: int) -> int:
    """Memory that only this process holds (proc_pid_smaps_rollup)."""
    total = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


def resident_bytes(pid: int) -> int:
    """VmRSS (proc_pid_status)."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def find() -> list[Peer]:
    """All peers of this folder, in the report's order."""
    names = sorted(
        name[:-3] for name in os.listdir(os.path.dirname(__file__)) if name.endswith(".py") and name[0] != "_"
    )
    made: list[Peer] = [importlib.import_module(f"bench.peers.{name}").make() for name in names]
    return sorted(made, key=lambda peer: peer.order)
