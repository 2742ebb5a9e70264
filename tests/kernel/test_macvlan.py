"""macvlan networks on the real kernel: a container's interface stands on a link of the host, in namespaces made for the test."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator

import pytest
from support import kernel, network, wiring

from pouch.network import bridges
from pouch.spec import errors
from pouch.spec import network as spec

LAN = "203.0.113.0/24"
WORLD = str(network.WORLD.ip)


@functools.cache
def macvlans() -> str:
    """Why this kernel cannot make a macvlan; "" when it can."""
    try:
        with network.make_host() as host:
            wiring.Wiring(host).simple(lan(), "203.0.113.9")
    except (errors.PouchError, OSError) as error:
        return str(error).replace("\n", " ")
    return ""


def lan(name: str = "lan", **options: str) -> spec.Network:
    """A network on the host's uplink, which is a bridge to its neighbour `world`."""
    one = wiring.make_network(name, LAN, "fd00:113::/64", driver="macvlan", options={"parent": "br-up", **options})
    pools = tuple(
        wiring.changed(pool, gateway=WORLD if "." in pool.gateway else "fd00:113::fe") for pool in one.config.pools
    )
    return wiring.changed(one, config=wiring.changed(one.config, pools=pools))


pytestmark = kernel.needs(network.bridges_and_rules, macvlans)


@pytest.fixture
def host() -> Iterator[network.Host]:
    with network.make_host() as made:
        yield made


@pytest.fixture
def wires(host: network.Host) -> wiring.Wiring:
    return wiring.Wiring(host)


def test_a_container_is_a_neighbour_of_the_hosts_neighbours(host, wires):
    one = lan()
    wired = wires.plug((one, wiring.make_endpoint(one, "203.0.113.9", "fd00:113::9", mac="02:00:00:00:09:09")))
    assert wiring.talk(wired.process, host.world, WORLD) == "203.0.113.9"
    assert wiring.talk(host.world, wired.process, "203.0.113.9") == WORLD
    assert wired.process.links()["eth0"].mac == wired.endpoints[0].mac == "02:00:00:00:09:09"
    assert wiring.default_gateways(wired.process) == {WORLD, "fd00:113::fe"}
    assert wired.endpoints[0].host_link == ""


def test_it_may_be_called_as_a_link_of_the_host_is(host, wires):
    host.run(lambda: subprocess.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "other"], check=True))
    wired = wires.plug((lan(), wiring.make_endpoint(lan(), "203.0.113.9", mac="02:00:00:00:09:09")))
    assert sorted(wired.process.links()) == ["eth0", "lo"]
    assert wired.process.links()["eth0"].mac == "02:00:00:00:09:09"
    assert host.links()["eth0"].kind == "veth"


def test_the_host_itself_and_the_container_are_kept_apart(host, wires):
    process = wires.simple(lan(), "203.0.113.9")
    assert wiring.refused(process, host, str(network.UPLINK.ip))


@pytest.mark.parametrize(("mode", "apart"), [("", False), ("bridge", False), ("private", True)])
def test_containers_reach_each_other_as_the_mode_says(wires, mode, apart):
    one = lan(macvlan_mode=mode)
    first, second = wires.simple(one, "203.0.113.9"), wires.simple(one, "203.0.113.10")
    assert wiring.refused(first, second, "203.0.113.10") is apart


def test_disconnect_removes_the_interface_also_where_it_was_renamed(host, wires):
    one = lan()
    wired = wires.plug((one, wiring.make_endpoint(one, "203.0.113.9")))
    wired.process.run(lambda: subprocess.run(["ip", "link", "set", "eth0", "down", "name", "lan"], check=True))
    wires.disconnect(wired.endpoints[0], wired.process)
    wires.disconnect(wired.endpoints[0], wired.process)
    wires.disconnect(wired.endpoints[0], None)
    assert sorted(wired.process.links()) == ["lo"]


