"""Docker's API on a unix socket, which pouch, docker and podman speak: one connection that is kept, no program is started for a call."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

from bench.failure import BenchError

_TIMEOUT = 120.0


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("bench", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """A client."""

    def __init__(self, path: str) -> None:
        self._connection = _Connection(path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, decoded. Raises BenchError when the engine refuses."""
        content = json.dumps(body).encode() if body is not None else None
        text = self._answered(method, path, content, "application/json")
        with contextlib.suppress(ValueError):  # podman says OK and calls it JSON
            return json.loads(text)
        return text

    def seconds(self, method: str, path: str, body: Any = None) -> float:
        """How long it takes until it is answered."""
        before = time.perf_counter()
        self.call(method, path, body)
        return time.perf_counter() - before

    def archive(self, method: str, name: str, path: str, content: bytes | None = None) -> float:
        """HEAD, GET or PUT of a container's files: how long until all of it is answered."""
        before = time.perf_counter()
        self._answered(method, f"/containers/{name}/archive?path={path}", content, "application/x-tar")
        return time.perf_counter() - before

    def _answered(self, method: str, path: str, content: bytes | None, kind: str) -> bytes:
        """The body of an answer. Raises BenchError as `call`."""
        try:
            self._connection.request(method, path, content, {"Content-Type": kind})
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise BenchError(f"{method} {path}: {error!r}") from error
        if answer.status >= 400:
            raise BenchError(f"{method} {path}: {answer.status} {text.decode(errors='replace').strip()}")
        return text

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # -- containers

    def create(self, name: str, image: str, **host_config: Any) -> str:
        """A container that sleeps; its name."""
        ports = {port: {} for port in host_config.get("PortBindings", {})}
        body = {"Image": image, "Cmd": ["sleep", "1000000"], "ExposedPorts": ports, "HostConfig": host_config}
        self.call("POST", f"/containers/create?name={name}", body)
        return name

    def pid(self, name: str) -> int:
        """The process id of a running container's first process."""
        return int(self.call("GET", f"/containers/{name}/json")["State"]["Pid"])

    def remove(self, name: str) -> float:
        """End and remove a container at once: how long it takes."""
        return self.seconds("DELETE", f"/containers/{name}?force=true")

    @contextlib.contextmanager
    def running(self, name: str, image: str, **host_config: Any) -> Iterator[str]:
        """A running container for the length of the block."""
        self.create(name, image, **host_config)
        try:
            self.call("POST", f"/containers/{name}/start")
            yield name
        finally:
            self.remove(name)


@contextlib.contextmanager
def opened(path: str) -> Iterator[Api]:
    """A client for the length of the block."""
    client = Api(path)
    try:
        yield client
    finally:
        client.close()
