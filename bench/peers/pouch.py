"""pouch from this source tree: a pouchd of its own, and the command line as users run it."""

from __future__ import annotations

import contextlib
import itertools
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
from bench.peers import Boot, Memory, Peer, Plug, private_bytes, resident_bytes
from bench.place import Place

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
    _hosts = itertools.count(1)

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
        tables = (["nft", "delete", "table", family, bridge] for family in ("ip", "inet"))
        for command in (["ip", "link", "delete", bridge], *tables):
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
        self._daemon = self._started(f"{self.home}/root", self.run)

    def _started(self, root: str, run: str, *, host: Place | None = None) -> subprocess.Popen[bytes]:
        """Start a pouchd and wait for its READY=1 (sd_notify)."""
        argv = [sys.executable, "-m", "pouch.daemon", "--config", "/dev/null", "--root", root, "--run", run]
        argv += ["--bridge", self._bridge, "--cgroup-parent", self.bench.workspace.cgroup]
        argv += ["-H", f"unix://{run}/pouchd.sock"]
        notify = f"{run}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, open(f"{self.home}/log", "ab") as log:
            listener.bind(notify)
            listener.settimeout(0.2)
            environment = {**self.environment(), "NOTIFY_SOCKET": notify, "PYTHONPATH": self._source}
            daemon = (host.spawn if host else subprocess.Popen)(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
            try:
                self._await_ready(daemon, listener)
            finally:
                os.unlink(notify)
        return daemon

    @contextlib.contextmanager
    def served(self, host: Place) -> Iterator[str]:
        """A second pouchd, there."""
        where = f"p{next(self._hosts)}"
        run = f"{self.bench.workspace.run}/{where}"  # a short one: sockets lie below it
        os.mkdir(run, 0o711)
        daemon = self._started(f"{self.home}/{where}", run, host=host)
        try:
            address = f"{run}/pouchd.sock"
            self.commands.run(
                [self._launcher, "-H", f"unix://{address}", "load", "--quiet", "--input", self.bench.small.archive]
            )
            yield address
        finally:
            self._end(daemon)

    @contextlib.contextmanager
    def plug(self, host: Place) -> Iterator[Plug]:
        """A process with pouchd's rooms for networks (`_links.py`)."""
        environment = {**self.environment(), "PYTHONPATH": self._source}
        argv = [sys.executable, "-P", f"{PROJECT}/bench/peers/_links.py", self._bridge]
        with open(f"{self.home}/log", "ab") as log:
            process = host.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment)
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018 - both pipes were asked for

        def answered(word: bytes) -> None:
            if process.stdout.readline().strip() != word:
                raise BenchError(f"{' '.join(argv)}: ended\n{self.diagnosis()}")

        def call(what: str, container: Place) -> None:
            process.stdin.write(f"{what} {container.path}\n".encode())
            process.stdin.flush()
            answered(b"done")

        try:
            answered(b"ready")
            yield Plug(lambda container: call("up", container), lambda container: call("down", container))
        finally:
            process.stdin.close()
            process.wait(_STOP_SECONDS)
            process.stdout.close()

    def _await_ready(self, daemon: subprocess.Popen[bytes], listener: socket.socket) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and daemon.poll() is None:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in listener.recv(4096):
                    return
        self._end(daemon)
        with open(f"{self.home}/log", encoding="utf-8", errors="replace") as log:
            raise BenchError(f"pouchd did not start:\n{log.read()[-4000:].strip()}")

    def _stop(self) -> None:
        if self._daemon is not None:
            self._end(self._daemon)

    def _end(self, daemon: subprocess.Popen[bytes]) -> None:
        if daemon.poll() is not None:
            return
        daemon.terminate()
        try:
            daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
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
