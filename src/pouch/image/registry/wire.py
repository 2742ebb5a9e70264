"""What one HTTP request is and what may become of it, free of the library that sends it (which is `pools`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pouch import image


class Broken(Exception):
    """No answer, or only a part of one: may be tried again. The text says what happened, and is meant for people."""


class Stale(Broken):
    """A connection that was kept from an earlier request is closed by now. The same request on a new one is no second attempt."""


class Late(Broken):
    """Nothing came for too long, or not the whole in time."""


class Unreachable(Broken):
    """Nothing listens there, or the name is unknown."""


class NotTls(Broken):
    """Who listens there does not speak TLS as we do."""


class Distrusted(NotTls):
    """The certificate does not prove the host's name, or is signed by nobody we know."""


class Cancelled(Exception):
    """The caller does not want it any more."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. body: bytes, or a stream of `length` bytes; patience: seconds for the connection, 0 for the usual.

    blob: its answer's body may be long, and take its time; named_by: the host that named this URL, where it is another's. Such a URL does
    not lead to addresses that only this machine reaches, unless who named it is there too.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | image.Readable | None = None
    length: int = 0
    patience: float = 0.0
    blob: bool = False
    named_by: str = ""


class Answer(Protocol):
    """Status and headers of an answer, and its body as it comes. Close it."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def url(self) -> str:
        """Where it comes from."""

    def header(self, name: str) -> str:
        """A header, several of one name joined by commas; "" without it."""

    def headers(self, name: str) -> list[str]:
        """All headers of a name."""

    def read(self, size: int, /) -> bytes:
        """What is there of the body, at most this many bytes; b"" at its end. Raises Broken where it ends before its Content-Length."""

    def close(self) -> None:
        """Give the connection back where the body was read, else close it."""


class Wire(Protocol):
    """What sends requests."""

    def send(self, request: Request) -> Answer:
        """The answer's head; redirects are the caller's. Raises Broken, Cancelled."""

    def close(self) -> None:
        """Close all connections."""


def body_of(answer: Answer, limit: int) -> bytes | None:
    """All of the body, and the answer closed; None where it is longer than `limit` bytes. Raises Broken, Cancelled."""
    pieces: list[bytes] = []
    left = limit + 1
    try:
        while left > 0 and (piece := answer.read(left)):
            pieces.append(piece)
            left -= len(piece)
    finally:
        answer.close()
    return b"".join(pieces) if left > 0 else None
