"""A pouchd of the test's own, with its own directories, bridge and socket, and the command line run as users run it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from support import leaks

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "src"))
START_SECONDS = 30.0
_LAUNCHER = f"import sys; sys.path.insert(0, {SOURCE!r}); from pouch.cli.main import main; sys.exit(main())"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("pouch", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """One daemon. `root` and `run` stay when it is stopped or killed; `close` takes all away."""

    def __init__(self, *options: str) -> None:
        self.home = tempfile.mkdtemp(prefix="pt-", dir="/var/tmp")
        os.chmod(self.home, 0o711)
        self.root, self.run = f"{self.home}/root", f"{self.home}/run"
        self.socket = f"{self.run}/pouchd.sock"
        self.log_path = f"{self.home}/log"
        self.bridge = f"pt{os.path.basename(self.home)[3:]}"
        self.cgroup_parent = self.bridge
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    # -- the daemon ---------------------------------------------------------------------------------------------------

    def start(self) -> Daemon:
        """Start it and wait until it answers (it tells by sd_notify)."""
        argv = [sys.executable, "-m", "pouch.daemon", "--config", "/dev/null", "--root", self.root, "--run", self.run]
        argv += ["--bridge", self.bridge, "--cgroup-parent", self.cgroup_parent, "--log-level", "debug", *self.options]
        notify = f"{self.home}/notify"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify)  # of a start that failed
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(notify)
            listener.settimeout(0.2)
            environment = {**os.environ, "NOTIFY_SOCKET": notify, "PYTHONPATH": SOURCE, "PYTHONWARNINGS": "default"}
            with open(self.log_path, "ab") as log:
                self.process = self.spawn(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
                )
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    if b"READY=1" in listener.recv(4096):
                        break
                except TimeoutError:
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(f"pouchd did not start:\n{self.log()}") from None
        os.unlink(notify)
        return self

    def spawn(self, argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start the daemon's process."""
        return subprocess.Popen(argv, **options)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=30)

    def log(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def close(self) -> None:
        """Remove all containers, stop, delete the directories and the bridge."""
        with contextlib.suppress(AssertionError, OSError, subprocess.SubprocessError):
            if self.process is None or self.process.poll() is not None:
                self.start()
            ids = self.pouch("ps", "-aq", check=False).stdout.split()
            if ids:
                self.pouch("rm", "-f", *ids, check=False)
            self.stop()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.remove_network()
        leaks.remove_cgroups(self)
        shutil.rmtree(self.home, ignore_errors=True)

    def links(self) -> list[str]:
        """The host's ends of its containers' links."""
        with contextlib.suppress(FileNotFoundError):
            return os.listdir(f"/sys/class/net/{self.bridge}/brif")
        return []

    def remove_network(self) -> None:
        """What a daemon leaves on its host for the next one."""
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True, check=False)
        for family in ("ip", "inet"):
            subprocess.run(["nft", "delete", "table", family, self.bridge], capture_output=True, check=False)

    # -- its clients --------------------------------------------------------------------------------------------------

    def command(self, *words: str) -> list[str]:
        """argv of the command line."""
        return [sys.executable, "-IS", "-c", _LAUNCHER, "-H", self.host, *words]

    def pouch(
        self,
        *words: str,
        check: bool = True,
        input: str | bytes | None = None,
        timeout: float = 120,
        binary: bool = False,
    ) -> subprocess.CompletedProcess[Any]:
        """Run `pouch ...`; with check, a failure shows what it said."""
        done = subprocess.run(
            self.command(*words),
            input=input if input is None or isinstance(input, bytes) or not binary else input.encode(),
            stdin=subprocess.DEVNULL if input is None else None,
            env={"DOCKER_CONFIG": f"{self.home}/docker", **os.environ},
            capture_output=True,
            text=not binary,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"pouch {' '.join(words)} exited with {done.returncode}:\n{done.stdout!r}\n{done.stderr!r}"
            )
        return done

    def out(self, *words: str, **options: Any) -> str:
        """stdout of `pouch ...` without the last newline."""
        return str(self.pouch(*words, **options).stdout).rstrip("\n")

    @property
    def host(self) -> str:
        """Its address, for `-H` and DOCKER_HOST."""
        return f"unix://{self.socket}"

    def box(self, *flags: str, command: tuple[str, ...] = ("sleep", "10000")) -> str:
        """`pouch run -d FLAGS busybox COMMAND`: the id."""
        return self.out("run", "-d", *flags, "busybox", *command)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """An API request by hand: status, and the answer (decoded where it is JSON). body: bytes, or what becomes JSON."""
        status, kind, text = self.answer(method, path, body, **headers)
        return status, json.loads(text) if kind.startswith("application/json") and text else text

    def answer(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, bytes]:
        """The same as it comes: status, Content-Type and the whole body. Raises what http.client does when the daemon dies meanwhile."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path, content, {"Content-Type": "application/json", **names})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        finally:
            connection.close()

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out("inspect", name))[0]
        return found

    def until(self, condition: Any, *, seconds: float = 30.0, what: str = "") -> Any:
        """What condition() answers, as soon as it is true. The deadline is for failing tests only."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what or condition}\n{self.log()[-4000:]}")
            time.sleep(0.02)
        return found


@contextlib.contextmanager
def running(*options: str) -> Iterator[Daemon]:
    """A started daemon, gone afterwards."""
    made = Daemon(*options)
    try:
        yield made.start()
    finally:
        made.close()
