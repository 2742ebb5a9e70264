"""DNS messages (RFC 1035): the question of a query, and our own answers. The only user of dnspython.

Only the header, the question and the sizes of what follows are read, by dnspython's bounds-checked parser; what others answer is
passed on as bytes. Names are keys: lower-case labels joined by dots, without the last dot, as bytes.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.wire

A, PTR, OPT, AAAA, ANY = 1, 12, 41, 28, 255
INTERNET = 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NOT_IMPLEMENTED, REFUSED, BAD_VERSION = 0, 1, 2, 4, 5, 16
TTL = 600
"""Seconds, as Docker's."""
LARGEST_QUERY = 4096
"""Bytes; a query has one name of at most 255, and options."""
SMALLEST_LIMIT = 512
"""Bytes that any client takes by UDP (RFC 1035, 4.2.1)."""
LARGEST_LIMIT = 4096
"""Bytes that we send by UDP to a client that says it takes as many or more."""

LARGEST_MESSAGE = 65535

_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_MOST_EXTRAS = 16
"""Records behind the question of a query that are looked through for its options."""
_OPTION_SIZE = 11
_NAME_OF_QUESTION = b"\xc0\x0c"
"""A pointer to the question's name, which stands behind the header."""
_IP4, _IP6 = b".in-addr.arpa", b".ip6.arpa"


class MalformedError(Exception):
    """These bytes are no query. answer: what to say to it, b"" for nothing."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__("no query")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Query:
    """A query with one question. wire: as it came; end: where its question ends; limit: bytes of an answer by UDP.

    edns: whether it has options (RFC 6891), and so the answer; version: theirs.
    """

    wire: bytes
    id: int
    flags: int
    name: bytes
    type: int
    kind: int
    """Its class."""
    end: int
    limit: int
    edns: bool
    version: int

    @property
    def question(self) -> bytes:
        """The question's bytes."""
        return self.wire[_HEADER.size : self.end]


def parse(wire: bytes) -> Query:
    """Read a query. Raises MalformedError for what is none: a response (which is never answered), several questions, bad names ..."""
    if len(wire) < _HEADER.size:
        raise MalformedError
    number, flags, questions, answers, authorities, extras = _HEADER.unpack_from(wire)
    if flags & _RESPONSE:
        raise MalformedError
    if flags & _OPCODE:
        raise MalformedError(_bare(number, flags, NOT_IMPLEMENTED))
    if questions != 1 or answers or len(wire) > LARGEST_QUERY:
        raise MalformedError(_bare(number, flags, FORMAT_ERROR))
    try:
        parser = dns.wire.Parser(wire, _HEADER.size)
        name = parser.get_name()
        kind_of_record, kind = parser.get_struct("!HH")
        end = parser.current
        size = _options(parser, authorities, extras)
    except (dns.exception.DNSException, ValueError, struct.error):
        raise MalformedError(_bare(number, flags, FORMAT_ERROR)) from None
    limit, version = (SMALLEST_LIMIT, 0) if size is None else size
    return Query(
        wire=wire,
        id=number,
        flags=flags,
        name=b".".join(name.labels[:-1]).lower(),
        type=kind_of_record,
        kind=kind,
        end=end,
        limit=min(max(limit, SMALLEST_LIMIT), LARGEST_LIMIT),
        edns=size is not None,
        version=version,
    )


def _options(parser: dns.wire.Parser, authorities: int, extras: int) -> tuple[int, int] | None:
    """Size and version in a query's OPT record; None where it has none."""
    if not extras or authorities + extras > _MOST_EXTRAS:
        return None
    found = None
    for _ in range(authorities + extras):
        owner = parser.get_name()
        kind, size, lifetime, length = parser.get_struct("!HHIH")
        parser.get_bytes(length)
        if kind == OPT and owner == dns.name.root:
            found = (size, lifetime >> 16 & 0xFF)
    return found


