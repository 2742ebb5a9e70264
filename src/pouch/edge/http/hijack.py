"""A connection that became a raw stream: attach and exec.

Without a terminal each piece has an 8-byte head (stream number, three zeros, length, big-endian); with one, bytes are bare.
The client may end its direction (stdin) long before the output ends; with a terminal the detach keys end the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Protocol

from pouch.edge.http import message, peer, websocket
from pouch.engine import views
from pouch.spec import errors

DETACH_KEYS = b"\x10\x11"
"""ctrl-p, ctrl-q."""

_frame_head = struct.Struct(">BxxxL").pack
_CONTROL = {f"ctrl-{chr(code + 0x60)}": code for code in range(1, 27)} | {
    "ctrl-@": 0,
    "ctrl-[": 27,
    "ctrl-\\": 28,
    "ctrl-]": 29,
    "ctrl-^": 30,
    "ctrl-_": 31,
    "DEL": 127,
}


def frame(stream: int, data: bytes) -> bytes:
    """One piece of a multiplexed stream."""
    return _frame_head(stream, len(data)) + data


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` to the bytes a terminal sends; the default when empty. Raises InvalidInput."""
    if not text:
        return DETACH_KEYS
    keys = bytearray()
    for key in text.split(","):
        if key in _CONTROL:
            keys.append(_CONTROL[key])
        elif len(key) == 1 and key.isascii():
            keys.append(ord(key))
        else:
            raise errors.InvalidInput(
                f"Invalid detach keys ({text}) provided: unknown key {key!r}",
                hint="a comma-separated list of single characters, ctrl-<letter>, ctrl-@ ctrl-[ ctrl-\\ ctrl-] ctrl-^ ctrl-_",
            )
    return bytes(keys)


class DetachKeys:
    """Looks for the detach keys in what is typed; holds back a beginning of them until it is decided."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What may go on to the process, and whether the client wants to leave."""
        keys = self._keys
        if not keys or (not self._held and keys[0] not in data):
            return data, False
        passed = bytearray()
        for byte in data:
            if byte != keys[self._held]:
                passed += keys[: self._held]
                self._held = 0
            if byte != keys[self._held]:
                passed.append(byte)
                continue
            self._held += 1
            if self._held == len(keys):
                return bytes(passed), True
        return bytes(passed), False

    def rest(self) -> bytes:
        """What was held back, when the input has ended."""
        return self._keys[: self._held]


def head(request: message.Request, answer: message.Hijack) -> bytes:
    """The response's head: 101 for a client that asked to upgrade, else 200; both followed by the raw stream."""
    if answer.frames is not message.Frames.DOCKER:
        return websocket.head(request)
    multiplexed = request.version >= (1, 42) and not _bare(answer)
    content_type = message.MULTIPLEXED_STREAM if multiplexed else message.RAW_STREAM
    if request.headers.get("upgrade"):
        lines = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {content_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    else:
        lines = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n"
    return lines.encode()


class Lane(Protocol):
    """A client's connection that carries streams, whatever they are wrapped in."""

    @property
    def closed(self) -> bool:
        """Whether nothing may be sent any more, though the client is there."""

    async def receive(self) -> bytes:
        """What the client sent; empty at the end of its input."""

    def send(self, stream: int, data: bytes) -> None:
        """Send a piece of the process's output; the caller drains."""

    def send_prelude(self, data: bytes) -> None:
        """Send what was said before, framed already where this lane has frames of Docker's."""

    async def end(self) -> None:
        """The output has ended: part from the client."""


class RawLane:
    """Docker's own: bytes with a terminal, else pieces with a head."""

    closed = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes, *, bare: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._early = early
        self._bare = bare

    async def receive(self) -> bytes:
        """See `Lane`."""
        early, self._early = self._early, b""
        return early or await self._reader.read(65536)

    def send(self, stream: int, data: bytes) -> None:
        """See `Lane`."""
        self._writer.write(data if self._bare else frame(stream, data))

    def send_prelude(self, data: bytes) -> None:
        """See `Lane`."""
        self._writer.write(data)

    async def end(self) -> None:
        """See `Lane`."""
        await peer.part(self._reader, self._writer)


def lane(answer: message.Hijack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes) -> Lane:
    """What an answer is carried by. early: bytes read with the request."""
    if answer.frames is message.Frames.DOCKER:
        return RawLane(reader, writer, early, bare=_bare(answer))
    return websocket.Lane(reader, writer, early, binary=answer.frames is message.Frames.WEB_BINARY)


def _bare(answer: message.Hijack) -> bool:
    return answer.tty if answer.bare is None else answer.bare


async def carry(
    answer: message.Hijack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes
) -> None:
    """Carry both directions until the output ends, the client leaves or detaches. `early`: bytes read with the request."""
    way = lane(answer, reader, writer, early)
    try:
        await peer.taken(writer)  # the head, before any of our bytes
        if answer.prelude is not None:
            async for piece in answer.prelude:
                way.send_prelude(piece)
                await writer.drain()
        if answer.stdio is not None:
            await _carry_stdio(answer, answer.stdio, way, writer)
        await writer.drain()
    except ConnectionError:
        return
    finally:
        if answer.stdio is not None:
            await answer.stdio.close()
    await way.end()


async def _carry_stdio(answer: message.Hijack, stdio: views.Stdio, way: Lane, writer: asyncio.StreamWriter) -> None:
    output = asyncio.create_task(_output(answer, stdio, way, writer), name="hijack output")
    leaving = asyncio.create_task(peer.gone(writer), name="hijack hang-up")
    decisive: set[asyncio.Task[None] | asyncio.Task[bool]] = {output, leaving}
    tasks = set(decisive)
    if answer.stdin or answer.frames is not message.Frames.DOCKER:
        typed = asyncio.create_task(_input(answer, stdio, way), name="hijack input")
        tasks.add(typed)
        decisive.add(typed)
    try:
        while True:
            done, _ = await asyncio.wait(decisive, return_when=asyncio.FIRST_COMPLETED)
            ended = [task.result() for task in done]
            if output in done or leaving in done or True in ended:
                return
            decisive -= done  # the client's input has ended, or the process takes none; its output goes on
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _output(answer: message.Hijack, stdio: views.Stdio, way: Lane, writer: asyncio.StreamWriter) -> None:
    while (piece := await stdio.read()) is not None:
        stream, data = piece
        if answer.tty or (stream == 1 and answer.stdout) or (stream == 2 and answer.stderr):
            way.send(stream, data)
        await writer.drain()


async def _input(answer: message.Hijack, stdio: views.Stdio, way: Lane) -> bool:
    """Carry what the client sends; whether it detached."""
    keys = DetachKeys(answer.detach_keys if answer.tty else b"")
    with contextlib.suppress(ConnectionError):
        while data := await way.receive():
            passed, detached = keys.feed(data)
            if passed and answer.stdin:
                await stdio.write(passed)
            if detached:
                if answer.detached is not None:
                    answer.detached()
                return True
    if keys.rest() and answer.stdin:
        await stdio.write(keys.rest())
    if answer.stdin and answer.eof_closes_stdin and not answer.tty:
        await stdio.write_eof()
    return way.closed
