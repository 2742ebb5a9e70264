"""Around the name service: a host made of namespaces, containers in it that ask, and servers that answer (or lie)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import dns.message
import dns.rcode
import dns.rdatatype
from support import network

from pouch.kernel import rtnetlink
from pouch.network import names

PATIENCE = 20.0
UPSTREAM = str(network.WORLD.ip)

Answerer = Callable[[bytes, "Stub"], "list[bytes]"]


class Stub:
    """A name server in a namespace. answers: from a query's bytes to the packets that are sent back; `asked` has what came, by protocol."""

    def __init__(self, place: network.Netns, answers: Answerer, address: str = UPSTREAM) -> None:
        self.answers = answers
        self.asked: list[tuple[str, bytes, tuple[str, int]]] = []

        def bind() -> tuple[socket.socket, socket.socket]:
            with rtnetlink.RouteSocket() as kernel:
                kernel.loopback_up()
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind((address, 53))
            return datagrams, socket.create_server((address, 53))

        self._datagrams, self._listener = place.run(bind)
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._serve, self._serve_streams)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Its sockets are gone, its threads have ended."""
        for one in (self._datagrams, self._listener):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, peer = self._datagrams.recvfrom(65535)
                if not wire:
                    return
                self.asked.append(("udp", wire, peer))
                for answer in self.answers(wire, self):
                    self._datagrams.sendto(answer, peer)

    def _serve_streams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._listener.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    wire = received(connection)
                    self.asked.append(("tcp", wire, peer))
                    for answer in self.answers(wire, self):
                        connection.sendall(struct.pack("!H", len(answer)) + answer)


def received(connection: socket.socket) -> bytes:
    """One message of a stream; b"" at its end."""
    head = connection.recv(2, socket.MSG_WAITALL)
    return connection.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL) if len(head) == 2 else b""


def addressed(*addresses: str, ttl: int = 60) -> Answerer:
    """A server that answers each query with these IPv4 addresses."""

    def answer(wire: bytes, _: Stub) -> list[bytes]:
        query = dns.message.from_wire(wire)
        made = dns.message.make_response(query, recursion_available=True)
        made.answer.append(
            dns.rrset.from_text(query.question[0].name, ttl, "IN", "A", *addresses),
        )
        return [made.to_wire()]

    return answer


def ask(wire: bytes, *, timeout: float = PATIENCE) -> bytes:
    """Ask the service from the calling thread's namespace, by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        asking.connect((names.ADDRESS, names.PORT))
        asking.send(wire)
        return asking.recv(65535)


def ask_by_stream(*wires: bytes) -> list[bytes]:
    """The same by TCP, over one connection."""
    with socket.create_connection((names.ADDRESS, names.PORT), timeout=PATIENCE) as asking:
        asking.sendall(b"".join(struct.pack("!H", len(wire)) + wire for wire in wires))
        return [received(asking) for _ in wires]


@dataclass
class Container:
    """A process in a namespace of its own, with an id."""

    id: str
    process: network.Process

    def resolve(self, name: str, kind: str = "A", *, stream: bool = False) -> tuple[str, list[str]]:
        """The code's name and what was answered, as texts."""
        wire = dns.message.make_query(name, kind).to_wire()
        answer = self.process.run(lambda: ask_by_stream(wire)[0] if stream else ask(wire))
        return told(answer)


def told(wire: bytes) -> tuple[str, list[str]]:
    """A message's code and its answers."""
    message = dns.message.from_wire(wire)
    return dns.rcode.to_text(message.rcode()), [item.to_text() for rrset in message.answer for item in rrset]


@dataclass
class Place:
    """A host with the client of a daemon; the program runs in the host's namespace."""

    host: network.Host
    names: names.Names
    run_dir: str
    former: list[names.Names] = field(default_factory=list)

    def daemon(self) -> names.Names:
        """Another client, as after a restart."""
        self.names.close()
        self.former.append(self.names)
        self.names = names.Names(self.run_dir)
        return self.names

    @property
    def program(self) -> int:
        """The program's pid."""
        self.call(self.names.ensure)
        return self.names._pid

    def kill(self) -> None:
        """Kill the program; it is gone."""
        pid = self.program
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        wait_readable(pidfd)
        os.close(pidfd)

    def call(self, action: Callable[[], object]) -> object:
        """Run it in the host's namespace: a program that is started is there then."""
        return self.host.run(action)

    def container(self, number: int) -> Container:
        """A new one, with its loopback up, which the service does not know yet."""
        process = self.host.process()

        def up() -> None:
            with rtnetlink.RouteSocket() as kernel:
                kernel.loopback_up()

        process.run(up)
        return Container(f"{number:064x}", process)

    def put(self, container: Container, *members: names.NameEntry, **options: object) -> None:
        """Serve it."""
        servers = options.pop("servers", (UPSTREAM,))
        pid = options.pop("pid", container.process.pid)
        self.call(
            lambda: self.names.put(
                container.id,
                members,
                servers,
                netns=container.process.fd,
                pid=pid,
                **options,  # type: ignore[arg-type]
            )
        )


@contextlib.contextmanager
def make_place() -> Iterator[Place]:
    """Ends with no program left."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(network.make_host())
        run_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="pouch-names-"))
        place = Place(host, names.Names(run_dir), run_dir)
        stack.callback(end, place)
        yield place


def end(place: Place) -> None:
    """Drop all containers: the program ends when the last daemon has gone."""
    pidfd = place.names.watch()
    place.names.sync(())
    place.names.close()
    if pidfd is not None:
        wait_readable(pidfd)
        os.close(pidfd)
    for one in (*place.former, place.names):
        for program in one._started:
            program.wait(PATIENCE)


def wait_readable(fd: int) -> None:
    """Wait for it; AssertionError after a generous while."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(PATIENCE * 1000), "waited for nothing"
