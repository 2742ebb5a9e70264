"""A peer's daemon: started, waited for, ended."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from bench import api
from bench.failure import BenchError
from bench.place import Place

_SECONDS = 30.0


class Daemon:
    """One process with a log, on this machine or on a host of namespaces."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], log: str, *, host: Place | None = None
    ) -> None:
        self._log = log
        self._environment = dict(environment)
        spawn = host.spawn if host else subprocess.Popen
        with open(log, "ab") as file:
            self._process = spawn(
                argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self._environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def answers(self, argv: Sequence[str]) -> None:
        """Wait until this command succeeds; otherwise end it and raise BenchError with its log's last words."""

        def answered() -> bool:
            done = subprocess.run(argv, env=self._environment, capture_output=True, check=False)
            return done.returncode == 0

        self._until(answered)

    def serves(self, socket: str) -> None:
        """The same for Docker's API."""

        def answered() -> bool:
            with api.opened(socket) as client, contextlib.suppress(BenchError):
                client.call("GET", "/version")
                return True
            return False

        self._until(answered)

    def _until(self, answered: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if answered():
                return
            time.sleep(0.1)
        self.stop()
        raise BenchError(f"{self._process.args[0]}: no answer in {_SECONDS:.0f} s\n{self.words()}")

    def words(self) -> str:
        """The end of its log."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:].strip()

    def stop(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
