"""DNS on the wire: what is read of a query, what is answered, and what answers are believed."""

from __future__ import annotations

import ipaddress
import struct

import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import hypothesis
import pytest
from hypothesis import strategies as some

from pouch.names import message

ADDRESS = bytes((172, 20, 0, 2))


def query(name: str = "web", kind: str = "A", **options) -> message.Query:
    return message.parse(dns.message.make_query(name, kind, id=4711, **options).to_wire())


def read(wire: bytes) -> dns.message.Message:
    return dns.message.from_wire(wire)


def test_a_query_is_read():
    found = query("WEB.Net", "AAAA")
    assert (found.id, found.name, found.type, found.kind) == (4711, b"web.net", message.AAAA, message.INTERNET)
    assert (found.limit, found.edns, found.version) == (512, False, 0)
    assert found.question == b"\x03WEB\x03Net\0\0\x1c\0\1"


@pytest.mark.parametrize(("said", "limit"), [(100, 512), (512, 512), (1232, 1232), (65535, 4096)])
def test_the_size_that_a_client_takes_has_its_bounds(said, limit):
    found = query(use_edns=0, payload=said)
    assert (found.limit, found.edns) == (limit, True)


def test_options_of_a_newer_version_are_seen_and_refused():
    found = query(use_edns=1)
    assert found.version == 1
    assert read(message.failed(found, message.BAD_VERSION)).rcode() == dns.rcode.BADVERS


def test_addresses_are_answered_under_the_same_id_and_question():
    answer = read(message.addressed(query("Web"), [ADDRESS], stream=False))
    assert answer.id == 4711
    assert answer.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA
    assert [rrset.to_text() for rrset in answer.answer] == ["Web. 600 IN A 172.20.0.2"]
    assert answer.edns == -1


def test_options_are_answered_with_options():
    assert read(message.addressed(query(use_edns=0), [], stream=False)).edns == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("edns", [-1, 0])
def test_what_does_not_fit_is_left_out_and_marked(stream, size, edns):
    addresses = [number.to_bytes(size, "big") for number in range(5000)]
    asked = query(use_edns=edns, payload=1000)
    wire = message.addressed(asked, addresses, stream=stream)
    limit = 65535 if stream else asked.limit
    record = 12 + size
    assert limit - record < len(wire) <= limit
    assert bool(read(wire).flags & dns.flags.TC) is True
    assert read(message.addressed(asked, addresses[:10], stream=stream)).flags & dns.flags.TC == 0


def test_the_first_name_that_dns_can_spell_is_shown_for_an_address():
    asked = query("2.0.20.172.in-addr.arpa", "PTR")
    long = "x" * 64
    answer = read(message.pointed(asked, [f"{long}.net", "a..b", "short.net"]))
    assert [rrset[0].to_text() for rrset in answer.answer] == ["short.net."]
    assert read(message.pointed(asked, [long])).answer == []


@pytest.mark.parametrize("text", ["172.20.0.2", "0.0.0.0", "255.255.255.255", "fd00::2", "2001:db8::ffff:1"])
def test_a_reverse_name_is_an_address(text):
    name = str(dns.reversename.from_address(text)).rstrip(".").encode()
    assert message.reverse(name) == ipaddress.ip_address(text).packed


@pytest.mark.parametrize(
    "name",
    [b"", b"web", b"in-addr.arpa", b".in-addr.arpa", b"1.2.3.in-addr.arpa", b"1.2.3.4.5.in-addr.arpa", b"256.1.1.1.in-addr.arpa",
     b"01.1.1.1.in-addr.arpa", b"x.1.1.1.in-addr.arpa", b"1.2.3.ip6.arpa", b"\xff.1.1.1.in-addr.arpa", b"+1.1.1.1.in-addr.arpa",
     b".".join([b"g"] * 32) + b".ip6.arpa", b".".join([b"\xb2"] * 32) + b".ip6.arpa", b".".join([b"10"] * 16) + b".ip6.arpa"],
)  # fmt: skip
def test_no_other_name_is(name):
    assert message.reverse(name) == b""


@pytest.mark.parametrize("answered", [b"", b"\x12", b"\x12\x67" + b"\x80" + b"\0" * 8])
def test_what_is_too_short_to_answer_a_question_does_not(answered):
    assert not message.matches(query(), answered, 0x1267)


def test_an_answer_is_believed_by_id_direction_and_question():
    asked = query("Example.org")
    good = message.numbered(message.addressed(asked, [ADDRESS], stream=False), 99)
    assert message.matches(asked, good, 99)
    assert message.matches(asked, good.replace(b"Example", b"eXAMPLE"), 99), "case is no difference"
    assert not message.matches(asked, good, 98)
    assert not message.matches(asked, good[:2] + b"\x01" + good[3:], 99), "a query"
    assert not message.matches(asked, good[:2] + b"\xa9" + good[3:], 99), "another operation"
    assert not message.matches(asked, good.replace(b"Example", b"Examplf"), 99)
    assert not message.matches(asked, good[: asked.end - 3] + b"\x1c" + good[asked.end - 2 :], 99), "another type"


@pytest.mark.parametrize("code", range(16))
def test_a_server_that_could_not_read_the_question_need_not_repeat_it(code):
    wire = struct.pack("!HHHHHH", 99, 0x8000 | code, 0, 0, 0, 0)
    assert message.matches(query(), wire, 99) is (code in (message.FORMAT_ERROR, message.NOT_IMPLEMENTED))
    assert not message.matches(query(), wire, 98)
    assert not message.matches(query(), wire + b"x", 99)


@pytest.mark.parametrize("code", range(16))
def test_which_codes_let_another_server_be_asked(code):
    wire = message.failed(query(), code)
    assert message.refused(wire) is (code in (2, 4, 5))


@hypothesis.given(some.binary(max_size=600))
def test_any_bytes_are_a_query_or_malformed(wire):
    try:
        found = message.parse(wire)
    except message.MalformedError:
        return
    assert message.addressed(found, [ADDRESS], stream=False)
    assert message.pointed(found, ["a"])


@hypothesis.given(some.data())
def test_a_query_with_some_bytes_changed_is_a_query_or_malformed(data):
    kind = data.draw(some.sampled_from(["A", "AAAA", "PTR", "ANY", "SRV"]))
    wire = bytearray(dns.message.make_query("some.longer.example", kind, use_edns=0, want_dnssec=True).to_wire())
    for _ in range(data.draw(some.integers(1, 6))):
        place = data.draw(some.integers(0, len(wire) - 1))
        wire[place] = data.draw(some.integers(0, 255))
    try:
        found = message.parse(bytes(wire))
    except message.MalformedError:
        return
    assert len(found.name) <= 255
    answer = message.addressed(found, [ADDRESS], stream=False)
    assert answer[:2] == wire[:2]
    assert answer[2] & 0x80


@pytest.mark.parametrize(
    "tail",
    [b"\xc0\x0c\0\1\0\1", b"\xc0\x0e" * 200, b"\x3f" + b"a" * 63, (b"\x3f" + b"a" * 63) * 5 + b"\0", b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
     b"\x80abc", b"\xff\xff\0\1\0\1", b"\x03web\0\0\1"],
    ids=range(8),
)  # fmt: skip
def test_names_that_are_none_are_malformed(tail):
    """Loops, pointers forward, labels and names that are too long, ends."""
    with pytest.raises(message.MalformedError) as raised:
        message.parse(struct.pack("!HHHHHH", 9, 0x0100, 1, 0, 0, 0) + tail)
    assert read(raised.value.answer).rcode() == dns.rcode.FORMERR
