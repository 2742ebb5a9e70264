"""Networks and addresses as noted: none is given twice, none is lost."""

from __future__ import annotations

import ipaddress
import itertools
import random
import sqlite3
import time

import pytest

from pouch.spec import errors
from pouch.store import db

SUBNET = "10.88.0.0/29"
SUBNET6 = "fd00:1::/64"


@pytest.fixture
def database(tmp_path):
    opened = db.Database(str(tmp_path / "pouch.db"))
    yield opened
    opened.close()


def add(database: db.Database, *names: str) -> None:
    for name in names:
        database.insert_container(name, f"name-{name}", 1, b"")


def network(database: db.Database, name: str = "net", subnet: str = SUBNET, reserved: tuple[str, ...] = ()) -> str:
    gateway = str(ipaddress.ip_network(subnet)[1])
    database.insert_network(name, name, 1, b"{}", pools=[db.PoolRow(subnet, (gateway, *reserved))])
    return name


def ask(database: db.Database, container: str, name: str = "net", subnet: str = SUBNET, **more: str) -> str:
    (given,) = database.reserve_addresses(container, [db.AddressRequest(name, subnet, **more)])
    return given


def free(database: db.Database, name: str = "net") -> list[tuple[str, str]]:
    with database._transaction() as run:
        rows = run.execute(
            "SELECT first, last FROM free_addresses WHERE network = ? ORDER BY first", (name,)
        ).fetchall()
    return [(str(ipaddress.ip_address(first)), str(ipaddress.ip_address(last))) for first, last in rows]


def test_the_lowest_free_address_is_given_and_none_that_is_reserved(database):
    add(database, *"abcdef")
    network(database, reserved=("10.88.0.3",))
    assert [ask(database, name) for name in "abcd"] == ["10.88.0.2", "10.88.0.4", "10.88.0.5", "10.88.0.6"]
    with pytest.raises(
        errors.Unavailable, match=r"no available IPv4 addresses on this network's address pools: net \(10"
    ):
        ask(database, "e")


def test_a_container_keeps_its_address_and_gives_it_back(database):
    add(database, *"abc")
    network(database)
    assert [ask(database, name) for name in "aab"] == ["10.88.0.2", "10.88.0.2", "10.88.0.3"]
    assert database.addresses("net") == [
        db.AddressRow("net", "10.88.0.2", "a"),
        db.AddressRow("net", "10.88.0.3", "b"),
    ]
    database.release_addresses("a")
    database.release_addresses("a")
    assert ask(database, "c") == "10.88.0.2"


def test_free_ranges_are_whole_again_when_all_is_given_back(database):
    add(database, *"abcde")
    network(database)
    whole = free(database)
    for order in ("abcde", "edcba", "cabed", "bdace"):
        for name in "abcde":
            ask(database, name)
        assert free(database) == []
        for name in order:
            database.release_addresses(name)
        assert free(database) == whole == [("10.88.0.2", "10.88.0.6")]


def test_a_wanted_address_is_given_to_one(database):
    add(database, *"abc")
    network(database)
    assert ask(database, "a", wanted="10.88.0.5") == "10.88.0.5"
    assert ask(database, "a", wanted="10.88.0.5") == "10.88.0.5"
    with pytest.raises(errors.Forbidden, match=r"Address already in use: 10\.88\.0\.5"):
        ask(database, "b", wanted="10.88.0.5")
    with pytest.raises(errors.Forbidden, match="Address already in use"):
        ask(database, "b", wanted="10.88.0.1")
    assert ask(database, "a", wanted="10.88.0.4") == "10.88.0.4"
    assert free(database) == [("10.88.0.2", "10.88.0.3"), ("10.88.0.5", "10.88.0.6")]


def test_addresses_come_from_the_range_and_wanted_ones_from_all_of_the_subnet(database):
    add(database, *"abcd")
    network(database, subnet="10.88.0.0/24")
    asked = {"subnet": "10.88.0.0/24", "within": "10.88.0.64/30"}
    assert [ask(database, name, **asked) for name in "abc"] == ["10.88.0.64", "10.88.0.65", "10.88.0.66"]
    assert ask(database, "d", **asked) == "10.88.0.67"
    add(database, "e")
    with pytest.raises(errors.Unavailable, match=r"10\.88\.0\.64/30"):
        ask(database, "e", **asked)
    assert ask(database, "e", **asked, wanted="10.88.0.9") == "10.88.0.9"


def test_both_families_are_given_or_none(database):
    add(database, *"abcdef")
    database.insert_network(
        "net", "net", 1, b"{}", pools=[db.PoolRow(SUBNET, ("10.88.0.1",)), db.PoolRow(SUBNET6, ("fd00:1::1",))]
    )
    both = [db.AddressRequest("net", SUBNET6), db.AddressRequest("net", SUBNET)]
    assert database.reserve_addresses("a", both) == ("fd00:1::2", "10.88.0.2")
    for name in "bcde":
        database.reserve_addresses(name, both)
    with pytest.raises(errors.Unavailable):
        database.reserve_addresses("f", both)
    assert len(database.addresses("net")) == 10
    assert free(database) == [("fd00:1::7", "fd00:1::ffff:ffff:ffff:ffff")]


def test_two_networks_do_not_share_addresses(database):
    add(database, "a", "b")
    network(database, "one")
    network(database, "two")
    assert ask(database, "a", "one") == ask(database, "b", "two") == "10.88.0.2"
    database.release_addresses("a", "two")
    assert [row.network for row in database.addresses()] == ["one", "two"]


