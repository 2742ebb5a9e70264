"""The listener, and the end of everything when the daemon stops."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Coroutine
from typing import Any

from pouch.edge.http import (
    absent,
    archives,
    attach,
    commits,
    connection,
    containers,
    events,
    execs,
    files,
    images,
    listing,
    message,
    networks,
    openapi,
    router,
    statistics,
    system,
    tls,
    transfers,
    updates,
    upgrades,
    volumes,
)
from pouch.engine import facade as engine

log = logging.getLogger(__name__)
_BACKLOG = 1024
_CUT_SECONDS = 1.0


def routes(facade: engine.Facade) -> list[message.Route]:
    """All routes, noun by noun."""
    return [
        *listing.routes(facade),
        *containers.routes(facade),
        *attach.routes(facade),
        *execs.routes(facade),
        *images.routes(facade),
        *transfers.routes(facade),
        *archives.routes(facade),
        *commits.routes(facade),
        *system.routes(facade),
        *events.routes(facade),
        *networks.routes(facade),
        *updates.routes(facade),
        *volumes.routes(facade),
        *openapi.routes(),
        *files.routes(facade),
        *statistics.routes(facade),
        *upgrades.routes(facade),
        *absent.routes(facade),
    ]


class Server:
    """Serves one listening socket."""

    def __init__(self, facade: engine.Facade, version: str, terms: tls.Terms | None = None) -> None:
        """terms: to serve with TLS. Raises InvalidInput where its files are wrong."""
        self._routes = router.Router(routes(facade))
        self._common = connection.common_headers(f"Pouch/{version} (linux)")
        self._connections: dict[asyncio.Task[None], connection.Connection] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._listener: asyncio.Server | None = None
        self._gate = tls.Gate(terms, self._serve) if terms is not None else None
        self._accepting: asyncio.Task[None] | None = None

    def reload(self) -> None:
        """Read certificates anew. Raises InvalidInput where they are wrong; then the old ones stay in use."""
        if self._gate is not None:
            self._gate.reload()

    async def listen(self, sock: socket.socket) -> None:
        """Begin to accept. The socket is bound already, and its file is the caller's."""
        if self._gate is not None:
            sock.setblocking(False)
            sock.listen(_BACKLOG)
            self._accepting = asyncio.create_task(self._gate.run(sock), name="TLS listener")
            return
        if sock.family != socket.AF_UNIX:
            self._listener = await asyncio.start_server(self._accept_tcp, sock=sock, backlog=_BACKLOG)
            return
        # From 3.13 on the loop would remove the socket's file, also one that systemd listens on.
        options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._listener = await asyncio.start_unix_server(self._accept, sock=sock, backlog=_BACKLOG, **options)

    async def _accept_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls.keep_alive(writer.get_extra_info("socket"))
        await self._accept(reader, writer, remote=True)

    async def _serve(self, decrypted: socket.socket, refusal: str) -> None:
        """A client that came by TLS (`tls.Serve`)."""
        reader, writer = await asyncio.open_connection(sock=decrypted)
        await self._accept(reader, writer, remote=True, refusal=refusal)

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, remote: bool = False, refusal: str = ""
    ) -> None:
        task = asyncio.current_task()
        if task is None or self._closing:
            writer.close()
            return
        client = connection.Connection(
            self._routes, self._common, reader, writer, self._spawn, remote=remote, refusal=refusal
        )
        self._connections[task] = client
        try:
            await client.run()
        except asyncio.CancelledError:
            if not self._closing:
                raise
        except Exception:
            log.exception("a connection failed")
        finally:
            self._connections.pop(task, None)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def close(self, grace_seconds: float) -> None:
        """Stop accepting, end idle connections and streams at once, give changes under way `grace_seconds`."""
        self._closing = True
        if self._listener is not None:
            self._listener.close()
        if self._accepting is not None:
            self._accepting.cancel()
        for task, client in tuple(self._connections.items()):
            client.last = True
            if client.idle or client.streaming:
                task.cancel()
        busy = {*self._connections, *self._background}
        if busy:
            await asyncio.wait(busy, timeout=grace_seconds)
        for task in tuple(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(tuple(self._connections), timeout=_CUT_SECONDS)
        if self._gate is not None:
            await self._gate.close()
        if self._background:
            log.warning("%d changes were still under way after %s s", len(self._background), grace_seconds)


async def serve(facade: engine.Facade, sock: socket.socket, *, version: str, terms: tls.Terms | None = None) -> Server:
    """Serve the API on a bound stream socket until `close`. `version` is the product's. terms: with TLS, by these."""
    server = Server(facade, version, terms)
    await server.listen(sock)
    return server
