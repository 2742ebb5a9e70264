"""The name service as containers ask it: names, aliases, addresses, and what changes while they run."""

from __future__ import annotations

import pytest
from support.places import Answer


def addresses(host, name, network):
    """Both addresses of a container in a network."""
    found = host.daemon.inspect(name)["NetworkSettings"]["Networks"][network]
    return found["IPAddress"], found["GlobalIPv6Address"]


def box(host, network, name, *flags):
    """A container whose questions about other names are refused at once: nobody serves names outside."""
    return host.box("--network", network, "--dns", host.OUTSIDE, *flags, name=name)


@pytest.fixture
def one(host):
    """A network of both families."""
    host.daemon.pouch("network", "create", "--ipv6", "one")


def test_names_aliases_and_ids_are_addresses_of_both_families(host, one):
    id_, _ = box(host, "one", "web", "--network-alias", "service")
    _, asker = box(host, "one", "asker")
    ipv4, ipv6 = addresses(host, "web", "one")
    for name in ("web", "service", "WEB", id_[:12]):
        assert asker.names(name) == [ipv4], name
        assert asker.names(name, "AAAA") == [ipv6], name
    assert any(name.startswith("web") for name in asker.names(ipv4, "PTR"))
    assert any(name.startswith("web") for name in asker.names(ipv6, "PTR"))


def test_programs_find_names(host, one):
    _, web = box(host, "one", "web")
    box(host, "one", "asker")
    with web.serve(80):
        shown = host.daemon.out("exec", "asker", "sh", "-c", "nc web 80 </dev/null || nc $(nslookup -type=a web |"
                                " sed -n 's/^Address: //p' | tail -n 1) 80 </dev/null")  # fmt: skip
    assert shown.startswith("web ")


def test_an_alias_of_several_is_all_of_them(host, one):
    for name in ("first", "second"):
        box(host, "one", name, "--network-alias", "both")
    _, asker = box(host, "one", "asker")
    assert asker.names("both") == sorted(addresses(host, name, "one")[0] for name in ("first", "second"))


def test_a_name_is_known_where_its_network_is_and_nowhere_else(host, one):
    host.daemon.pouch("network", "create", "two")
    box(host, "one", "web")
    _, near = box(host, "one", "near")
    _, far = box(host, "two", "far")
    assert far.names("web") == []
    host.daemon.pouch("network", "connect", "--alias", "guest", "two", "web")
    assert far.names("web") == [addresses(host, "web", "two")[0]]
    assert far.names("guest") == far.names("web")
    assert near.names("guest") == []
    assert near.names("web") == [addresses(host, "web", "one")[0]]
    host.daemon.pouch("network", "disconnect", "two", "web")
    assert far.names("web") == []


def test_a_name_goes_with_its_container_and_comes_again(host, one):
    box(host, "one", "web")
    _, asker = box(host, "one", "asker")
    assert asker.names("web") != []
    host.daemon.pouch("stop", "-t", "0", "web")
    assert asker.names("web") == []
    host.daemon.pouch("start", "web")
    assert asker.names("web") == [addresses(host, "web", "one")[0]]
    host.daemon.pouch("rename", "web", "shop")
    assert asker.names("shop") == [addresses(host, "shop", "one")[0]]


def test_names_are_answered_without_a_daemon_and_by_the_next_one(host, one):
    _, web = box(host, "one", "web")
    _, asker = box(host, "one", "asker")
    address = addresses(host, "web", "one")[0]
    host.daemon.kill()
    try:
        assert asker.names("web") == [address]
        with web.serve(80):
            assert asker.tcp(address, 80) == Answer("web", source=asker_address(asker))
    finally:
        host.daemon.start()
    assert asker.names("web") == [address]
    _, third = box(host, "one", "third")
    assert asker.names("third") == [addresses(host, "third", "one")[0]]
    assert third.names("web") == [address]


def asker_address(place):
    """The IPv4 address of a place's eth0."""
    return place.out("ip", "-4", "-o", "address", "show", "dev", "eth0").split()[3].partition("/")[0]
