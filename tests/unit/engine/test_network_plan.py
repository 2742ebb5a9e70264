"""What becomes of a network that a client asks for."""

from __future__ import annotations

import ipaddress

import pytest

from pouch.engine import network_plan
from pouch.network import subnet
from pouch.spec import errors, network


def asked(**changes: object) -> network.NetworkConfig:
    return network.NetworkConfig(**{"name": "web", **changes})  # type: ignore[arg-type]


def pool(text: str, **changes: object) -> network.Pool:
    return network.Pool(subnet=text, **changes)  # type: ignore[arg-type]


def never(version: int, taken: object) -> str:
    raise AssertionError(f"nothing of IPv{version} is to be chosen")


def test_a_pool_gets_the_first_address_as_its_gateway():
    config = network_plan.check(asked(pools=(pool("10.1.0.0/24"), pool("fd00:1::/64")), ipv6=True))
    assert [one.gateway for one in config.pools] == ["10.1.0.1", "fd00:1::1"]


def test_the_pool_of_ipv4_comes_first_whatever_order_a_client_sends():
    """docker network create keeps its subnets in a Go map: their order is left to chance."""
    config = network_plan.check(asked(pools=(pool("fd00:1::/64"), pool("10.1.0.0/24")), ipv6=True))
    assert [one.subnet for one in config.pools] == ["10.1.0.0/24", "fd00:1::/64"]
    config = network_plan.complete(
        network_plan.check(asked(pools=(pool("fd00:1::/64"),), ipv6=True)),
        [],
        [],
        lambda _version, _taken: "10.1.0.0/24",
    )
    assert [one.subnet for one in config.pools] == ["10.1.0.0/24", "fd00:1::/64"]
    assert network_plan.complete(config, (), (), never) == config


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": ""}, errors.InvalidInput, "invalid name: name is empty"),
        ({"name": "a b"}, errors.InvalidInput, "invalid network name 'a b'"),
        ({"name": "x" * 256}, errors.InvalidInput, "invalid network name"),
        ({"name": "bridge"}, errors.Forbidden, "operation is not permitted on predefined bridge network"),
        ({"name": "default"}, errors.Forbidden, "operation is not permitted on predefined default network"),
        ({"driver": "host"}, errors.Forbidden, 'only one instance of "host" network is allowed'),
        ({"driver": "weave"}, errors.NotFound, 'plugin "weave" not found'),
        ({"driver": "cni"}, errors.NotFound, 'plugin "cni" not found'),
        ({"ipam_driver": "dhcp"}, errors.InvalidInput, "invalid ipam driver 'dhcp'"),
        ({"ipv4": False}, errors.InvalidInput, "IPv4 or IPv6 must be enabled"),
        ({"driver": "macvlan"}, errors.InvalidInput, "needs a parent"),
        ({"driver": "macvlan", "options": {"parent": "e 0"}}, errors.InvalidInput, "option parent"),
        ({"driver": "macvlan", "options": {"parent": "e0", "macvlan_mode": "l2"}}, errors.InvalidInput, "macvlan_mode"),
        ({"options": {network_plan.BRIDGE_NAME: 'x"; flush'}}, errors.InvalidInput, "the name of a network interface"),
        ({"options": {network_plan.BRIDGE_NAME: "x" * 16}}, errors.InvalidInput, "the name of a network interface"),
        ({"options": {network_plan.BRIDGE_NAME: "../x"}}, errors.InvalidInput, "the name of a network interface"),
        ({"options": {network_plan.MTU: "9e9"}}, errors.InvalidInput, "expected a number from 68 to 65535"),
        ({"options": {network_plan.MTU: "67"}}, errors.InvalidInput, "expected a number from 68 to 65535"),
        ({"options": {"com.docker.network.bridge.enable_icc": "maybe"}}, errors.InvalidInput, "expected true or false"),
        ({"pools": (pool("10.1.0.0/24"), pool("10.2.0.0/24"))}, errors.InvalidInput, "one IPv4 subnet is possible"),
        ({"pools": (pool("fd00:1::/64"),)}, errors.InvalidInput, "IPv6 is not enabled"),
        ({"pools": (pool("10.1.0.1/24"),)}, errors.InvalidInput, "has host bits set"),
        ({"pools": (pool("10.1.0.0/31"),)}, errors.InvalidInput, "expected a prefix length from 8 to 30"),
        ({"pools": (pool("127.0.0.0/24"),)}, errors.InvalidInput, "expected one for ordinary hosts"),
        (
            {"pools": (pool("10.1.0.0/24", ip_range="10.2.0.0/25"),)},
            errors.InvalidInput,
            "no matching subnet for range",
        ),
        ({"pools": (pool("10.1.0.0/24", gateway="10.2.0.1"),)}, errors.InvalidInput, "no matching subnet for gateway"),
        (
            {"pools": (pool("10.1.0.0/24", gateway="10.1.0.255"),)},
            errors.InvalidInput,
            "no matching subnet for gateway",
        ),
        (
            {"pools": (pool("10.1.0.0/24", aux_addresses={"r": "r"}),)},
            errors.InvalidInput,
            "aux-address 'r' is no address",
        ),
        (
            {"pools": (pool("10.1.0.0/24", aux_addresses={"r": "10.1.0.1"}),)},
            errors.InvalidInput,
            "10.1.0.1 is the gateway's",
        ),
        ({"pools": (pool(""),)}, errors.InvalidInput, "a pool without a subnet"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(changes, error, message):
    with pytest.raises(error) as caught:
        network_plan.check(asked(**changes))
    assert message in caught.value.message


def test_what_nobody_says_is_chosen_besides_what_is_taken():
    seen = []

    def choose(version: int, taken: list[subnet.Occupied]) -> str:
        seen.append((version, [str(one.network) for one in taken]))
        return "10.9.0.0/16" if version == 4 else "fd00:9::/64"

    other = network.Network(id="1", created="", config=asked(name="one", pools=(pool("10.1.0.0/24"),)))
    host = [subnet.Occupied(ipaddress.ip_network("192.0.2.0/24"), "a route")]
    config = network_plan.complete(network_plan.check(asked(ipv6=True)), [other], host, choose)
    assert [(one.subnet, one.gateway) for one in config.pools] == [
        ("10.9.0.0/16", "10.9.0.1"),
        ("fd00:9::/64", "fd00:9::1"),
    ]
    assert seen == [(4, ["192.0.2.0/24", "10.1.0.0/24"]), (6, ["192.0.2.0/24", "10.1.0.0/24"])]


def test_a_subnet_that_is_somebody_elses_is_refused():
    other = network.Network(id="1", created="", config=asked(name="one", pools=(pool("10.1.0.0/24"),)))
    host = [subnet.Occupied(ipaddress.ip_network("192.0.2.0/24"), "a route through eth0")]
    with pytest.raises(errors.Forbidden, match="Pool overlaps with other one on this address space"):
        network_plan.complete(asked(pools=(pool("10.1.0.128/25"),)), [other], host, never)
    with pytest.raises(errors.Conflict, match=r"subnet 192\.0\.0\.0/16 overlaps 192\.0\.2\.0/24: a route through eth0"):
        network_plan.complete(asked(pools=(pool("192.0.0.0/16"),)), [other], host, never)
    macvlan = asked(driver="macvlan", options={"parent": "eth0"}, pools=(pool("192.0.2.0/24"),))
    assert network_plan.complete(macvlan, [other], host, never) == macvlan


def test_a_device_is_called_as_the_client_says_or_after_the_id():
    assert network_plan.link(asked(), "abcdef0123456789") == "br-abcdef012345"
    assert network_plan.link(asked(options={network_plan.BRIDGE_NAME: "mine"}), "abc") == "mine"
    assert network_plan.link(asked(driver="macvlan", options={"parent": "eth1"}), "abc") == "eth1"


@pytest.mark.parametrize(("text", "found"), [("", ""), ("0.0.0.0", ""), ("127.0.0.1", "127.0.0.1")])
def test_a_network_may_say_where_its_ports_are_published(text, found):
    config = network_plan.check(asked(options={network_plan.HOST_BINDING: text}))
    assert network_plan.host_binding(network.Network(id="a" * 64, created="", config=config)) == found


@pytest.mark.parametrize("text", ["x", "::1", "127.1", "10.0.0.0/8"])
def test_where_ports_are_published_is_an_address(text):
    with pytest.raises(errors.InvalidInput, match="expected an IPv4 address of this host"):
        network_plan.check(asked(options={network_plan.HOST_BINDING: text}))
