"""A daemon that answers what a test scripted: HTTP/1.1 on a unix socket, one thread per connection, requests noted."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib import parse

JSON = "application/json"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"
PATIENCE = 10.0
"""Seconds that anything may take before a test fails; nothing waits that long when all is well."""


@dataclass(frozen=True)
class Seen:
    """A request as it came. The path is without the version prefix; a repeated key of the query keeps its last value."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    version: str

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """A whole answer: `document` as JSON, or `body` as it is."""

    status: int = 200
    document: Any = None
    body: bytes | None = None
    content_type: str = JSON


@dataclass(frozen=True)
class Chunked:
    """An answer in pieces, each sent when the iterator gives it."""

    pieces: Iterable[bytes]
    content_type: str = JSON


@dataclass(frozen=True)
class Hijack:
    """The connection handed to a function after the head; it is closed when that returns."""

    carry: Callable[[Wire], None]
    content_type: str = MULTIPLEXED
    together: bytes = b""
    """Bytes sent in one write with the head."""


@dataclass
class Wire:
    """The server's end of a hijacked connection."""

    connection: socket.socket
    early: bytes = b""

    def send(self, stream: int, data: bytes) -> None:
        """One frame."""
        self.connection.sendall(frame(stream, data))

    def raw(self, data: bytes) -> None:
        """Bytes of a terminal."""
        self.connection.sendall(data)

    def read(self, size: int = 65536) -> bytes:
        """What the client sends; b"" at its end."""
        early, self.early = self.early, b""
        return early or self.connection.recv(size)

    def read_all(self) -> bytes:
        """All that the client sends until it half-closes."""
        return b"".join(iter(self.read, b""))

    def read_until(self, wanted: bytes) -> bytes:
        """What the client sends up to and with `wanted`."""
        found = b""
        while wanted not in found:
            piece = self.read()
            assert piece, f"the client ended before {wanted!r}, after {found!r}"
            found += piece
        return found


Answer = Reply | Chunked | Hijack
Answering = Answer | Callable[[Seen], Answer]


def frame(stream: int, data: bytes) -> bytes:
    """One piece of a multiplexed stream."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def refuse(status: int, message: str, **members: Any) -> Reply:
    """An error as the daemon words it."""
    return Reply(status, {"message": message, **members})


@dataclass
class FakeDaemon:
    """Listens on `path`. `on` scripts; `seen` holds the requests in the order of their arrival."""

    path: Path
    seen: list[Seen] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    """What went wrong in a connection's thread; `close` raises the first."""

    def __post_init__(self) -> None:
        self._script: list[tuple[str, re.Pattern[str], list[Answering]]] = []
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def host(self) -> str:
        """What -H takes."""
        return f"unix://{self.path}"

    def on(self, method: str, path: str, *answers: Answering) -> None:
        """Answer `method path` (a regular expression for the whole path); the last answer repeats. Later scripts win."""
        with self._lock:
            self._script.insert(0, (method, re.compile(path), list(answers)))

    def requests(self, method: str = "", path: str = "") -> list[Seen]:
        """The requests so far, of this method and a path that matches."""
        with self._lock:
            return [
                one
                for one in self.seen
                if (not method or one.method == method) and (not path or re.fullmatch(path, one.path))
            ]

    def only(self, method: str, path: str) -> Seen:
        """The one request of this kind."""
        found = self.requests(method, path)
        assert len(found) == 1, (
            f"{len(found)} requests {method} {path}; seen: {[(s.method, s.path) for s in self.seen]}"
        )
        return found[0]

    def wait_for(self, method: str, path: str, count: int = 1) -> list[Seen]:
        """Wait until so many requests of this kind have come."""

        def there() -> bool:
            return sum(s.method == method and bool(re.fullmatch(path, s.path)) for s in self.seen) >= count

        with self._arrived:
            assert self._arrived.wait_for(there, PATIENCE), f"no {method} {path}; seen {self.seen}"
        return self.requests(method, path)

    def close(self) -> None:
        """End every connection and thread. Raises what failed in them."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._accepting.join(PATIENCE)
        with self._lock:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a scripted answer did not end"
        if self.failures:
            raise self.failures[0]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections.append(connection)
                self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve_all(connection)
            except (ConnectionError, EOFError):
                return  # the client went away, as clients may
            except BaseException as error:
                self.failures.append(error)

    def _serve_all(self, connection: socket.socket) -> None:
        stream = _Reader(connection)
        while (request := stream.request()) is not None:
            with self._arrived:
                self.seen.append(request)
                answering = self._next(request)
                self._arrived.notify_all()
            answer = answering(request) if callable(answering) else answering
            if isinstance(answer, Hijack):
                head = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {answer.content_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                connection.sendall(head.encode() + answer.together)
                answer.carry(Wire(connection, stream.buffer))
                return
            _send(connection, answer, head_only=request.method == "HEAD")
            if request.headers.get("connection", "").lower() == "close":
                return

    def _next(self, request: Seen) -> Answering:
        for method, path, answers in self._script:
            if method == request.method and path.fullmatch(request.path):
                return answers.pop(0) if len(answers) > 1 else answers[0]
        if request.path == "/_ping":
            return Reply(200, body=b"OK", content_type="text/plain")
        return refuse(404, f"page not found: {request.method} {request.path}")


def _send(connection: socket.socket, answer: Reply | Chunked, *, head_only: bool) -> None:
    common = "Api-Version: 1.43\r\nOstype: linux\r\n"
    if isinstance(answer, Chunked):
        head = f"HTTP/1.1 200 OK\r\n{common}Content-Type: {answer.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for piece in filter(None, answer.pieces):  # an empty chunk would end it
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        return
    body = answer.body
    if body is None:
        body = b"" if answer.document is None else json.dumps(answer.document).encode() + b"\n"
    head = f"HTTP/1.1 {answer.status} -\r\n{common}Content-Type: {answer.content_type}\r\n"
    if answer.status not in {204, 304}:
        head += f"Content-Length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"\r\n" + (b"" if head_only else body))


class _Reader:
    """Reads requests off a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.buffer = b""

    def request(self) -> Seen | None:
        """The next request, None where the client has ended."""
        while b"\r\n\r\n" not in self.buffer:
            piece = self._connection.recv(65536)
            if not piece:
                return None
            self.buffer += piece
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path, _, query = target.partition("?")
        version = ""
        if found := re.match(r"/v(\d+\.\d+)(/.*)", path):
            version, path = found.groups()
        body = self._body(headers)
        return Seen(method, parse.unquote(path), dict(parse.parse_qsl(query, True)), headers, body, version)

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._line(), 16):
                body += self._exactly(size)
                self._line()
            self._line()
            return body
        return self._exactly(int(headers.get("content-length", "0")))

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _more(self) -> None:
        piece = self._connection.recv(65536)
        if not piece:
            raise EOFError
        self.buffer += piece