def test_an_address_needs_a_container_and_a_network(database):
    network(database)
    with pytest.raises(errors.Conflict):
        ask(database, "nobody")
    add(database, "a")
    with pytest.raises(errors.NotFound, match="network other not found"):
        ask(database, "a", "other")
    assert free(database) == [("10.88.0.2", "10.88.0.6")]


def test_deleting_a_container_gives_its_addresses_back(database):
    add(database, "a")
    network(database)
    ask(database, "a")
    database.delete_container("a")
    assert free(database) == [("10.88.0.2", "10.88.0.6")]


def test_a_name_is_of_one_network(database):
    network(database)
    with pytest.raises(errors.Conflict, match="network with name net already exists"):
        database.insert_network("other", "net", 1, b"")


def test_a_network_with_addresses_is_not_doomed(database):
    add(database, "a", "b")
    network(database)
    ask(database, "a")
    assert database.doom_network("net") == ("a",)
    with pytest.raises(errors.Conflict, match="active endpoints"):
        database.delete_network("net")
    database.release_addresses("a")
    assert database.doom_network("net") == ()
    with pytest.raises(errors.NotFound, match="network net not found"):
        ask(database, "b")
    assert [row.doomed for row in database.networks()] == [True]
    database.spare_network("net")
    assert ask(database, "b") == "10.88.0.2"
    database.release_addresses("b")
    database.delete_network("net")
    assert database.networks() == []
    assert free(database) == []


def test_a_network_whose_pool_changes_keeps_what_still_fits(database):
    add(database, "a", "b")
    network(database)
    ask(database, "a", wanted="10.88.0.4")
    database.change_network("net", b"new", pools=[db.PoolRow(SUBNET, ("10.88.0.2",))])
    assert free(database) == [("10.88.0.1", "10.88.0.1"), ("10.88.0.3", "10.88.0.3"), ("10.88.0.5", "10.88.0.6")]
    database.change_network("net", b"new", pools=[db.PoolRow("10.89.0.0/29")])
    assert database.addresses("net") == []
    assert database.networks()[0].record == b"new"
    with pytest.raises(errors.NotFound):
        database.change_network("none", b"", pools=[])


def test_any_order_of_taking_and_giving_back_leaves_neither_a_loss_nor_a_double(database):
    chance = random.Random(7)
    names = [f"c{number}" for number in range(40)]
    add(database, *names)
    network(database, subnet="10.88.0.0/27")
    owned: dict[str, str] = {}
    for _ in range(400):
        name = chance.choice(names)
        if name in owned:
            database.release_addresses(name)
            del owned[name]
        elif len(owned) < 29:
            lowest = next(a for a in range(2, 31) if f"10.88.0.{a}" not in owned.values())
            owned[name] = ask(database, name, subnet="10.88.0.0/27")
            assert owned[name] == f"10.88.0.{lowest}"
    assert {row.address for row in database.addresses("net")} == set(owned.values())
    ranges = [(ipaddress.ip_address(first), ipaddress.ip_address(last)) for first, last in free(database)]
    assert sum(int(last) - int(first) + 1 for first, last in ranges) == 29 - len(owned)
    assert all(last + 1 < following for (_, last), (following, _) in itertools.pairwise(ranges))


def test_a_full_subnet_is_not_searched(database):
    """The work for one address does not grow with the addresses that are given: 60,000 of a /16, and the next."""
    add(database, "many", "one")
    network(database, subnet="10.88.0.0/16")
    base = int(ipaddress.ip_address("10.88.0.2"))
    with database._transaction() as run:
        rows = [("net", "10.88.0.0/16", (base + n).to_bytes(4, "big"), "many") for n in range(60_000)]
        run.executemany("INSERT INTO addresses VALUES (?, ?, ?, ?)", rows)
    database.change_network("net", b"", pools=[db.PoolRow("10.88.0.0/16", ("10.88.0.1",))])
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    database._connection.set_progress_handler(count, 10)
    began = time.monotonic()
    assert ask(database, "one", subnet="10.88.0.0/16") == str(ipaddress.ip_address(base + 60_000))
    database.release_addresses("one")
    assert steps < 300, f"{steps * 10} steps of the database in {time.monotonic() - began} s"


def test_addresses_of_an_earlier_version_are_taken_over(tmp_path):
    path = str(tmp_path / "old.db")
    raw = sqlite3.connect(path, isolation_level=None)
    for number, script in enumerate(db._steps()[:2], start=1):
        raw.executescript(script)
        raw.execute(f"PRAGMA user_version = {number}")
    raw.execute(f"PRAGMA application_id = {db.APPLICATION_ID}")
    for name, address in (("a", "10.88.0.2"), ("b", "10.99.0.2")):
        raw.execute("INSERT INTO containers (id, name, created, record) VALUES (?, ?, 1, '{}')", (name, name))
        raw.execute("INSERT INTO addresses VALUES ('pouch0', ?, ?)", (address, name))
    raw.close()
    opened = db.Database(path)
    network(opened)
    opened.adopt_addresses("pouch0", "net", SUBNET)
    opened.adopt_addresses("pouch0", "net", SUBNET)
    assert opened.addresses() == [db.AddressRow("net", "10.88.0.2", "a")]
    assert ask(opened, "b") == "10.88.0.3"
    opened.delete_container("a")
    opened.close()
