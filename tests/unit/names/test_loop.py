"""The loop, and clients by TCP on it: time is the test's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from pouch.names import loop as loops
from pouch.names import message, streams


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    far.settimeout(10)
    with near, far:
        yield near, far


def test_timers_are_called_in_their_order_when_they_are_due(loop, clock):
    said = []
    loop.after(3, lambda: said.append("third"))
    loop.after(1, lambda: said.append("first"))
    loop.after(2, lambda: said.append("never")).cancel()
    clock.now += 1
    loop.turn()
    assert said == ["first"]
    clock.now += 5
    loop.turn()
    assert said == ["first", "third"]


def test_timers_that_were_cancelled_are_not_kept(loop, clock):
    said = []
    kept = [loop.after(number, lambda number=number: said.append(number)) for number in range(100)]
    for _ in range(100_000):
        loop.after(10, lambda: said.append("never")).cancel()
    assert len(loop._timers) < 3000
    clock.now += 100
    loop.turn()
    assert said == list(range(100))
    assert len(kept) == 100


def test_what_a_callback_raises_is_told_and_ends_nothing(loop, clock):
    failures = []
    loop.failed = failures.append
    said = []
    loop.after(0, lambda: 1 / 0)
    loop.after(0, lambda: said.append("next"))
    loop.turn()
    assert said == ["next"]
    assert [type(one) for one in failures] == [ZeroDivisionError]


def test_a_descriptor_that_was_forgotten_in_the_same_turn_is_not_called(loop):
    one, other = socket.socketpair()
    with one, other:
        said = []

        def read(fd: int) -> None:
            said.append(fd)
            for each in (one, other):
                loop.forget(each.fileno())

        for fd in (one.fileno(), other.fileno()):
            loop.watch(fd, loops.WRITE, lambda _, fd=fd: read(fd))
        loop.turn()
        assert len(said) == 1


class Client:
    """The far end of a stream, and what was asked."""

    def __init__(self, loop: loops.Loop, pair: tuple[socket.socket, socket.socket]) -> None:
        near, self.socket = pair
        self.loop = loop
        self.asked: list[bytes] = []
        self.answers: list = []
        self.ended = 0
        self.stream = streams.Stream(loop, near, self._ask, self._end)

    def _ask(self, wire: bytes, answer) -> None:
        self.asked.append(wire)
        self.answers.append(answer)

    def _end(self, stream: streams.Stream) -> None:
        self.ended += 1

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.loop.after(0, lambda: None)
        self.loop.turn()

    def turn(self) -> None:
        self.loop.after(0, lambda: None)
        self.loop.turn()


def framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


@pytest.fixture
def client(loop, pair) -> Client:
    return Client(loop, pair)


def test_a_query_that_comes_in_pieces_is_asked_once(client):
    for byte in framed(b"query"):
        assert client.asked == []
        client.send(bytes([byte]))
    assert client.asked == [b"query"]


def test_queries_behind_each_other_are_asked_one_by_one(client):
    client.send(framed(b"one") + framed(b"two") + framed(b"thr")[:3])
    assert client.asked == [b"one"]
    client.answers[0](b"first")
    client.turn()
    assert client.socket.recv(7) == framed(b"first")
    assert client.asked == [b"one", b"two"]
    client.answers[1](b"second")
    client.turn()
    assert client.socket.recv(8) == framed(b"second")
    client.send(b"hr")
    assert client.asked == [b"one", b"two", b"thr"]


@pytest.mark.parametrize("size", [0, message.LARGEST_QUERY + 1, 65535])
def test_a_length_that_no_query_has_ends_the_connection(client, size):
    client.send(struct.pack("!H", size))
    assert client.socket.recv(1) == b""
    assert client.ended == 1


def test_bytes_that_trickle_do_not_prolong_the_time(client, clock):
    client.send(b"\0")
    clock.now += streams.IDLE_SECONDS / 2
    client.send(b"\5")
    clock.now += streams.IDLE_SECONDS / 2
    client.turn()
    assert client.socket.recv(1) == b""
    assert (client.asked, client.ended) == ([], 1)


def test_who_waits_for_an_answer_is_not_idle(client, clock):
    client.send(framed(b"query"))
    clock.now += 10 * streams.IDLE_SECONDS
    client.turn()
    assert client.ended == 0
    client.answers[0](b"answer")
    client.turn()
    assert client.socket.recv(20) == framed(b"answer")


def test_who_does_not_take_an_answer_is_left(loop, clock, pair):
    near, far = pair
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client = Client(loop, pair)
    client.send(framed(b"query"))
    client.answers[0](b"x" * 65535)
    for _ in range(3):
        client.turn()
    assert client.ended == 0
    clock.now += streams.IDLE_SECONDS
    client.turn()
    assert client.ended == 1


def test_an_answer_for_a_client_that_has_gone_goes_nowhere(client):
    client.send(framed(b"query"))
    client.socket.close()
    client.turn()
    assert client.ended == 1
    client.answers[0](b"answer")
    client.turn()
    assert client.ended == 1


def test_no_answer_ends_the_connection(client):
    client.send(framed(b"query"))
    client.answers[0](b"")
    assert client.socket.recv(1) == b""
