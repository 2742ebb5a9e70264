"""A client for tests of the HTTP edge: sends bytes over a unix socket and reads answers, with a parser of its own.

Independent of the server's HTTP library on purpose: what it reads is what stands on the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from support import fake_engine

from pouch.edge.http import server


@dataclass
class Answer:
    """A whole answer; header names in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)

    def json(self) -> Any:
        """The body decoded."""
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        """The body as one JSON document a line."""
        return [json.loads(line) for line in self.body.splitlines()]


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> None:
        """Send a request; a body that is no bytes goes as JSON. Header names: `_` for `-`."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: pouch"]
        if content or method == "POST":
            lines.append(f"Content-Length: {len(content)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + content)

    async def head(self) -> Answer:
        """The next answer's head."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = text.rstrip("\r\n").split("\r\n")
        _, status, reason = (first + " ").split(" ", 2)
        headers = {}
        for line in rest:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Answer(int(status), reason.strip(), headers)

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty at its end."""
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer, whole."""
        found = await self.head()
        if head_only or found.status in (204, 304):
            return found
        if found.headers.get("transfer-encoding") == "chunked":
            while piece := await self.chunk():
                found.chunks.append(piece)
            found.body = b"".join(found.chunks)
        elif "content-length" in found.headers:
            found.body = await self.reader.readexactly(int(found.headers["content-length"]))
        else:
            found.body = await self.reader.read()
        return found

    async def frame(self) -> tuple[int, bytes]:
        """The next piece of a multiplexed stream."""
        stream, size = struct.unpack(">BxxxL", await self.reader.readexactly(8))
        return stream, await self.reader.readexactly(size)

    async def at_end(self) -> bool:
        """Whether the server has nothing more to say: waits for its end."""
        return await self.reader.read() == b""

    def end_input(self) -> None:
        """Close our direction only."""
        self.writer.write_eof()

    async def leave(self) -> None:
        """Close both directions."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Daemon:
    """A server over a fake engine, and clients to it."""

    def __init__(self, engine: fake_engine.FakeEngine, http: server.Server, path: str) -> None:
        self.engine = engine
        self.server = http
        self.path = path
        self._clients: list[Client] = []

    async def client(self) -> Client:
        """A new connection."""
        found = Client(*await asyncio.open_unix_connection(self.path))
        self._clients.append(found)
        return found

    async def request(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        await client.ask(method, target, body, **headers)
        answer = await client.answer(head_only=method == "HEAD")
        await client.leave()
        return answer

    async def forgotten(self) -> None:
        """Wait until the server has noticed that all clients left."""
        while self.server._connections:
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.leave()


@contextlib.asynccontextmanager
async def running(version: str = "0.1.0") -> AsyncIterator[Daemon]:
    """A server on a unix socket in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="pouch-edge-") as directory:
        path = os.path.join(directory, "api.sock")
        engine = fake_engine.FakeEngine()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(path)
            http = await server.serve(engine, sock, version=version)
            daemon = Daemon(engine, http, path)
            try:
                yield daemon
            finally:
                await daemon.leave()
                await http.close(1.0)
