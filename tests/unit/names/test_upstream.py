"""Questions on their way to servers: two sockets of the test on the loopback; time is the test's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

import dns.message
import dns.rcode
import pytest

from pouch.names import loop as loops
from pouch.names import message, upstream

FIRST, SECOND = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def servers(monkeypatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets with the same port."""
    first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with first, second:
        first.bind((FIRST, 0))
        port = first.getsockname()[1]
        second.bind((SECOND, port))
        for one in (first, second):
            one.settimeout(10)
        monkeypatch.setattr(upstream, "PORT", port)
        yield first, second


QUERY = message.parse(dns.message.make_query("example.org", "A", id=4711).to_wire())


@pytest.fixture
def ask(loop) -> Iterator[Callable[..., list[bytes]]]:
    asked = []

    def made(*names: str, stream: bool = False) -> list[bytes]:
        answers: list[bytes] = []
        asked.append(upstream.Question(loop, QUERY, names, answers.append, stream=stream))
        return answers

    yield made
    for one in asked:
        one.cancel()


def turn(loop: loops.Loop, count: int = 1) -> None:
    for _ in range(count):
        loop.after(0, lambda: None)
        loop.turn()


def answered(wire: bytes, code: int = 0) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(wire))
    made.set_rcode(code)
    return made.to_wire()


def code(wire: bytes) -> str:
    found = dns.message.from_wire(wire)
    assert found.id == 4711
    return dns.rcode.to_text(found.rcode())


def test_an_answer_is_passed_on_under_the_askers_id(loop, servers, ask):
    answers = ask(FIRST)
    wire, peer = servers[0].recvfrom(512)
    assert wire[2:] == QUERY.wire[2:]
    servers[0].sendto(answered(wire, dns.rcode.NXDOMAIN), peer)
    turn(loop)
    assert [code(one) for one in answers] == ["NXDOMAIN"]


def test_a_silent_server_is_followed_by_the_next_and_tried_again(loop, clock, servers, ask):
    answers = ask(FIRST, SECOND)
    seen = []
    for one in (servers[0], servers[1], servers[0]):
        seen.append(one.recvfrom(512))
        clock.now += upstream.ATTEMPT_SECONDS
        turn(loop)
    wire, peer = servers[1].recvfrom(512)
    servers[0].sendto(answered(seen[0][0]), seen[0][1])  # too late: its socket is closed
    servers[1].sendto(answered(wire), peer)
    turn(loop)
    assert [code(one) for one in answers] == ["NOERROR"]
    assert len({peer for _, peer in seen} | {peer}) == 4, "each attempt has a port of its own"


def test_where_nobody_answers_that_is_said_once(loop, clock, servers, ask):
    answers = ask(FIRST)
    for _ in range(upstream.ROUNDS):
        assert answers == []
        clock.now += upstream.ATTEMPT_SECONDS
        turn(loop)
    assert [code(one) for one in answers] == ["SERVFAIL"]
    clock.now += 100
    turn(loop)
    assert len(answers) == 1


def test_who_tries_to_guess_ends_the_attempt(loop, servers, ask):
    answers = ask(FIRST, SECOND)
    wire, peer = servers[0].recvfrom(512)
    wrong = answered(wire)
    for number in range(upstream._STRANGERS):
        servers[0].sendto(struct.pack("!H", (int.from_bytes(wire[:2], "big") + 1 + number) & 0xFFFF) + wrong[2:], peer)
        turn(loop)
    wire, peer = servers[1].recvfrom(512)
    servers[1].sendto(answered(wire), peer)
    turn(loop)
    assert [code(one) for one in answers] == ["NOERROR"]


def test_only_the_server_itself_is_heard(loop, servers, ask):
    answers = ask(FIRST)
    wire, peer = servers[0].recvfrom(512)
    servers[1].sendto(answered(wire), peer)
    turn(loop)
    assert answers == []


@pytest.mark.parametrize(
    "server", ["127.0.0.1 ", "localhost", "300.1.1.1", "127.1", "::1::", "nowhere.example", "", "-1"]
)
def test_what_is_no_address_is_not_asked(servers, ask, server):
    answers = ask(server, SECOND)
    wire, _ = servers[1].recvfrom(512)
    assert wire[2:] == QUERY.wire[2:]
    servers[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        servers[0].recv(512)
    assert answers == []


def test_without_servers_nobody_can_tell(ask):
    assert [code(one) for one in ask()] == ["SERVFAIL"]


def test_who_does_not_wait_any_more_hears_nothing(loop, servers):
    answers: list[bytes] = []
    question = upstream.Question(loop, QUERY, [FIRST], answers.append, stream=False)
    wire, peer = servers[0].recvfrom(512)
    question.cancel()
    servers[0].sendto(answered(wire), peer)
    turn(loop)
    assert answers == []


def test_a_stream_that_is_cut_or_lies_is_followed_by_the_next(loop, servers, ask, monkeypatch):
    with socket.create_server((FIRST, 0)) as first:
        monkeypatch.setattr(upstream, "PORT", first.getsockname()[1])
        answers = ask(FIRST, FIRST, FIRST, stream=True)
        for sent in (b"\0", b"\0\x0clie", None):
            turn(loop, 2)
            first.settimeout(10)
            connection, _ = first.accept()
            with connection:
                connection.settimeout(10)
                turn(loop, 2)
                size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                wire = connection.recv(size, socket.MSG_WAITALL)
                good = answered(wire)
                whole = struct.pack("!H", len(good)) + good
                for piece in (sent,) if sent else (whole[:1], whole[1:20], whole[20:]):
                    connection.sendall(piece)
                    turn(loop)
            turn(loop, 2)
        assert [code(one) for one in answers] == ["NOERROR"]