def matches(query: Query, wire: bytes, number: int) -> bool:
    """Whether these bytes, which came from a server, answer the query that was sent to it under `number`: same id, same question."""
    if len(wire) < _HEADER.size:
        return False
    found, flags, questions, *_ = _HEADER.unpack_from(wire)
    if found != number or not flags & _RESPONSE or flags & _OPCODE:
        return False
    if not questions and len(wire) == _HEADER.size:  # an old server that could not read it, for its options
        return flags & 0xF in (FORMAT_ERROR, NOT_IMPLEMENTED)
    return (
        questions == 1 and len(wire) >= query.end and wire[_HEADER.size : query.end].lower() == query.question.lower()
    )


def refused(wire: bytes) -> bool:
    """Whether a server's answer says that it cannot tell, and another one may be asked."""
    return wire[3] & 0xF in (SERVER_FAILURE, NOT_IMPLEMENTED, REFUSED)


def numbered(wire: bytes, number: int) -> bytes:
    """The message under another id."""
    return number.to_bytes(2, "big") + wire[2:]


def addressed(query: Query, addresses: Sequence[bytes], *, stream: bool) -> bytes:
    """The answer with these addresses (4 or 16 bytes each), which may be none: the name is known, and has none of this type.

    By UDP as many as fit, marked as truncated where that is not all: some resolvers never ask again by TCP.
    """
    limit = (LARGEST_MESSAGE if stream else query.limit) - query.end - (_OPTION_SIZE if query.edns else 0)
    records: list[bytes] = []
    for address in addresses:
        record = _record(AAAA if len(address) == 16 else A, address)
        limit -= len(record)
        if limit < 0:
            return _answer(query, records, flags=_TRUNCATED)
        records.append(record)
    return _answer(query, records)


def pointed(query: Query, names: Iterable[str]) -> bytes:
    """The answer to a reverse question: the first of these names that DNS can spell. A container's may be longer than a label."""
    for text in names:
        try:
            return _answer(query, [_record(PTR, dns.name.Name([*text.encode().split(b"."), b""]).to_wire() or b"")])
        except dns.exception.DNSException:
            continue
    return _answer(query, ())


def failed(query: Query, code: int) -> bytes:
    """The answer with this code and nothing else."""
    return _answer(query, (), code=code)


def reverse(name: bytes) -> bytes:
    """The address that a name below in-addr.arpa or ip6.arpa stands for, 4 or 16 bytes; b"" for any other."""
    try:
        if name.endswith(_IP4):
            parts = name.removesuffix(_IP4).decode("ascii").split(".")
            return ipaddress.IPv4Address(".".join(reversed(parts))).packed
        if name.endswith(_IP6):
            digits = name.removesuffix(_IP6).split(b".")
            whole = len(digits) == 32 and all(len(digit) == 1 for digit in digits)
            return bytes.fromhex(b"".join(reversed(digits)).decode("ascii")) if whole else b""
    except ValueError:
        pass
    return b""


def _answer(query: Query, records: Sequence[bytes], *, code: int = NO_ERROR, flags: int = 0) -> bytes:
    flags |= _RESPONSE | _RECURSION_AVAILABLE | query.flags & _RECURSION_DESIRED | code & 0xF
    options = _option(code) if query.edns else b""
    head = _HEADER.pack(query.id, flags, 1, len(records), 0, 1 if options else 0)
    return b"".join((head, query.question, *records, options))


def _record(kind: int, data: bytes) -> bytes:
    return _NAME_OF_QUESTION + struct.pack("!HHIH", kind, INTERNET, TTL, len(data)) + data


def _option(code: int) -> bytes:
    return struct.pack("!BHHIH", 0, OPT, LARGEST_LIMIT, (code >> 4) << 24, 0)


def _bare(number: int, flags: int, code: int) -> bytes:
    """An answer without the question, which could not be read."""
    return _HEADER.pack(number, _RESPONSE | flags & (_OPCODE | _RECURSION_DESIRED) | code, 0, 0, 0, 0)
