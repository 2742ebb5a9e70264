"""What a handler takes (Request) and gives (Reply, Stream, Hijack): values, no sockets in them."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib import parse

import msgspec

from pouch.edge.http import versions
from pouch.engine import views
from pouch.spec import errors

JSON = "application/json"
RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
BODY_LIMIT = 4 << 20
"""Bytes of a request body that is read whole; archives are read in pieces."""
READ_SECONDS = 60.0
"""For such a body to come."""

_encoder = msgspec.json.Encoder()
_FALSE = frozenset(("", "0", "no", "false", "none"))


class HttpError(Exception):
    """A failure of the protocol itself, which no class of spec.errors means (404 of a path, 405, 413)."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class Body(Protocol):
    """The request's body, as the connection brings it."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Piece by piece; raises Unavailable if the client goes away before its end."""


class NoBody:
    """A body without anything in it."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Nothing."""
        nothing: tuple[bytes, ...] = ()
        for piece in nothing:
            yield piece


@dataclass(slots=True)
class Request:
    """One request, its path already without the version prefix. headers: lower-case names."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    version: versions.Version = versions.MAXIMUM
    name: str = ""
    """What stands in the path for the template's parameter, decoded."""
    body: Body = field(default_factory=NoBody)
    query_text: str = ""
    """The query as it came, for keys that are given several times."""

    async def read(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body. HttpError 413 when it is longer than `limit` bytes, 408 when it takes longer than READ_SECONDS."""
        whole = bytearray()
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for piece in self.body.chunks():
                    whole += piece
                    if len(whole) > limit:
                        raise HttpError(413, f"request body too large: more than {limit} bytes")
        except TimeoutError:
            raise HttpError(408, f"the body of the request did not come within {READ_SECONDS:g} seconds") from None
        return bytes(whole)

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean of the query, by Docker's rule: everything but empty, 0, no, false and none is true."""
        value = self.query.get(key)
        return default if value is None else value.strip().lower() not in _FALSE

    def number(self, key: str, default: int) -> int:
        """An integer of the query. Raises InvalidInput."""
        value = self.query.get(key, "")
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise errors.InvalidInput(f"invalid value for {key}: {value!r} is not a number") from None

    def text(self, key: str, default: str = "") -> str:
        """A text of the query; an empty one counts as missing."""
        return self.query.get(key) or default

    def texts(self, key: str) -> tuple[str, ...]:
        """All texts of a key of the query, in their order; empty ones are left out."""
        return tuple(value for name, value in parse.parse_qsl(self.query_text) if name == key)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer piece by piece; the head goes out at once. must_finish: goes on, unseen, when the client goes away.

    checked: the head goes out with the first piece, so that a failure before has its status.
    """

    content_type: str
    pieces: AsyncIterator[bytes]
    must_finish: bool = False
    checked: bool = False
    headers: tuple[tuple[str, str], ...] = ()


class Frames(enum.Enum):
    """What a stream that took a connection over is wrapped in: Docker's heads (none with a terminal), or messages of a WebSocket."""

    DOCKER = enum.auto()
    WEB_BINARY = enum.auto()
    WEB_TEXT = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hijack:
    """The connection becomes a raw stream to a process. Without stdio only the prelude is sent."""

    stdio: views.Stdio | None
    tty: bool
    stdin: bool = True
    stdout: bool = True
    stderr: bool = True
    eof_closes_stdin: bool = True
    detach_keys: bytes = b"\x10\x11"
    prelude: AsyncIterator[bytes] | None = None
    """What is sent before, framed already (the log, for attach with `logs=1`)."""
    frames: Frames = Frames.DOCKER
    bare: bool | None = None
    """Whether output comes without heads; None: with a terminal it does. The start of an exec says it once more, and may differ."""
    detached: Callable[[], None] | None = None
    """Called when the client types the detach keys."""


Answer = Reply | Stream | Hijack
Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """`/first/{name}/last`, `/first/{name}` or a fixed path.

    changes: run to its end whatever the client does. waits: asks others, which may take long, and is given up when the client leaves.
    """

    method: str
    template: str
    handler: Handler
    changes: bool = False
    waits: bool = False


def encode(value: object) -> bytes:
    """JSON with a newline, as Docker ends each document.

    A text may hold bytes that are no UTF-8 (`surrogateescape`: a process's command line is whatever it set it to); they
    become U+FFFD, as with Docker.
    """
    try:
        return _encoder.encode(value) + b"\n"
    except UnicodeEncodeError:
        return _encoder.encode(_printable(value)) + b"\n"


def _printable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(item) for item in value]
    return value


def reply(value: object, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(status, encode(value))


NO_CONTENT = Reply(204)


def parse_query(query: str) -> dict[str, str]:
    """The first value of each key, as Docker takes it."""
    found: dict[str, str] = {}
    if query:
        for key, value in parse.parse_qsl(query, keep_blank_values=True):
            found.setdefault(key, value)
    return found
