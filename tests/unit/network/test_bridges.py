"""What of networks' devices and endpoints needs no kernel."""

from __future__ import annotations

import ipaddress

import pytest
from support import wiring

from pouch.network import addressing, bridges, inside, links
from pouch.spec import errors, network


def test_the_mac_address_follows_from_the_address_as_dockers_does():
    assert bridges.mac_address(ipaddress.IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"


def test_the_mac_address_of_a_container_with_ipv6_alone_follows_from_that():
    first, second = (bridges.mac_address(ipaddress.IPv6Address(f"fd00::{n}")) for n in (2, 3))
    assert first == bridges.mac_address(ipaddress.IPv6Address("fd00::2")) != second
    assert addressing.check_mac(first) == first


def test_the_link_local_address_follows_from_the_mac_address():
    assert str(inside.link_local("02:42:ac:11:00:02")) == "fe80::42:acff:fe11:2/64"


def test_a_host_link_is_named_by_as_much_of_the_id_as_the_kernel_takes():
    assert bridges.host_link("0123456789abcdef" * 4) == "veth0123456789a"
    assert bridges.is_host_link(bridges.host_link("0" * 64))


@pytest.mark.parametrize(
    "name", ["veth0", "vethbyhand", "eth0", "br-123456789abc", "veth0123456789ab", "vethABCDEFABCDE"]
)
def test_other_links_have_other_names(name):
    assert not bridges.is_host_link(name)


def test_a_bridge_is_named_by_the_client_or_the_id():
    config = network.NetworkConfig(name="web")
    assert links.device_name("0123456789abcdef", config) == "br-0123456789ab"
    assert links.device_name("0" * 64, wiring.changed(config, options={bridges.NAME: "web0"})) == "web0"


def test_drivers_without_a_device_have_no_name_for_it():
    for driver in (network.Driver.HOST, network.Driver.NULL, network.Driver.CNI):
        assert links.device_name("0" * 64, network.NetworkConfig(name="x", driver=driver)) == ""


@pytest.mark.parametrize(
    "name", ["sixteen-letters-", "a b", "a/b", 'x"; flush ruleset', "a\nb", "{", "ü", "a\0b", ".."]
)
def test_a_bridge_name_that_is_none_for_an_interface_or_a_script_is_refused(name):
    config = network.NetworkConfig(name="web", options={bridges.NAME: name})
    with pytest.raises(errors.InvalidInput, match="is no name for a"):
        links.device_name("0" * 64, config)


@pytest.mark.parametrize("gateway", ["10.0.0.1", "fd00::1", "nonsense"])
def test_a_gateway_outside_its_subnet_is_refused(gateway):
    one = wiring.make_network("br-web", "172.29.0.0/24")
    pool = wiring.changed(one.config.pools[0], gateway=gateway)
    wrong = wiring.changed(one, config=wiring.changed(one.config, pools=(pool,)))
    with pytest.raises(errors.InvalidInput, match="network br-web: gateway"):
        bridges.Bridge.of(wrong, mtu=1500)


def test_the_smallest_networks_have_all_their_addresses():
    pair = wiring.make_network("br-pair", "172.29.0.0/31")
    assert str(addressing.check_address(pair, "172.29.0.0", 4)) == "172.29.0.0/31"
    with pytest.raises(errors.InvalidInput, match="has it for itself"):
        addressing.check_address(pair, "172.29.0.1", 4)
