"""One container's end of the service: its sockets at 127.0.0.11, what it may ask at once, and how often."""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
from collections.abc import Callable
from typing import Protocol

from pouch.names import book as books
from pouch.names import loop as loops
from pouch.names import message, streams, upstream

MOST_QUESTIONS = 256
"""Of one container, on their way to its servers; further ones are answered SERVFAIL."""
MOST_STREAMS = 32
RATE = 5000
"""Queries a second and container, in the long run, and at once; a question that others answer counts as three. What comes faster waits in the

socket and is dropped there by the kernel, at the cost of who sends it. Work for it is no more than a quarter of a core."""
_COST_OF_FORWARDING = 3
_BATCH = 16
"""Packets of one container before others have their turn."""
_PAUSE_SECONDS = 0.05
_SHORT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Service(Protocol):
    """What a guest needs to know of all the others."""

    loop: loops.Loop
    book: books.Book
    questions: int
    """How many are on their way, of all guests."""

    def servers(self, entry: books.Entry) -> tuple[str, ...]:
        """Who is asked for names that are not ours."""

    def may_ask(self) -> bool:
        """Whether there is room for one more question on its way."""


class Guest:
    """A container with its sockets, which it closes. ended: called when its process has ended."""

    def __init__(
        self,
        service: Service,
        owner: str,
        datagrams: socket.socket,
        listener: socket.socket,
        process: int | None,
        ended: Callable[[], None],
    ) -> None:
        self._service = service
        self._loop = service.loop
        self._owner = owner
        self._datagrams = datagrams
        self._listener = listener
        self._process = process
        self._streams: set[streams.Stream] = set()
        self._questions: dict[object, upstream.Question] = {}
        self._credit = float(RATE)
        self._counted = self._loop.clock()
        self._paused: loops.Timer | None = None
        self._loop.watch(datagrams.fileno(), loops.READ, self._on_datagrams)
        self._loop.watch(listener.fileno(), loops.READ, self._on_connections)
        if process is not None:
            self._loop.watch(process, loops.READ, lambda _: ended())

    def close(self, closed: Callable[[int], None]) -> None:
        """Close all of it. closed: closes the process's descriptor."""
        if self._paused is not None:
            self._paused.cancel()
        for question in list(self._questions.values()):
            question.cancel()
        self._service.questions -= len(self._questions)
        self._questions.clear()
        for stream in list(self._streams):
            stream.close()
        for one in (self._datagrams, self._listener):
            self._loop.forget(one.fileno())
            one.close()
        if self._process is not None:
            self._loop.forget(self._process)
            closed(self._process)
            self._process = None

    def _on_datagrams(self, _: int) -> None:
        for _ in range(_BATCH):
            if not self._spend(1):
                return
            try:
                wire, peer = self._datagrams.recvfrom(message.LARGEST_QUERY + 1, socket.MSG_DONTWAIT)
            except OSError:
                self._credit += 1
                return
            self._asked(wire, functools.partial(self._answer, peer), peer)

    def _answer(self, peer: object, wire: bytes) -> None:
        if wire:
            with contextlib.suppress(OSError):  # it has rules of its own, or does not read: its matter
                self._datagrams.sendto(wire, socket.MSG_DONTWAIT, peer)  # type: ignore[call-overload]

    def _on_connections(self, _: int) -> None:
        if not self._spend(1):
            return
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _SHORT_OF_DESCRIPTORS:
                self._loop.change(self._listener.fileno(), 0)
                self._loop.after(_PAUSE_SECONDS, self._accept)
            return
        self._streams.add(streams.Stream(self._loop, connection, self._asked_by_stream, self._left))
        self._accept()

    def _left(self, stream: streams.Stream) -> None:
        self._streams.discard(stream)
        self._accept()

    def _accept(self) -> None:
        """Take connections, or let them wait."""
        if self._listener.fileno() < 0:
            return
        open_for_more = self._paused is None and len(self._streams) < MOST_STREAMS
        self._loop.change(self._listener.fileno(), loops.READ if open_for_more else 0)

    def _asked_by_stream(self, wire: bytes, done: Callable[[bytes], None]) -> None:
        self._spend(1)
        self._asked(wire, done, None)

    def _asked(self, wire: bytes, done: Callable[[bytes], None], peer: object) -> None:
        """Answer, now or later. peer: who asked by a datagram, None for a stream."""
        try:
            query = message.parse(wire)
        except message.MalformedError as error:
            done(error.answer)
            return
        entry = self._service.book.entries[self._owner]
        ours = books.answer(self._service.book, entry, query, stream=peer is None)
        if ours is not None:
            done(ours)
            return
        self._forward(entry, query, done, peer)

    def _forward(self, entry: books.Entry, query: message.Query, done: Callable[[bytes], None], peer: object) -> None:
        # who asks again with the same id has one answer coming already
        key: object = object() if peer is None else (peer, query.id, query.question)
        if key in self._questions:
            return
        self._credit -= _COST_OF_FORWARDING - 1
        servers = () if entry.internal else self._service.servers(entry)
        if not servers or len(self._questions) >= MOST_QUESTIONS or not self._service.may_ask():
            done(message.failed(query, message.SERVER_FAILURE))
            return
        finished: list[bytes] = []

        def finish(answer: bytes) -> None:
            finished.append(answer)
            if self._questions.pop(key, None) is not None:
                self._service.questions -= 1
            done(answer)

        question = upstream.Question(self._loop, query, servers, finish, stream=peer is None)
        if not finished:
            self._questions[key] = question
            self._service.questions += 1

    def _spend(self, amount: int) -> bool:
        """Whether it may go on; if not, it is paused."""
        if self._credit < amount:
            now = self._loop.clock()
            self._credit = min(float(RATE), self._credit + (now - self._counted) * RATE)
            self._counted = now
            if self._credit < amount:
                self._pause()
                return False
        self._credit -= amount
        return True

    def _pause(self) -> None:
        if self._paused is None:
            self._loop.change(self._datagrams.fileno(), 0)
            self._paused = self._loop.after(_PAUSE_SECONDS, self._resume)
            self._accept()

    def _resume(self) -> None:
        self._paused = None
        self._loop.change(self._datagrams.fileno(), loops.READ)
        self._accept()