def test_another_interface_with_its_name_stays(host, wires):
    one, other = lan(), wiring.make_network("br-other", "172.29.0.0/24")
    wired = wires.plug((one, wiring.make_endpoint(one, "203.0.113.9")))
    wires.disconnect(wired.endpoints[0], wired.process)
    wires.connect(wired.process, (other, wiring.make_endpoint(other, "172.29.0.2")))
    wires.disconnect(wired.endpoints[0], wired.process)
    assert sorted(wired.process.links()) == ["eth0", "lo"]


def test_one_that_fails_leaves_nothing_of_the_others(host, wires):
    one, other = lan(), wiring.make_network("br-other", "172.29.0.0/24")
    process = wires.simple(one, "203.0.113.9")
    with pytest.raises(errors.KernelError, match="File exists"):
        wires.connect(
            process,
            (other, wiring.make_endpoint(other, "172.29.0.2", interface="eth1")),
            (one, wiring.make_endpoint(one, "203.0.113.10", interface="eth2")),
            (one, wiring.make_endpoint(one, "203.0.113.11", interface="eth0")),
        )
    assert sorted(process.links()) == ["eth0", "lo"]
    assert not [name for name in host.links() if name.startswith("veth")]


def test_an_mtu_that_was_asked_for(wires):
    assert wires.simple(lan(**{bridges.MTU: "1300"}), "203.0.113.9").links()["eth0"].mtu == 1300
    assert wires.simple(lan(), "203.0.113.10").links()["eth0"].mtu == 1400


def test_removing_the_network_leaves_the_parent(host, wires):
    one = lan()
    wires.simple(one, "203.0.113.9")
    host.run(lambda: wires.links.remove(one))
    assert "br-up" in host.links()


class TestRefused:
    def test_a_parent_that_is_missing(self, host, wires):
        with pytest.raises(errors.NotFound, match="network lan: parent: this host has no network interface eth9"):
            host.run(lambda: wires.links.ensure(lan(parent="eth9")))
        with pytest.raises(errors.NotFound, match=r"this host has no network interface eth9\n"):
            host.run(lambda: wires.links.ensure(lan(parent="eth9.50")))

    def test_the_loopback_link_as_parent(self, host, wires):
        with pytest.raises(errors.InvalidInput, match="lo cannot be the parent of a macvlan network"):
            host.run(lambda: wires.links.ensure(lan(parent="lo")))

    def test_a_mode_that_there_is_not(self, host, wires):
        with pytest.raises(
            errors.InvalidInput, match='macvlan_mode "fast": expected one of private, vepa, bridge, passthru'
        ):
            host.run(lambda: wires.links.ensure(lan(macvlan_mode="fast")))

    def test_a_second_container_where_the_first_has_the_parent_for_itself(self, host, wires):
        one = lan(macvlan_mode="passthru", parent="up0")
        alone = lan("alone", macvlan_mode="passthru", parent="tap")
        pair = ["ip", "link", "add", "tap", "type", "veth", "peer", "name", "tapped"]
        host.run(lambda: subprocess.run(pair, check=True))
        wires.simple(alone, "203.0.113.9")
        with pytest.raises(errors.KernelError) as caught:
            wires.simple(alone, "203.0.113.10")
        assert "has it another macvlan with mode passthru?" in caught.value.hint
        with pytest.raises(errors.KernelError) as caught:  # a port of a bridge gives its frames to that
            wires.simple(one, "203.0.113.9")
        assert "is up0 a port of a bridge" in caught.value.hint


@pytest.mark.parametrize(("parent", "kind"), [("br-up.50", "vlan"), ("", "dummy")])
def test_a_parent_is_made_where_the_kernel_can_else_the_error_says_what_it_lacks(host, wires, parent, kind):
    one = lan(parent=parent)
    before = set(host.links())
    refusal = None
    try:
        host.run(lambda: wires.links.ensure(one))
    except errors.Unsupported as error:
        refusal = error
    made = set(host.links()) - before
    if refusal is None:
        assert [host.links()[name].kind for name in made] == [kind]
        host.run(lambda: wires.links.remove(one))
        assert set(host.links()) == before
    else:
        assert f"it has no links of the kind {kind}" in refusal.message
        assert made == set()
