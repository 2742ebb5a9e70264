"""Asking and answering from any network namespace of the guest, without a process: a socket stays in the namespace it was made in."""

from __future__ import annotations

import contextlib
import ctypes
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

HOST = ""
"""The guest's own namespace."""
PATIENCE = 15.0
"""Seconds for an answer that has to come: emulation is slow."""
SHORT = 3.0
"""Seconds after which an answer that must not come has not come."""
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_A, _AAAA = 1, 28
_CHUNK = bytes(1 << 16)


def within(place: str, act: Callable[[], Any]) -> Any:
    """What `act` returns or raises, in a thread of that namespace (a path, or HOST)."""
    if place == HOST:
        return act()
    result: list[Any] = []

    def run() -> None:
        try:
            with open(place, "rb") as file:
                if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {place}")
            result.append((act(), None))
        except Exception as error:
            result.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    found, failure = result[0]
    if failure is not None:
        raise failure
    return found


def ask(place: str, address: str, port: int, *, seconds: float = PATIENCE) -> str:
    """`NAME SOURCE` as `serving` says it; what went wrong otherwise."""

    def connect() -> str:
        with socket.create_connection((address, port), timeout=seconds) as one:
            return one.makefile("r").readline().strip()

    try:
        return within(place, connect)
    except OSError as error:
        return f"no: {error}"


@contextlib.contextmanager
def serving(place: str, port: int, name: str) -> Iterator[None]:
    """A TCP server on all addresses of both families: tells its name and the asker's address, then takes what comes until the end."""

    def answer(one: socket.socket, source: str) -> None:
        with one, contextlib.suppress(OSError):
            one.sendall(f"{name} {source.removeprefix('::ffff:')}\n".encode())
            while data := one.recv(1 << 16):
                if data.startswith(b"more"):
                    one.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, source = listener.accept()
                threading.Thread(target=answer, args=(one, source[0]), daemon=True).start()

    listener = within(place, lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # ends accept
        listener.close()
        thread.join()


def opened(place: str, address: str, port: int) -> socket.socket:
    """A connection to `serving`, whose greeting was read: `goes_on` asks whether it still lives."""
    one = within(place, lambda: socket.create_connection((address, port), timeout=PATIENCE))
    while one.recv(1) not in (b"\n", b""):
        pass
    return one


def goes_on(one: socket.socket) -> bool:
    """Whether what is sent comes back."""
    with contextlib.suppress(OSError):
        one.sendall(b"more")
        return one.recv(16) == b"more"
    return False


def rate(place: str, address: str, port: int, *, size: int) -> float:
    """Mbit/s at which `receiving` got that many bytes from this place."""
    one = within(place, lambda: socket.create_connection((address, port), timeout=PATIENCE))
    with one:
        one.settimeout(60)
        began = time.monotonic()
        for _ in range(size // len(_CHUNK)):
            one.sendall(_CHUNK)
        one.shutdown(socket.SHUT_WR)
        one.makefile("rb").read()  # it has all when it closes
        return size * 8 / 1e6 / (time.monotonic() - began)


def query(
    place: str, name: str, *, ipv6: bool = False, server: str = "127.0.0.11", seconds: float = PATIENCE
) -> list[str]:
    """Addresses that a name server answers with, asked by UDP; `["code N"]` for a refusal, `["none"]` for silence."""
    number = random.randrange(1 << 16)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    kind = _AAAA if ipv6 else _A
    packet = struct.pack(">6H", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)

    def exchange() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(seconds)
            one.connect((server, 53))
            one.send(packet)
            return one.recv(1500)

    try:
        answer = within(place, exchange)
    except OSError:
        return ["none"]
    return _addresses(answer, len(packet), kind)


def _addresses(answer: bytes, at: int, kind: int) -> list[str]:
    """Those in an answer whose records begin there. Names in it are pointers or whole."""
    _, flags, _, count, _, _ = struct.unpack(">6H", answer[:12])
    if flags & 15:
        return [f"code {flags & 15}"]
    found = []
    for _ in range(count):
        while answer[at] and answer[at] < 192:
            at += 1 + answer[at]
        at += 2 if answer[at] >= 192 else 1
        what, _, _, length = struct.unpack(">HHIH", answer[at : at + 10])
        data = answer[at + 10 : at + 10 + length]
        if what == kind:
            found.append(socket.inet_ntop(socket.AF_INET6 if kind == _AAAA else socket.AF_INET, data))
        at += 10 + length
    return sorted(found)


@contextlib.contextmanager
def name_server(place: str, address: str, names: dict[str, str]) -> Iterator[list[str]]:
    """A DNS server on UDP for these names (IPv4) and no others; yields who asked."""
    askers: list[str] = []

    def answer(data: bytes) -> bytes:
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        question = data[12 : at + 5]
        known = names.get(".".join(labels))
        given = known is not None and question[-4:-2] == struct.pack(">H", _A)
        head = data[:2] + struct.pack(">5H", 0x8180 if known else 0x8183, 1, int(given), 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, _A, 1, 5, 4) + socket.inet_aton(known) if known and given else b""
        return head + question + record

    def serve() -> None:
        while True:
            data, source = one.recvfrom(1500)
            if data == b"end":
                return
            askers.append(source[0])
            one.sendto(answer(data), source)

    one = within(place, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    one.bind((address, 53))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield askers
    finally:
        within(place, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", (address, 53)))
        thread.join()
        one.close()


def of(pid: int) -> str:
    """A process's namespace."""
    return f"/proc/{pid}/ns/net"
