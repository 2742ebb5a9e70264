"""Netlink: requests to the kernel and their answers (RFC 3549, netlink(7)), without a library.

A library for this costs 120 ms to import and 17 MiB in the daemon for what is a header and a list of attributes
(docs/decisions/0010-netlink-without-a-library.md). This module knows the wire; what links, addresses and routes are is in
rtnetlink. A socket belongs to the network namespace of the thread that opened it, for as long as it lives.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pouch.spec import errors

ROUTE = socket.NETLINK_ROUTE

REQUEST = 0x01
ACK = 0x04
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_MULTI, _DUMP_INTERRUPTED, _ACK_TLVS = 0x02, 0x10, 0x200
_NESTED, _KIND_MASK = 0x8000, 0x3FFF
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT_CHECK = 270, 10, 11, 12
_EXT_ACK_MESSAGE = 1
_BUFFER = 1 << 17
_SNDBUFFORCE = 32
"""SO_SNDBUFFORCE: beyond net.core.wmem_max, with CAP_NET_ADMIN; the socket module has no name for it."""
_PATIENCE = 10.0
"""Seconds. The kernel answers while the request is being sent; this only keeps a bug from hanging a thread."""
_DUMP_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """One message. `what` names its object in an error, `name` the operation (RTM_NEWLINK)."""

    kind: int
    name: str
    what: str
    payload: bytes
    flags: int = 0
    tolerated: frozenset[int] = frozenset()
    """errnos that count as done (deleting what is gone)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One answer: its type and what follows the header."""

    kind: int
    payload: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def text(kind: int, value: str) -> bytes:
    """A string attribute, ended by NUL."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """An attribute of one byte."""
    return attribute(kind, struct.pack("=B", value))


def u32(kind: int, value: int) -> bytes:
    """An attribute of four bytes in the machine's order."""
    return attribute(kind, struct.pack("=I", value))


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def attributes(payload: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` on, by kind; the last of a kind wins. Stops at what is no attribute."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _KIND_MASK] = payload[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return found


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of one datagram, each its kind and what follows the header; for sockets that only listen."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            break
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += length + (-length % 4)


def string(found: Mapping[int, bytes], kind: int) -> str:
    """A string attribute, "" where it is missing."""
    return found.get(kind, b"").split(b"\0", 1)[0].decode(errors="replace")


def number(found: Mapping[int, bytes], kind: int) -> int:
    """An unsigned attribute in the machine's order, of whatever width; 0 where it is missing."""
    value = found.get(kind, b"")
    return struct.unpack({1: "=B", 2: "=H", 4: "=I", 8: "=Q"}[len(value)], value)[0] if value else 0


class Socket:
    """One netlink socket; a context manager. Not for use by two threads at a time."""

    def __init__(self, protocol: int = ROUTE) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        except OSError as error:
            raise errors.KernelError("socket", "AF_NETLINK", error.errno or 0) from error
        self._sequence = 0
        for option in (_EXT_ACK, _CAP_ACK, _STRICT_CHECK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        self._socket.settimeout(_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; idempotent."""
        self._socket.close()

    def run(self, *requests: Request) -> None:
        """Let the kernel carry out all requests, in order, sent at once. Raises KernelError for the first that failed.

        The kernel goes on after a failed one, so requests that stand on each other all fail, and the first says why.
        """
        pending = self._send(requests, ACK)
        failure: errors.KernelError | None = None
        while pending:
            for sequence, kind, flags, payload in self._receive(requests[0]):
                request = pending.get(sequence)
                if request is None or kind != _ERROR:
                    continue
                del pending[sequence]
                failure = failure or _failure(request, flags, payload)
        if failure:
            raise failure

    def transact(self, begin: Request, requests: Sequence[Request], end: Request) -> None:
        """Let the kernel carry out all requests or none (nfnetlink's batches). Raises KernelError for the first that failed."""
        self._room(sum(len(request.payload) + 64 for request in requests))
        batch = (begin, *requests, end)
        # The first and the last message are answered only where they fail, and an error in the last step (commit) names the first:
        # what is asked for is the answer to the last change, which comes after any of these.
        pending = self._send(batch, 0, acknowledged=len(batch) - 2)
        first, awaited = min(pending), max(pending) - 1
        failure: errors.KernelError | None = None
        while True:
            for sequence, kind, flags, payload in self._receive(begin):
                if kind != _ERROR or sequence not in pending:
                    continue
                failure = failure or _failure(pending[sequence], flags, payload)
                if (failure and sequence == first) or sequence == awaited:
                    if failure:
                        raise failure
                    return

    def _room(self, size: int) -> None:
        """Let a datagram of that size be sent."""
        if size > self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2:
            self._socket.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, size + _BUFFER)

    def get(self, request: Request) -> Message | None:
        """The one answer to a request; None where its errno is a tolerated one."""
        pending = self._send((request,), 0)
        while True:
            for sequence, kind, flags, payload in self._receive(request):
                if sequence not in pending:
                    continue
                if kind != _ERROR:
                    return Message(kind, payload)
                failure = _failure(request, flags, payload)
                if failure:
                    raise failure
                return None

    def dump(self, request: Request) -> list[Message]:
        """All answers to a request for a list; asked again where the list changed while it was read."""
        messages: list[Message] = []
        for _ in range(_DUMP_ATTEMPTS):
            messages, interrupted = self._dump_once(request)
            if not interrupted:
                break
        return messages

    def _dump_once(self, request: Request) -> tuple[list[Message], bool]:
        """What came, and whether it was changed under our reading."""
        pending = self._send((request,), DUMP)
        messages: list[Message] = []
        interrupted = False
        while True:
            for sequence, kind, flags, payload in self._receive(request):
                if sequence not in pending:
                    continue
                interrupted = interrupted or bool(flags & _DUMP_INTERRUPTED)
                if kind == _DONE:
                    return messages, interrupted
                if kind == _ERROR:
                    failure = _failure(request, flags, payload)
                    if failure:
                        raise failure
                    return messages, interrupted
                messages.append(Message(kind, payload))

    def _send(self, requests: Sequence[Request], flags: int, *, acknowledged: int = -1) -> dict[int, Request]:
        """Send them as one datagram; the requests by their sequence numbers. acknowledged: the position of one that asks for it."""
        pending: dict[int, Request] = {}
        data = bytearray()
        for position, request in enumerate(requests):
            self._sequence += 1
            pending[self._sequence] = request
            length = _HEADER.size + len(request.payload)
            more = ACK if position == acknowledged else 0
            data += _HEADER.pack(length, request.kind, REQUEST | request.flags | flags | more, self._sequence, 0)
            data += request.payload + b"\0" * (-length % 4)
        try:
            self._socket.send(data)
        except OSError as error:
            raise errors.KernelError(f"netlink {requests[0].name}", requests[0].what, error.errno or 0) from error
        return pending

    def _receive(self, request: Request) -> Iterator[tuple[int, int, int, bytes]]:
        """The messages of the next datagram: sequence, kind, flags, payload."""
        try:
            data, _, flags, sender = self._socket.recvmsg(_BUFFER)
        except TimeoutError:
            raise errors.Unavailable(f"netlink {request.name} {request.what}: the kernel did not answer") from None
        except OSError as error:
            raise errors.KernelError(f"netlink {request.name}", request.what, error.errno or 0) from error
        if flags & socket.MSG_TRUNC:
            raise errors.CorruptData(f"netlink {request.name} {request.what}: an answer longer than {_BUFFER} bytes")
        if sender[0] != 0:  # any process may send to a netlink socket; only port 0 is the kernel
            return
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, message_flags, sequence, _ = _HEADER.unpack_from(data, offset)
            if length < _HEADER.size:
                break
            yield sequence, kind, message_flags, data[offset + _HEADER.size : offset + length]
            offset += length + (-length % 4)


def _failure(request: Request, flags: int, payload: bytes) -> errors.KernelError | None:
    """The error an acknowledgement carries, with the kernel's own words as hint; None for success and what is tolerated."""
    code = -struct.unpack_from("=i", payload)[0]
    if code == 0 or code in request.tolerated:
        return None
    said = ""
    if flags & _ACK_TLVS:  # with CAP_ACK the request is not repeated: errno, the request's header, attributes
        said = string(attributes(payload, 4 + _HEADER.size), _EXT_ACK_MESSAGE)
    hint = f"the kernel says: {said}" if said else ""
    return errors.KernelError(f"netlink {request.name}", request.what, code, hint=hint)
