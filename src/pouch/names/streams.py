"""A client that asks by TCP (RFC 7766): messages with their length before them, one at a time, with deadlines for the slow."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pouch.names import loop as loops
from pouch.names import message

IDLE_SECONDS = 10.0
"""What a client has for its next whole query, and for taking an answer. Bytes that trickle do not prolong it."""


class Stream:
    """One connection. ask: called with a query's bytes and where its answer goes, now or later; ended: called once, when it is closed."""

    def __init__(
        self,
        loop: loops.Loop,
        connection: socket.socket,
        ask: Callable[[bytes, Callable[[bytes], None]], None],
        ended: Callable[[Stream], None],
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._ask = ask
        self._ended = ended
        self._in = bytearray()
        self._out = b""
        self._asked = False
        self._open = True
        loop.watch(connection.fileno(), loops.READ, self._on_event)
        self._timer = loop.after(IDLE_SECONDS, self.close)

    def close(self) -> None:
        """Close the connection; idempotent."""
        if not self._open:
            return
        self._open = False
        self._timer.cancel()
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._ended(self)

    def _on_event(self, events: int) -> None:
        try:
            if self._out:
                self._send()
            elif events & loops.READ and not self._asked:
                piece = self._socket.recv(message.LARGEST_QUERY, socket.MSG_DONTWAIT)
                self._in += piece
                if not piece or not self._read():
                    self.close()
            elif events & ~(loops.READ | loops.WRITE):  # it has gone while its question was on its way
                self.close()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _read(self) -> bool:
        """Take the next query, if all of it is there; False where it is none that we would read."""
        size = int.from_bytes(self._in[:2], "big")
        if len(self._in) < 2:
            return True
        if not 0 < size <= message.LARGEST_QUERY:
            return False
        if len(self._in) >= 2 + size:
            wire = bytes(self._in[2 : 2 + size])
            del self._in[: 2 + size]
            self._asked = True
            self._loop.change(self._socket.fileno(), 0)  # the next one may wait
            self._timer.cancel()
            self._ask(wire, self._answer)
        return True

    def _answer(self, wire: bytes) -> None:
        """Send an answer; b"" is none, and the end."""
        if not self._open:
            return
        if not wire:
            self.close()
            return
        self._asked = False
        self._out = len(wire).to_bytes(2, "big") + wire
        self._timer = self._loop.after(IDLE_SECONDS, self.close)
        self._loop.change(self._socket.fileno(), loops.WRITE)

    def _send(self) -> None:
        self._out = self._out[self._socket.send(self._out, socket.MSG_DONTWAIT) :]
        if not self._out:
            self._loop.change(self._socket.fileno(), loops.READ)
            if self._in and not self._read():
                self.close()
