"""TLS in front of the API: each client's connection is decrypted into a socket pair, of which the rest of the edge sees the other end.

So HTTP, raw streams and their half-closed states are the same with and without TLS. asyncio's own TLS cannot be half-closed in
either direction, and `docker run -i` is: the client's close_notify (RFC 8446, 6.1) ends its input, and the output goes on. The end of
the TCP stream without one ends the input, too (older clients did so); after one it is a client that left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import string
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pouch.spec import errors

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
HANDSHAKES = 128
"""At a time. One more, and the one that has taken longest is dropped: strangers cannot keep clients out by being slow."""
_PIECE = 64 << 10
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_LINGER_SECONDS = 3.0
_RETRY_SECONDS = 0.5
_QUIET_SECONDS = 1.0
_CUT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a server shows and asks for. authority: of the clients' certificates, "" to ask for none. names: see `Client.allowed`."""

    certificate: str
    key: str
    authority: str = ""
    names: tuple[str, ...] = ()


def context(terms: Terms) -> ssl.SSLContext:
    """A server's context, from files. Raises InvalidInput that names the file which is wrong."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # No session goes on on another connection: certificates are looked at each time, also after a reload.
    made.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    made.num_tickets = 0
    made.set_alpn_protocols(["http/1.1"])
    with _naming("tlscert, tlskey", f"{terms.certificate}, {terms.key}"):
        made.load_cert_chain(terms.certificate, terms.key, password=_no_password)
    if terms.authority:
        made.verify_mode = ssl.CERT_REQUIRED
        with _naming("tlscacert", terms.authority):
            made.load_verify_locations(terms.authority)
    return made


def _no_password() -> str:
    raise errors.InvalidInput("tlskey: the key is encrypted: expected one without a password, readable by root only")


@contextlib.contextmanager
def _naming(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise errors.InvalidInput(f"{what}: {path}: {reason}: expected PEM files that belong together") from None
    except OSError as error:
        raise errors.InvalidInput(f"{what}: {path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Client:
    """Who came in: the names in its certificate (the subject's common name, then the alternative ones)."""

    names: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """For logs and messages."""
        return ", ".join(self.names) or "without a name"

    def allowed(self, names: tuple[str, ...]) -> bool:
        """Whether one of its names is among these (whatever the case of a to z); with none named everybody is.

        No other letters are taken for the same: the Kelvin sign would pass for a "k".
        """
        wanted = {_lower(name) for name in names}
        return not wanted or any(_lower(name) in wanted for name in self.names)


def _lower(name: str) -> str:
    return name.translate(_LOWER)


def _client(tls: ssl.SSLObject) -> Client:
    """The names in a certificate that was verified."""
    found: Any = tls.getpeercert() or {}
    common = [value for part in found.get("subject", ()) for key, value in part if key == "commonName"]
    others = [value for _, value in found.get("subjectAltName", ())]
    return Client(tuple(dict.fromkeys(map(str, (*common, *others)))))


Serve = Callable[[socket.socket, str], Awaitable[None]]
"""Serves a decrypted connection to its end. The text says why this client is refused, "" where it is not."""


class Gate:
    """Takes connections of one listening socket, and hands those on that have shaken hands."""

    def __init__(self, terms: Terms, serve: Serve) -> None:
        """Raises InvalidInput for files that are wrong."""
        self._terms = terms
        self._context = context(terms)
        self._serve = serve
        self._shaking: dict[asyncio.Task[None], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet_until = 0.0

    def reload(self) -> None:
        """Read the certificates anew, for the connections to come. Raises InvalidInput; then the old ones stay."""
        self._context = context(self._terms)

    async def run(self, listener: socket.socket) -> None:
        """Accept until cancelled. The socket does not block."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                remote, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptors left, or a client that left at once
                log.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            task = asyncio.create_task(self._admit(remote), name="TLS connection")
            self._tasks.add(task)
            self._shaking[task] = None
            task.add_done_callback(self._over)
            if len(self._shaking) > HANDSHAKES:
                next(iter(self._shaking)).cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._shaking.pop(task, None)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a TLS connection failed", exc_info=failure)

    async def close(self) -> None:
        """End what is left; what was answered last has a moment to go out."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=_CUT_SECONDS)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _admit(self, remote: socket.socket) -> None:
        with contextlib.closing(remote):
            remote.setblocking(False)
            keep_alive(remote)
            relay = _Relay(self._context, remote)
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    await relay.shake_hands()
            except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
                self._refused(remote, error)
                return
            finally:
                task = asyncio.current_task()
                assert task is not None
                self._shaking.pop(task, None)
            client = _client(relay.tls)
            refusal = ""
            if not client.allowed(self._terms.names):
                refusal = f"client certificate ({client.shown}) is valid, but not allowed here (tls-allow-name)"
                log.warning("%s: %s", _peer(remote), refusal)
            outer, inner = socket.socketpair()
            with outer:
                outer.setblocking(False)
                inner.setblocking(False)
                serving = asyncio.ensure_future(self._serve(inner, refusal))
                try:
                    await relay.carry(outer)
                finally:
                    outer.close()
                    if not serving.done():
                        await asyncio.wait((serving,))

    def _refused(self, remote: socket.socket, error: Exception) -> None:
        """Told at most once a second: strangers must not fill the log."""
        now = time.monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _QUIET_SECONDS
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or "no handshake in time"
        log.info("TLS with %s failed: %s", _peer(remote), reason)


def keep_alive(remote: socket.socket) -> None:
    """Small pieces go at once, and a host that vanished is noticed within a minute."""
    for level, option, value in (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    ):
        with contextlib.suppress(OSError):
            remote.setsockopt(level, option, value)


def _peer(remote: socket.socket) -> str:
    try:
        return str(remote.getpeername()[0])
    except OSError:
        return "a client that left"


class _Relay:
    """Both directions of one connection: records of TLS on the remote socket, what is in them on the other."""

    def __init__(self, server: ssl.SSLContext, remote: socket.socket) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = server.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._remote = remote
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()

    async def shake_hands(self) -> None:
        """The handshake. Raises OSError (ssl.SSLError) where it fails; the client has been told why by then."""
        try:
            while True:
                try:
                    self.tls.do_handshake()
                except ssl.SSLWantReadError:
                    await self._flush()
                    if not await self._more():
                        raise ConnectionResetError(0, "the client left") from None
                else:
                    return
        finally:
            await self._flush()

    async def carry(self, inner: socket.socket) -> None:
        """Until both directions have ended, or the client has left."""
        inward = asyncio.create_task(self._inward(inner), name="TLS to plain")
        outward = asyncio.create_task(self._outward(inner), name="plain to TLS")
        try:
            done, _ = await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            if inward in done and inward.result():  # the client's input has ended, and it wants what comes still
                await asyncio.wait((outward,))
            if outward.done():
                await asyncio.wait((inward,), timeout=_LINGER_SECONDS)
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.gather(inward, outward, return_exceptions=True)

    async def _inward(self, inner: socket.socket) -> bool:
        """What the client sends. Whether it is still there after its end."""
        try:
            while plain := await self._decrypted():
                await self._loop.sock_sendall(inner, plain)
        except OSError:
            return False
        with contextlib.suppress(OSError):
            inner.shutdown(socket.SHUT_WR)
        if self._incoming.eof:
            return True
        with contextlib.suppress(OSError):
            while await self._loop.sock_recv(self._remote, _PIECE):
                pass  # after close_notify there is nothing to read
        return False

    async def _decrypted(self) -> bytes:
        """The next bytes; empty at the end of the client's input."""
        while True:
            try:
                return self.tls.read(_PIECE)
            except ssl.SSLWantReadError:
                await self._flush()  # an answer to a record of the protocol's own, if it asked for one
                if not await self._more():
                    return b""
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def _more(self) -> bool:
        data = await self._loop.sock_recv(self._remote, _PIECE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    async def _outward(self, inner: socket.socket) -> None:
        """What we answer."""
        with contextlib.suppress(OSError):
            while data := await self._loop.sock_recv(inner, _PIECE):
                view = memoryview(data)
                while view:
                    view = view[self.tls.write(view) :]
                await self._flush()
            with contextlib.suppress(ssl.SSLError):
                self.tls.unwrap()  # our close_notify; whether the client answers it is seen by `_inward`
            await self._flush()
            self._remote.shutdown(socket.SHUT_WR)

    async def _flush(self) -> None:
        async with self._sending:
            while data := self._outgoing.read():
                await self._loop.sock_sendall(self._remote, data)
