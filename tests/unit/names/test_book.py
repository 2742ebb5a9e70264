"""Who is called what in which network."""

from __future__ import annotations

import ipaddress

import dns.message
import hypothesis
import pytest
from hypothesis import strategies as some

from pouch.names import book as books
from pouch.names import message

V4, V6 = (4,), (16,)


def packed(*addresses: str) -> list[bytes]:
    return [ipaddress.ip_address(one).packed for one in addresses]


def place(network: str, *names: str, addresses: tuple[str, ...] = ()) -> books.Member:
    return books.member(network, network, names, addresses)


def entry(owner: str, *members: books.Member) -> books.Entry:
    return books.Entry(id=owner, members=members)


@pytest.fixture
def book() -> books.Book:
    return books.Book()


def test_a_name_is_found_in_all_networks_of_the_asker_in_their_order(book):
    asker = entry("asker", place("front"), place("back"))
    book.put(asker)
    book.put(entry("one", place("back", "db", addresses=("10.2.0.1",))))
    assert book.addresses(asker, b"db", V4) == packed("10.2.0.1")
    book.put(entry("two", place("front", "db", addresses=("10.1.0.1",))))
    assert book.addresses(asker, b"db", V4) == packed("10.1.0.1")


def test_a_network_without_such_an_address_leaves_it_to_the_next(book):
    asker = entry("asker", place("front"), place("back"))
    book.put(asker)
    book.put(entry("one", place("front", "db", addresses=("10.1.0.1",)), place("back", "db", addresses=("fd00::1",))))
    assert book.addresses(asker, b"db", V6) == packed("fd00::1")
    assert book.addresses(asker, b"db", ()) == [], "known, but without any"


def test_what_is_in_another_network_is_unknown(book):
    asker = entry("asker", place("front"))
    book.put(asker)
    book.put(entry("one", place("back", "db", addresses=("10.2.0.1",))))
    assert book.addresses(asker, b"db", V4) is None
    assert book.addresses(asker, b"db.back", V4) is None
    assert book.names(asker, packed("10.2.0.1")[0]) is None


def test_name_and_network_joined_are_a_name_as_long_as_no_name_is_the_same(book):
    asker = entry("asker", place("net"))
    book.put(asker)
    book.put(entry("one", place("net", "db", addresses=("10.1.0.1",))))
    assert book.addresses(asker, b"db.net", V4) == packed("10.1.0.1")
    book.put(entry("two", place("net", "db.net", addresses=("10.1.0.2",))))
    assert book.addresses(asker, b"db.net", V4) == packed("10.1.0.2")


def test_a_shared_name_has_all_addresses_each_first_in_its_turn(book):
    asker = entry("asker", place("net"))
    book.put(asker)
    for number in range(3):
        book.put(entry(f"c{number}", place("net", f"c{number}", "all", addresses=(f"10.1.0.{number}",))))
    answers = [book.addresses(asker, b"all", V4) for _ in range(3)]
    assert {tuple(sorted(one)) for one in answers} == {tuple(packed("10.1.0.0", "10.1.0.1", "10.1.0.2"))}
    assert len({one[0] for one in answers}) == 3
    book.drop("c1")
    assert set(book.addresses(asker, b"all", V4)) == set(packed("10.1.0.0", "10.1.0.2"))


def test_an_address_leads_to_the_names_of_who_has_it_now(book):
    asker = entry("asker", place("net"))
    book.put(asker)
    book.put(entry("old", place("net", "old", addresses=("10.1.0.1",))))
    book.put(entry("new", place("net", "new", "alias", addresses=("10.1.0.1",))))
    book.drop("old")
    assert book.names(asker, packed("10.1.0.1")[0]) == ["new.net", "alias.net"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("A", ["10.1.0.1"]),
        ("AAAA", ["fd00::1"]),
        ("ANY", ["10.1.0.1", "fd00::1"]),
        ("MX", []),
        ("HTTPS", []),
        ("TXT", []),
    ],
)
def test_each_type_of_a_known_name_is_answered(book, kind, said):
    asker = entry("asker", place("net", "web", addresses=("10.1.0.1", "fd00::1")))
    book.put(asker)
    answer = books.answer(book, asker, message.parse(dns.message.make_query("WEB", kind).to_wire()), stream=False)
    found = dns.message.from_wire(answer)
    assert found.rcode() == 0
    assert sorted(item.to_text() for rrset in found.answer for item in rrset) == said


def test_what_is_not_of_the_internet_class_is_not_ours(book):
    asker = entry("asker", place("net", "web", addresses=("10.1.0.1",)))
    book.put(asker)
    asked = message.parse(dns.message.make_query("web", "A", "CH").to_wire())
    assert books.answer(book, asker, asked, stream=False) is None


@pytest.mark.parametrize("address", ["nowhere", "10.1.0", "10.1.0.1/24", "fd00::1%eth0x/3"])
def test_a_member_has_addresses_or_none(address):
    with pytest.raises(ValueError):
        books.member("n", "n", [], [address])


_OWNERS, _NETS, _NAMES = "abc", ("n1", "n2"), ("web", "db", "web.n1")


@hypothesis.given(
    some.lists(
        some.tuples(
            some.sampled_from(_OWNERS),
            some.dictionaries(
                some.sampled_from(_NETS), some.tuples(some.sets(some.sampled_from(_NAMES)), some.integers(1, 4))
            ),
            some.booleans(),
        )
    )
)
def test_after_any_changes_it_is_as_if_only_the_last_had_been_written(changes):
    """And nothing is left of what has gone."""
    grown, now = books.Book(), {}
    for owner, nets, gone in changes:
        if gone:
            grown.drop(owner)
            now.pop(owner, None)
            continue
        now[owner] = entry(
            owner,
            *(place(net, *sorted(names), addresses=(f"10.0.0.{number}",)) for net, (names, number) in nets.items()),
        )
        grown.put(now[owner])
    fresh = books.Book()
    for one in now.values():
        fresh.put(one)
    asker = entry("asker", place("n1"), place("n2"))
    grown.put(asker)
    fresh.put(asker)
    for name in (*_NAMES, "web.n2", "nobody"):
        for kinds in (V4, V6):
            left, right = (one.addresses(asker, name.encode(), kinds) for one in (grown, fresh))
            assert (left is None, set(left or ())) == (right is None, set(right or ()))
    for owner in (*_OWNERS, "asker"):
        grown.drop(owner)
    assert not grown.entries
    assert not grown._networks
