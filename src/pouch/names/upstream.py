"""Questions that are not ours: asked of a container's servers from this host, and what they answer passed on as it came.

Against forged answers (RFC 5452): a socket of its own for each question, with a source port that the kernel draws and connected to
the server, a random id, and the question compared. Nothing is kept for later, so a forgery that succeeds fools one asker once.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Sequence

from pouch.names import loop as loops
from pouch.names import message

PORT = 53
ATTEMPT_SECONDS = 2.0
"""What one server has to answer by UDP; then the next one is asked."""
STREAM_SECONDS = 5.0
ROUNDS = 2
MOST_SERVERS = 3
"""As resolv.conf(5) has it."""
_STRANGERS = 64
"""Answers that do not fit: then somebody tries to guess, and this attempt is given up."""
_LARGEST = 65535


class Question:
    """One question on its way. done: called once with the answer, whatever becomes of it; not after `cancel`."""

    def __init__(
        self,
        loop: loops.Loop,
        query: message.Query,
        servers: Sequence[str],
        done: Callable[[bytes], None],
        *,
        stream: bool,
    ) -> None:
        self._loop = loop
        self._query = query
        self._done: Callable[[bytes], None] | None = done
        self._stream = stream
        self._left = list(servers[:MOST_SERVERS]) * (1 if stream else ROUNDS)
        self._refusal = b""
        self._socket: socket.socket | None = None
        self._timer: loops.Timer | None = None
        self._number = 0
        self._strangers = 0
        self._out = b""
        self._in = bytearray()
        self._next()

    def cancel(self) -> None:
        """Nobody waits for it any more; idempotent."""
        self._done = None
        self._close()

    def _finish(self, answer: bytes) -> None:
        self._close()
        done, self._done = self._done, None
        if done is not None:
            done(message.numbered(answer, self._query.id))

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _next(self) -> None:
        """Ask the next server."""
        self._close()
        while self._left:
            try:
                self._ask(self._left.pop(0))
                return
            except OSError:  # no route, no descriptors
                self._close()
        self._finish(self._refusal or message.failed(self._query, message.SERVER_FAILURE))

    def _ask(self, server: str) -> None:
        family, address = _address(server)
        self._number = int.from_bytes(os.urandom(2), "big")
        self._strangers = 0
        wire = message.numbered(self._query.wire, self._number)
        kind = socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM
        self._socket = ours = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        with contextlib.suppress(BlockingIOError):
            ours.connect(address)
        if self._stream:
            self._out = len(wire).to_bytes(2, "big") + wire
            self._in.clear()
            self._loop.watch(ours.fileno(), loops.READ | loops.WRITE, self._on_stream)
        else:
            ours.send(wire)
            self._loop.watch(ours.fileno(), loops.READ, self._on_datagram)
        self._timer = self._loop.after(STREAM_SECONDS if self._stream else ATTEMPT_SECONDS, self._next)

    def _on_datagram(self, _: int) -> None:
        assert self._socket is not None
        try:
            wire = self._socket.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:  # ICMP: nobody listens there
            self._next()
            return
        if message.matches(self._query, wire, self._number):
            self._answered(wire)
            return
        self._strangers += 1
        if self._strangers >= _STRANGERS:
            self._next()

    def _on_stream(self, _: int) -> None:
        assert self._socket is not None
        try:
            if self._out:
                self._out = self._out[self._socket.send(self._out) :]
                if not self._out:
                    self._loop.change(self._socket.fileno(), loops.READ)
                return
            piece = self._socket.recv(_LARGEST + 2 - len(self._in))
        except BlockingIOError:
            return
        except OSError:
            self._next()
            return
        self._in += piece
        size = 2 + int.from_bytes(self._in[:2], "big")
        if 2 <= len(self._in) >= size:
            wire = bytes(self._in[2:size])
            if message.matches(self._query, wire, self._number):
                self._answered(wire)
            else:
                self._next()
        elif not piece:
            self._next()

    def _answered(self, wire: bytes) -> None:
        if message.refused(wire):
            self._refusal = wire
            self._next()
        else:
            self._finish(wire)


def _address(server: str) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    """Family and socket address of `192.0.2.7`, `2001:db8::1` or `fe80::1%3`. No resolver is asked. Raises OSError for anything else."""
    host, _, scope = server.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.inet_pton(family, host)
    if family is socket.AF_INET:
        return socket.AF_INET, (host, PORT)
    return socket.AF_INET6, (host, PORT, 0, int(scope) if scope.isdigit() else 0)
