"""Places from which an address is tried: network namespaces, with what answers and what asks in them.

    with web.serve(80) as service:                  tcp and udp, both families, from threads of this process
        assert other.tcp("172.28.0.2", 80) == Answer("web", source="172.28.0.3")
        assert other.udp("172.28.0.2", 80) is None  nobody answered
        assert other.ping("172.28.0.2")

Nothing is executed in a container for it: sockets made in its namespace are its own for the network. Addresses are texts of either family.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import dns.message
import dns.query
import dns.reversename

from pouch.kernel import namespace

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds for what has to answer: only a failing test waits so long."""
NAME_SERVER = "127.0.0.11"
SHORT = 0.4
"""Seconds after which silence is taken for an answer, where silence is what is expected."""
_ECHO = {socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0), socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129)}
"""Protocol, type of the request, type of the answer (RFC 792, RFC 4443)."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """Who answered, and from which address it saw us ask."""

    server: str
    source: str


def family(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@dataclass(eq=False)
class Place:
    """A network namespace. The descriptor belongs to who made it."""

    name: str
    fd: int

    def run(self, action: Callable[[], T]) -> T:
        """Run it inside; a socket made there stays there."""
        return namespace.run_in_namespace(self.fd, action)

    def spawn(self, argv: list[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside: a child has the namespace of the thread that forks it."""
        return self.run(lambda: subprocess.Popen(argv, **options))

    def out(self, *argv: str, input: str | None = None) -> str:
        """What a program prints that runs inside. Fails with its words."""
        process = self.spawn(
            [*argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said, _ = process.communicate(input, timeout=60)
        assert process.returncode == 0, f"{' '.join(argv)} in {self.name}: {said}"
        return str(said)

    def ip(self, *lines: str) -> None:
        """Lines for ip(8)."""
        self.out("ip", "-batch", "-", input="\n".join(lines) + "\n")

    # -- asking -------------------------------------------------------------------------------------------------------

    def tcp(self, address: str, port: int, *, timeout: float = PATIENCE, source: str = "") -> Answer | None:
        """Who answers a connection; None where it is refused or nobody does in time. source: the address to ask from."""
        with contextlib.suppress(OSError), self.connected(address, port, timeout=timeout, source=source) as connection:
            return _answer(connection.recv(200))
        return None

    def connected(self, address: str, port: int, *, timeout: float = PATIENCE, source: str = "") -> socket.socket:
        """A connection to a Service, which greets and then echoes. The caller closes it. Raises OSError."""
        made = self.run(lambda: socket.socket(family(address), socket.SOCK_STREAM))
        try:
            made.settimeout(timeout)
            if source:
                made.bind((source, 0))
            made.connect((address, port))
        except BaseException:
            made.close()
            raise
        return made

    def udp(self, address: str, port: int, *, timeout: float = PATIENCE, source: str = "") -> Answer | None:
        """Who answers a datagram; None where nobody does in time. Asks more than once, as datagrams may be lost."""
        deadline = time.monotonic() + timeout
        with self.run(lambda: socket.socket(family(address), socket.SOCK_DGRAM)) as asking:
            with contextlib.suppress(OSError):
                if source:
                    asking.bind((source, 0))
                asking.connect((address, port))
            while (left := deadline - time.monotonic()) > 0:
                with contextlib.suppress(OSError):
                    asking.settimeout(min(left, 1.0))
                    asking.send(b"who?")
                    return _answer(asking.recv(200))
                time.sleep(0.01)  # refused: whoever shall answer may not be there yet
        return None

    def ping(self, address: str, *, timeout: float = PATIENCE) -> bool:
        """Whether an echo request is answered. IPv6 link-local addresses with their %interface."""
        where = family(address)
        protocol, request, reply = _ECHO[where]
        packet = struct.pack("!BBHHH", request, 0, 0, os.getpid() & 0xFFFF, next(_numbers) & 0xFFFF)
        if where is socket.AF_INET:
            packet = packet[:2] + struct.pack("!H", _checksum(packet)) + packet[4:]
        deadline = time.monotonic() + timeout
        with self.run(lambda: socket.socket(where, socket.SOCK_RAW, protocol)) as asking:
            asking.setblocking(False)
            while (left := deadline - time.monotonic()) > 0:
                with contextlib.suppress(OSError):
                    asking.connect(socket.getaddrinfo(address, None, where)[0][4])
                    asking.send(packet)
                if _echoed(asking, where, bytes([reply]), packet[4:8], until=time.monotonic() + min(left, 1.0)):
                    return True
        return False

    def names(self, name: str, kind: str = "A", *, timeout: float = PATIENCE, server: str = NAME_SERVER) -> list[str]:
        """What the name service says, sorted; nothing where the name is not known. kind: A, AAAA, PTR (of an address)."""
        asked = dns.reversename.from_address(name) if kind == "PTR" else name
        query = dns.message.make_query(asked, kind)
        answer = self.run(lambda: dns.query.udp(query, server, timeout=timeout))
        return sorted(record.to_text().rstrip(".") for found in answer.answer for record in found)

    # -- answering ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def serve(self, port: int, *, name: str = "", addresses: tuple[str, ...] = ("0.0.0.0", "::")) -> Iterator[Service]:
        """Answer on this port of tcp and udp with the place's name (or another), for the length of the block."""
        service = Service(self, name or self.name, port, addresses)
        try:
            yield service
        finally:
            service.close()


class Service(threading.Thread):
    """Greets each tcp connection with its name and the peer's address, then echoes; answers each datagram with the same greeting."""

    def __init__(self, place: Place, name: str, port: int, addresses: tuple[str, ...]) -> None:
        super().__init__(name=f"service {name}", daemon=True)
        self.port = port
        self._name = name
        self._selector = selectors.DefaultSelector()
        self._end = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._end, selectors.EVENT_READ, None)
        try:
            for address in addresses:
                for made in place.run(lambda address=address: _listening(address, port)):
                    kind = self._greet if made.type is socket.SOCK_STREAM else self._tell
                    self._selector.register(made, selectors.EVENT_READ, kind)
        except BaseException:
            self._close_all()
            raise
        self.start()

    def close(self) -> None:
        """End it with all its connections."""
        os.eventfd_write(self._end, 1)
        self.join()

    def run(self) -> None:
        """The thread."""
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.data is None:
                        return
                    with contextlib.suppress(OSError):
                        key.data(key.fileobj)
        finally:
            self._close_all()

    def _greet(self, listener: socket.socket) -> None:
        connection, peer = listener.accept()
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, self._echo)
        connection.send(self._greeting(peer))

    def _echo(self, connection: socket.socket) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = connection.recv(65536)
        if data:
            connection.send(data)
        else:
            self._selector.unregister(connection)
            connection.close()

    def _tell(self, receiver: socket.socket) -> None:
        _, peer = receiver.recvfrom(2048)
        receiver.sendto(self._greeting(peer), peer)

    def _greeting(self, peer: tuple[Any, ...]) -> bytes:
        return f"{self._name} {peer[0]}".encode()

    def _close_all(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        os.close(self._end)
        self._selector.close()


def _listening(address: str, port: int) -> list[socket.socket]:
    """A tcp listener and a udp socket. For `::` of that family alone; none where the namespace has no IPv6 at all."""
    made: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            one = socket.socket(family(address), kind)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if one.family is socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address, port))
            if kind is socket.SOCK_STREAM:
                one.listen(256)
            one.setblocking(False)
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def _answer(data: bytes) -> Answer | None:
    """None where a connection was ended without a word: something stood between."""
    return Answer(*data.decode().split(" ")) if data else None


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _echoed(asking: socket.socket, where: int, kind: bytes, sent: bytes, *, until: float) -> bool:
    while (left := until - time.monotonic()) > 0:
        if not select.select([asking], [], [], left)[0]:
            return False
        try:
            found = asking.recv(2048)
        except OSError:
            return False  # unreachable, says somebody on the way
        if where is socket.AF_INET:
            found = found[(found[0] & 0xF) * 4 :]  # raw sockets of IPv4 get the header, too
        if found[:1] == kind and found[4:8] == sent:
            return True
    return False
