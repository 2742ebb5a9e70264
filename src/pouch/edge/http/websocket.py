"""Attaching by a WebSocket (RFC 6455): the handshake, and a lane of frames (`hijack.Lane`).

Both streams of a process come as they are, one after the other, in binary messages; before API 1.28 in text ones. wsproto, which knows the
frames, is imported when the first client comes (16 ms), so that a daemon without any starts without it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
import contextlib
from typing import Any
from urllib import parse

from pouch.edge.http import message, peer
from pouch.spec import errors

BINARY_SINCE = (1, 28)
_PIECE = 64 << 10
_KEY_BYTES = 16
_CLOSE_SECONDS = 2.0
_NORMAL, _GOING_AWAY, _WRONG = 1000, 1001, 1002


def check(request: message.Request) -> None:
    """Raises HttpError for a request that opens no WebSocket, Forbidden for one that a page of another site sent."""
    headers = request.headers
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
        raise errors.InvalidInput("bad handshake: expected Upgrade: websocket and Connection: Upgrade")
    if headers.get("sec-websocket-version") != "13":
        raise message.HttpError(426, "websocket version not supported, only 13", (("Sec-WebSocket-Version", "13"),))
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise errors.InvalidInput("bad handshake: expected 16 bytes in base64 as Sec-WebSocket-Key")
    origin = headers.get("origin")
    # A browser lets any page open a WebSocket anywhere, with whatever proves who its user is.
    if origin is not None and _place(origin) != headers.get("host", "").lower():
        raise errors.Forbidden(f"a page of {origin[:100]!r} may not attach to containers of this daemon")


def _place(origin: str) -> str | None:
    """Host and port of a page; None where there is none: `null`, or what no browser sends."""
    try:
        return parse.urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def head(request: message.Request) -> bytes:
    """The answer to a request that was checked."""
    from wsproto import utilities  # noqa: PLC0415 - see above

    accept = utilities.generate_accept_token(request.headers["sec-websocket-key"].encode("latin-1")).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept}")
    offered = request.headers.get("sec-websocket-protocol", "")
    if offered and "," not in offered:
        lines.append(f"Sec-WebSocket-Protocol: {offered}")  # the one that was asked for, as dockerd answers
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Lane:
    """A connection of frames; see `hijack.Lane`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes, *, binary: bool
    ) -> None:
        from wsproto import connection, events, utilities  # noqa: PLC0415 - see above

        self._events = events
        self._mistakes = (utilities.RemoteProtocolError, utilities.LocalProtocolError)
        self._reader = reader
        self._writer = writer
        self._frames = connection.Connection(connection.ConnectionType.SERVER, trailing_data=early)
        self._over = False
        self._binary = binary
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (1, 2)}
        self._fresh = True

    @property
    def closed(self) -> bool:
        """Whether the client has said goodbye, or broken the protocol: nothing may be sent any more."""
        return self._over

    async def receive(self) -> bytes:
        """What the client sent; empty at its end."""
        while not self._over:
            if not self._fresh:
                data = await self._reader.read(_PIECE)
                self._frames.receive_data(data or None)
            self._fresh = False
            if typed := self._typed():
                return typed
            await self._writer.drain()
        return b""

    def _typed(self) -> bytes:
        """The bytes in what has come, and answers to what wants one."""
        typed = bytearray()
        try:
            for event in self._frames.events():
                if isinstance(event, self._events.BytesMessage):
                    typed += event.data
                elif isinstance(event, self._events.TextMessage):
                    typed += event.data.encode()
                elif isinstance(event, self._events.Ping):
                    self._writer.write(self._frames.send(event.response()))
                elif isinstance(event, self._events.CloseConnection):
                    self._over = True
                    with contextlib.suppress(*self._mistakes):  # the connection broke: nobody to say it to
                        self._writer.write(self._frames.send(event.response()))
        except self._mistakes as error:
            self._close(getattr(getattr(error, "event_hint", None), "code", _WRONG))
        return bytes(typed)

    def send(self, stream: int, data: bytes) -> None:
        """One piece of output."""
        if self._over:
            return
        if self._binary:
            event: Any = self._events.BytesMessage(data)
        else:
            event = self._events.TextMessage(self._decoders[stream].decode(data))
        with contextlib.suppress(*self._mistakes):
            self._writer.write(self._frames.send(event))

    def send_prelude(self, data: bytes) -> None:
        """What was said before."""
        self.send(1, data)

    def _close(self, code: int) -> None:
        self._over = True
        with contextlib.suppress(*self._mistakes):
            self._writer.write(self._frames.send(self._events.CloseConnection(code)))

    async def end(self) -> None:
        """The output has ended: say goodbye, and wait a moment for the client to say it, too."""
        if not self._over:
            self._close(_NORMAL)
            with contextlib.suppress(OSError, asyncio.TimeoutError, *self._mistakes):
                await self._writer.drain()
                async with asyncio.timeout(_CLOSE_SECONDS):
                    while data := await self._reader.read(_PIECE):
                        self._frames.receive_data(data)
                        if any(isinstance(one, self._events.CloseConnection) for one in self._frames.events()):
                            break
        await peer.part(self._reader, self._writer)
