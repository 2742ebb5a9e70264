"""What a bad registry answers instead of the truth; see fake_registry. Each fault is called with the handler of one request."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

STALL_SECONDS = 120.0
"""A stall ends at the latest then, so that a wrong test cannot hang for ever."""


@dataclass
class Status:
    """A plain status with headers and a body."""

    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""

    def __call__(self, handler):
        handler.reply(self.status, self.body, **self.headers)


@dataclass
class Redirect:
    """To another URL; {path} in it is the request's path."""

    url: str
    status: int = 307

    def __call__(self, handler):
        handler.reply(self.status, b"", Location=self.url.replace("{path}", handler.path))


@dataclass
class Stall:
    """Nothing more comes after this many bytes of the true answer's body; with after < 0 not even the head."""

    after: int = -1

    def __call__(self, handler):
        if self.after >= 0:
            handler.answer_truly(limit=self.after)
        handler.registry.stalled.set()
        handler.registry.ended.wait(STALL_SECONDS)
        handler.close_connection = True


@dataclass
class Cut:
    """The true answer with its whole Content-Length, and the connection closed after this many bytes of its body; < 0: no answer."""

    after: int = -1

    def __call__(self, handler):
        if self.after >= 0:
            handler.answer_truly(limit=self.after)
        handler.close_connection = True


@dataclass
class Wrong:
    """200 with other bytes than asked for; None: the true ones with one bit turned over in the middle. Their length is told."""

    data: bytes | None = None

    def __call__(self, handler):
        handler.answer_truly(change=lambda body: _flipped(body) if self.data is None else self.data)


@dataclass
class Length:
    """The true body under a wrong Content-Length: that of the truth plus `more`."""

    more: int

    def __call__(self, handler):
        handler.answer_truly(more=self.more)
        handler.close_connection = True


@dataclass
class Endless:
    """200 and a body that never ends, in chunks, for as long as the client reads."""

    piece: bytes = bytes(65536)

    def __call__(self, handler):
        handler.head(200, {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"})
        with contextlib.suppress(OSError):
            while not handler.registry.ended.is_set():
                handler.wfile.write(b"%x\r\n" % len(self.piece) + self.piece + b"\r\n")
        handler.close_connection = True


@dataclass
class Drip:
    """The true answer, a byte at a time."""

    pause: float = 0.01

    def __call__(self, handler):
        handler.answer_truly(drip=self.pause)


@dataclass
class CutUpload:
    """The first `after` bytes of the request's body are kept in the upload, and the connection is closed without an answer."""

    after: int

    def __call__(self, handler):
        handler.registry.uploads[handler.where.rpartition("/")[2]] += handler.rfile.read(self.after)
        handler.close_connection = True


@dataclass
class Garbage:
    """Bytes that are no HTTP."""

    data: bytes = b"SSH-2.0-hello\r\n"

    def __call__(self, handler):
        handler.wfile.write(self.data)
        handler.close_connection = True


def _flipped(body):
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
