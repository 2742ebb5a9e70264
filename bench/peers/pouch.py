"""pouch from this source tree: a pouchd of its own, and the command line as users run it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from bench.bench import Bench
from bench.failure import BenchError
from bench.images import APP, APP_DIRECTORY, RICH_NAME, SMALL_NAME
from bench.markers import Markers
from bench.measure import Action
from bench.peers import Boot, Memory, Peer, private_bytes, resident_bytes

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_LOG_LINES = 25


def make() -> Peer:
    """The peer."""
    return Pouch()


class Pouch(Peer):
    """pouch, pouchd, conmon, crun."""

    name = "pouch"
    title = "pouch"
    packages = ("crun", "conmon", "nftables", "golang-github-containers-common", "musl-tools", "gcc", "libc6-dev")
    programs = ("crun", "conmon", "nft", "gcc")
    order = 10

    def open(self, bench: Bench) -> None:
        super().open(bench)
        self._daemon: subprocess.Popen[bytes] | None = None
        self._socket = f"{self.run}/pouchd.sock"
        self._source = f"{self.home}/src"
        self._copy_source()
        self._launcher = self._write_launcher()
        self._start()
        for image in (bench.small, bench.rich):
            self.commands.run(self._pouch("load", "--quiet", "--input", image.archive))

    def close(self) -> None:
        if getattr(self, "_daemon", None) is None:
            return
        with contextlib.suppress(BenchError):
            names = self.commands.out(self._pouch("ps", "--all", "--quiet")).split()
            if names:
                self.commands.run(self._pouch("rm", "--force", *names))
        self._stop()
        bridge = self._bridge
        for command in (["ip", "link", "delete", bridge], ["nft", "delete", "table", "ip", bridge]):
            with contextlib.suppress(FileNotFoundError):
                subprocess.run(command, capture_output=True, check=False)

    def version(self) -> str:
        return self.commands.out([self._launcher, "--version"])

    def run_true(self, network: str) -> Action:
        return self.commands.action(self._pouch("run", "--rm", *_network(network), SMALL_NAME, "true"))

    def exec_true(self, name: str) -> Sequence[str]:
        return self._pouch("exec", name, "true")

    def run_detached(self, name: str) -> Sequence[str]:
        return self._pouch("run", "--detach", "--name", name, SMALL_NAME, "sleep", "1000000")

    def remove(self, name: str) -> Sequence[str]:
        return self._pouch("rm", "--force", name)

    def create(self, name: str) -> Sequence[str]:
        return self._pouch("create", "--name", name, SMALL_NAME, "sleep", "1000000")

    def list_all(self) -> Sequence[str]:
        return self._pouch("ps", "--all")

    def pull(self, reference: str) -> Action:
        return self.commands.action(self._pouch("pull", "--quiet", reference))

    def drop(self, reference: str) -> None:
        self.commands.run(self._pouch("rmi", reference))

    def load(self, archive: str) -> None:
        self.commands.run(self._pouch("load", "--quiet", "--input", archive), timeout=600)

    def list_images(self) -> Sequence[str]:
        return self._pouch("images")

    def remove_image(self, name: str) -> Sequence[str]:
        return self._pouch("rmi", name)

    def show_version(self) -> Sequence[str]:
        return self._pouch("version")

    @contextlib.contextmanager
    def boot(self, name: str, markers: Markers) -> Iterator[Boot]:
        options = (
            "--name",
            name,
            "--rich",
            "--rich-mode",
            "systemd",
            "--volume",
            f"{markers.directory}:{APP_DIRECTORY}",
        )
        start = self._pouch("run", "--detach", *options, RICH_NAME, *APP)
        stop = self._pouch("stop", "--time", str(int(_STOP_SECONDS)), name)
        try:
            yield Boot(start, self.commands.action(stop))
        finally:
            with contextlib.suppress(BenchError):  # where the start failed there may be none
                self.commands.run(self._pouch("rm", "--force", name))

    def memory(self) -> Memory:
        assert self._daemon is not None
        monitors = [
            pid
            for pid, command in self.bench.workspace.processes().items()
            if os.path.basename(command.split(" ")[0]) == "conmon" and self.home in command
        ]
        return Memory(resident_bytes(self._daemon.pid), sum(private_bytes(pid) for pid in monitors))

    def fresh(self) -> None:
        self._stop()
        self._start()

    # -- the daemon

    @property
    def _bridge(self) -> str:
        return f"{self.bench.workspace.token}o"

    def _start(self) -> None:
        """Start pouchd and wait for its READY=1 (sd_notify)."""
        argv = [sys.executable, "-m", "pouch.daemon", "--config", "/dev/null", "--root", f"{self.home}/root"]
        argv += ["--run", self.run, "--bridge", self._bridge, "--cgroup-parent", self.bench.workspace.cgroup]
        argv += ["-H", f"unix://{self._socket}"]
        notify = f"{self.run}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, open(f"{self.home}/log", "ab") as log:
            listener.bind(notify)
            listener.settimeout(0.2)
            environment = {**self.environment(), "NOTIFY_SOCKET": notify, "PYTHONPATH": self._source}
            self._daemon = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
            try:
                self._await_ready(listener)
            finally:
                os.unlink(notify)

    def _await_ready(self, listener: socket.socket) -> None:
        assert self._daemon is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._daemon.poll() is None:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in listener.recv(4096):
                    return
        with open(f"{self.home}/log", encoding="utf-8", errors="replace") as log:
            raise BenchError(f"pouchd did not start:\n{log.read()[-4000:].strip()}")

    def _stop(self) -> None:
        if self._daemon is None or self._daemon.poll() is not None:
            return
        self._daemon.terminate()
        try:
            self._daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
            self.bench.note(f"pouchd did not stop in {_STOP_SECONDS:.0f} s and was killed")

    def _copy_source(self) -> None:
        """Measure the tree as it is now, whoever edits it meanwhile; rich mode's launcher is built beside it, as an installation has it."""
        shutil.copytree(f"{PROJECT}/src", self._source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        self.commands.run([f"{PROJECT}/scripts/build-launch", f"{self._source}/pouch/libexec/launch"])

    def diagnosis(self) -> str:
        with contextlib.suppress(OSError), open(f"{self.home}/log", encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-_LOG_LINES:]).strip()
        return ""

    # -- the command line

    def _pouch(self, *words: str) -> list[str]:
        return [self._launcher, "-H", f"unix://{self._socket}", *words]

    def _write_launcher(self) -> str:
        """A filled copy of scripts/pouch, as `make install` writes it. The system's interpreter will do: the command line needs no packages."""
        system = shutil.which("python3", path="/usr/bin")
        interpreter = system if system and _new_enough(system) else sys.executable
        with open(f"{PROJECT}/scripts/pouch", encoding="utf-8") as file:
            text = file.read().replace("@PYTHON@", interpreter).replace("@SRC@", self._source)
        path = f"{self.home}/pouch"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, stat.S_IRWXU)
        return path


def _network(network: str) -> tuple[str, ...]:
    return () if network == "bridge" else ("--network", network)


def _new_enough(interpreter: str) -> bool:
    test = "import sys; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([interpreter, "-IS", "-c", test], check=False).returncode == 0
