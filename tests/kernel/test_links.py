"""Networks and endpoints on the real kernel, in namespaces made for the test."""

from __future__ import annotations

import ipaddress
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import kernel, network, wiring

from pouch.kernel import nft, rtnetlink
from pouch.network import bridges, subnet
from pouch.spec import errors

pytestmark = kernel.needs(network.bridges_and_rules)

SUBNET = "172.30.0.0/16"
GATEWAY = "172.30.0.1"
FRONT = wiring.make_network("pouch0", SUBNET, predefined=True)
BACK = wiring.make_network("br-back", "172.29.0.0/24", "fd00:29::/64")
INNER = wiring.make_network("br-inner", "172.28.0.0/24", "fd00:28::/64", internal=True)
WORLD = str(network.WORLD.ip)
UPLINK = str(network.UPLINK.ip)


@pytest.fixture
def host() -> Iterator[network.Host]:
    with network.make_host() as made:
        yield made


@pytest.fixture
def wires(host: network.Host) -> wiring.Wiring:
    return wiring.Wiring(host)


def shell(where: network.Netns, *argv: str) -> str:
    """A program run in a namespace; its output."""
    return where.run(lambda: subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


class TestConnect:
    def test_the_container_has_an_address_a_route_and_a_loopback(self, host, wires):
        wired = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2")))
        (endpoint,) = wired.endpoints
        assert (endpoint.ipv4_prefix, endpoint.mac) == (16, "02:42:ac:1e:00:02")
        assert endpoint.host_link == bridges.host_link(endpoint.id)
        assert endpoint.host_link in host.links()
        links = wired.process.links()
        assert sorted(links) == ["eth0", "lo"]
        assert all(link.up for link in links.values())
        assert links["eth0"].mac == endpoint.mac
        assert wiring.inventory(wired.process) == {"eth0": {"172.30.0.2/16"}}
        assert wiring.default_gateways(wired.process) == {GATEWAY}

    def test_both_families_work_at_once_without_duplicate_detection(self, wires):
        first, second = wires.simple(BACK, "172.29.0.2", "fd00:29::2"), wires.simple(BACK, "172.29.0.3", "fd00:29::3")
        assert wiring.talk(first, second, "fd00:29::3") == "fd00:29::2"
        assert wiring.talk(first, second, "172.29.0.3") == "172.29.0.2"
        assert wiring.inventory(first) == {"eth0": {"172.29.0.2/24", "fd00:29::2/64", "fe80::42:acff:fe1d:2/64"}}
        assert wiring.default_gateways(first) == {"172.29.0.1", "fd00:29::1"}

    def test_a_network_of_ipv6_alone(self, host, wires):
        only6 = wiring.make_network("br-six", "fd00:6::/64", ipv4=False)
        process = wires.simple(only6, "fd00:6::2")
        assert wiring.talk(process, host, "fd00:6::1") == "fd00:6::2"
        assert wiring.talk(host, process, "fd00:6::2") == "fd00:6::1"

    def test_a_container_in_three_networks_has_the_first_ones_default_route(self, host, wires):
        wired = wires.plug(
            (INNER, wiring.make_endpoint(INNER, "172.28.0.2", "fd00:28::2", interface="eth0")),
            (BACK, wiring.make_endpoint(BACK, "172.29.0.2", "fd00:29::2", interface="eth1")),
            (FRONT, wiring.make_endpoint(FRONT, "172.30.0.2", interface="eth2")),
        )
        assert wiring.default_gateways(wired.process) == {"172.29.0.1", "fd00:29::1"}
        assert len({endpoint.host_link for endpoint in wired.endpoints}) == 3
        neighbours = [
            wires.simple(INNER, "172.28.0.3"),
            wires.simple(BACK, "172.29.0.3"),
            wires.simple(FRONT, "172.30.0.3"),
        ]
        for neighbour, last in zip(neighbours, ("28", "29", "30"), strict=True):
            assert wiring.talk(wired.process, neighbour, f"172.{last}.0.3") == f"172.{last}.0.2"
        assert wiring.talk(wired.process, host.world, WORLD) == UPLINK

    def test_a_mac_that_was_asked_for_is_given(self, wires):
        wired = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2", mac="0E-00-00-00-00-07")))
        assert wired.process.links()["eth0"].mac == wired.endpoints[0].mac == "0e:00:00:00:00:07"

    def test_it_reaches_the_host_and_the_host_reaches_it(self, host, wires):
        process = wires.simple(FRONT, "172.30.0.2")
        assert wiring.talk(process, host, GATEWAY) == "172.30.0.2"
        assert wiring.talk(host, process, "172.30.0.2") == GATEWAY

    def test_outside_it_appears_with_the_hosts_address(self, host, wires):
        process = wires.simple(FRONT, "172.30.0.2")
        assert wiring.talk(process, host.world, WORLD) == UPLINK

    def test_a_namespace_that_a_user_namespace_owns_is_connected_too(self, host, wires):
        wired = wires.plug(
            (BACK, wiring.make_endpoint(BACK, "172.29.0.2", "fd00:29::2")), options=("--user", "--map-root-user")
        )
        assert wiring.talk(wired.process, host, "fd00:29::1") == "fd00:29::2"
        assert wired.process.read("/proc/sys/net/ipv6/conf/eth0/accept_ra") == "0"

    def test_without_ipv6_no_interface_gets_an_address_of_its_own(self, host, wires):
        process = wires.simple(FRONT, "172.30.0.2")
        links = {line.split()[-1] for line in host.read("/proc/thread-self/net/if_inet6").splitlines()}
        assert not {name for name in links if name.startswith(("veth", "pouch0"))}
        assert host.read("/proc/sys/net/ipv6/conf/pouch0/disable_ipv6") == "1"
        assert process.read("/proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1"
        assert [line.split()[-1] for line in process.read("/proc/thread-self/net/if_inet6").splitlines()] == ["lo"]

    def test_the_mtu_is_that_of_the_hosts_uplink_unless_given(self, host, wires):
        assert wires.simple(FRONT, "172.30.0.2").links()["eth0"].mtu == 1400
        assert wiring.Wiring(host, "other", mtu=1300).simple(BACK, "172.29.0.2").links()["eth0"].mtu == 1300
        small = wiring.make_network("br-small", "172.27.0.0/24", options={bridges.MTU: "1281"})
        assert wires.simple(small, "172.27.0.2").links()["eth0"].mtu == 1281
        assert host.links()["br-small"].mtu == 1281

    def test_a_link_left_from_an_attempt_that_did_not_end_is_replaced(self, host, wires):
        old, new = wires.simple(FRONT, "172.30.0.2"), wires.simple(FRONT, "172.30.0.2")
        assert sorted(old.links()) == ["lo"]
        assert wiring.talk(new, host, GATEWAY) == "172.30.0.2"

    def test_many_at_once_all_get_their_network(self, host, wires):
        processes = [host.process() for _ in range(8)]
        failures: list[BaseException] = []

        def one(number: int) -> None:
            try:
                wires.connect(processes[number], (BACK, wiring.make_endpoint(BACK, f"172.29.0.{number + 2}")))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert {wiring.talk(each, host, "172.29.0.1") for each in processes} == {f"172.29.0.{n + 2}" for n in range(8)}

    def test_host_and_none_have_no_device(self, host, wires):
        none = wiring.make_network("none", driver="null")
        wired = wires.plug((none, wiring.make_endpoint(none)))
        assert [(link.name, link.up) for link in wired.process.links().values()] == [("lo", True)]
        assert wired.endpoints[0].host_link == ""


class TestRunning:
    """Endpoints that come and go while a container runs."""

    def test_one_more_leaves_the_default_route_where_it_is(self, host, wires):
        process = wires.simple(FRONT, "172.30.0.2")
        wires.connect(process, (BACK, wiring.make_endpoint(BACK, "172.29.0.2", "fd00:29::2", interface="eth1")))
        assert wiring.default_gateways(process) == {GATEWAY, "fd00:29::1"}
        neighbour = wires.simple(BACK, "172.29.0.3")
        assert wiring.talk(neighbour, process, "172.29.0.2") == "172.29.0.3"

    def test_after_the_one_with_the_default_route_another_has_it(self, host, wires):
        wired = wires.plug(
            (BACK, wiring.make_endpoint(BACK, "172.29.0.2", "fd00:29::2", interface="eth0")),
            (FRONT, wiring.make_endpoint(FRONT, "172.30.0.2", interface="eth1")),
        )
        wires.disconnect(wired.endpoints[0], wired.process)
        assert wiring.default_gateways(wired.process) == set()
        host.run(lambda: wires.links.set_default(wired.process.fd, wired.endpoints[1]))
        assert wiring.default_gateways(wired.process) == {GATEWAY}
        assert wiring.talk(wired.process, host.world, WORLD) == UPLINK

    def test_the_default_route_is_found_where_the_container_renamed_the_interface(self, host, wires):
        wired = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2")))
        shell(wired.process, "ip", "route", "del", "default")
        shell(wired.process, "ip", "link", "set", "eth0", "name", "lan")
        host.run(lambda: wires.links.set_default(wired.process.fd, wired.endpoints[0]))
        assert wiring.default_gateways(wired.process) == {GATEWAY}

    def test_a_default_route_that_the_container_has_made_itself_stays(self, host, wires):
        wired = wires.plug(
            (BACK, wiring.make_endpoint(BACK, "172.29.0.2", interface="eth0")),
            (FRONT, wiring.make_endpoint(FRONT, "172.30.0.2", interface="eth1")),
        )
        shell(wired.process, "ip", "route", "replace", "default", "via", "172.30.0.77")
        wires.disconnect(wired.endpoints[0], wired.process)
        host.run(lambda: wires.links.set_default(wired.process.fd, wired.endpoints[1]))
        assert wiring.default_gateways(wired.process) == {"172.30.0.77"}

    def test_no_default_route_by_an_interface_that_has_gone(self, host, wires):
        wired = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2")))
        wires.disconnect(wired.endpoints[0], wired.process)
        with pytest.raises(errors.NotFound, match="no interface eth0 any more"):
            host.run(lambda: wires.links.set_default(wired.process.fd, wired.endpoints[0]))

    def test_disconnect_removes_both_ends_and_may_be_repeated(self, host, wires):
        wired = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2")))
        wires.disconnect(wired.endpoints[0], wired.process)
        wires.disconnect(wired.endpoints[0], wired.process)
        assert wired.endpoints[0].host_link not in host.links()
        assert sorted(wired.process.links()) == ["lo"]

    def test_disconnect_where_the_namespace_is_gone(self, host, wires):
        wired = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2")))
        network.end(wired.process.popen)
        wires.disconnect(wired.endpoints[0], None)
        assert wired.endpoints[0].host_link not in host.links()

    def test_the_same_address_can_be_plugged_again_at_once(self, host, wires):
        for _ in range(5):
            wired = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2")))
            assert wiring.talk(wired.process, host, GATEWAY) == "172.30.0.2"
            wires.disconnect(wired.endpoints[0], wired.process)


class TestConnectRefuses:
    def test_the_hosts_own_namespace(self, host, wires):
        with pytest.raises(errors.Conflict, match="is in the host's network namespace"):
            wires.connect(host, (FRONT, wiring.make_endpoint(FRONT, "172.30.0.2")))
        with pytest.raises(errors.Conflict, match="is in the host's network namespace"):
            host.run(lambda: wires.links.loopback_up(host.fd))

    @pytest.mark.parametrize(
        "address",
        ["10.0.0.1", "172.29.0.0", "172.29.0.1", "172.29.0.255", "fd00:29::", "fd00:29::1", "fd00:30::2", "nonsense"],
    )
    def test_an_address_that_is_not_for_a_container(self, host, wires, address):
        endpoint = wiring.make_endpoint(BACK, "172.29.0.9")
        member = "ipv6" if ":" in address else "ipv4"
        wrong = wiring.changed(endpoint, **{member: address})
        before = sorted(host.links())
        with pytest.raises(errors.InvalidInput, match="address"):
            wires.plug((BACK, wrong))
        assert sorted(host.links()) == sorted([*before, "br-back"])

    @pytest.mark.parametrize(
        "mac", ["01:00:5e:00:00:01", "00:00:00:00:00:00", "02:42", "zz:00:00:00:00:00", "02:42:ac:1e:00:02:03"]
    )
    def test_a_mac_that_no_interface_can_have(self, wires, mac):
        with pytest.raises(errors.InvalidInput, match="is no MAC address for a container"):
            wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2", mac=mac)))

    @pytest.mark.parametrize("interface", ["", "..", "a/b", "sixteen-letters-", "a b"])
    def test_a_name_that_no_interface_can_have(self, wires, interface):
        with pytest.raises(errors.InvalidInput, match="is no name for a network interface"):
            wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2", interface=interface)))

    def test_a_namespace_that_has_such_an_interface_and_leaves_nothing_of_any_network(self, host, wires):
        process = wires.simple(FRONT, "172.30.0.2")
        before = {name for name in host.links() if name.startswith("veth")}
        with pytest.raises(errors.Conflict, match="the container has an interface of its own with this name: "):
            wires.connect(
                process,
                (BACK, wiring.make_endpoint(BACK, "172.29.0.2", interface="eth1")),
                (INNER, wiring.make_endpoint(INNER, "172.28.0.2", interface="eth0")),
            )
        assert {name for name in host.links() if name.startswith("veth")} == before
        assert sorted(process.links()) == ["eth0", "lo"]
        assert wiring.talk(process, host, GATEWAY) == "172.30.0.2"

    def test_a_gateway_that_cannot_be_reached_and_leaves_nothing(self, host, wires):
        before = set(host.links())
        wrong = wiring.changed(wiring.make_endpoint(FRONT, "172.30.0.2"), ipv4_gateway="10.9.9.9")
        with pytest.raises(errors.KernelError, match=r"default via 10\.9\.9\.9"):
            wires.plug((FRONT, wrong))
        assert set(host.links()) == before | {"pouch0"}


class TestIsolation:
    def test_an_internal_network_has_no_way_out_but_reaches_its_own(self, host, wires):
        first, second = wires.simple(INNER, "172.28.0.2", "fd00:28::2"), wires.simple(INNER, "172.28.0.3", "fd00:28::3")
        assert wiring.default_gateways(first) == set()
        assert wiring.talk(first, second, "172.28.0.3") == "172.28.0.2"
        assert wiring.talk(first, second, "fd00:28::3") == "fd00:28::2"
        shell(first, "ip", "route", "add", "default", "via", "172.28.0.1")  # a container that makes itself one
        assert wiring.refused(first, host.world, WORLD)

    def test_networks_do_not_reach_each_other(self, wires):
        front, back = wires.simple(FRONT, "172.30.0.2"), wires.simple(BACK, "172.29.0.2", "fd00:29::2")
        other6 = wires.simple(wiring.make_network("br-other", "fd00:6::/64"), "fd00:6::2")
        assert wiring.refused(front, back, "172.29.0.2")
        assert wiring.refused(other6, back, "fd00:29::2")

    @pytest.mark.parametrize("filtered", ["0", "1"], ids=["frames past iptables", "frames through iptables"])
    def test_without_inter_container_communication_only_the_host_is_reached(self, host, wires, filtered):
        host.run(lambda: wiring.set_bridge_filter(filtered))
        apart = wiring.make_network(
            "br-apart", "172.27.0.0/24", "fd00:27::/64", options={"com.docker.network.bridge.enable_icc": "false"}
        )
        first, second = wires.simple(apart, "172.27.0.2", "fd00:27::2"), wires.simple(apart, "172.27.0.3", "fd00:27::3")
        assert wiring.refused(first, second, "172.27.0.3")
        assert wiring.refused(first, second, "fd00:27::3")
        assert wiring.talk(first, host, "172.27.0.1") == "172.27.0.2"
        assert wiring.talk(host, first, "fd00:27::2") == "fd00:27::1"
        assert wiring.talk(first, host.world, WORLD) == UPLINK

    def test_a_neighbour_of_the_host_cannot_reach_a_container(self, host, wires):
        process = wires.simple(FRONT, "172.30.0.2")
        shell(host.world, "ip", "route", "add", SUBNET, "via", UPLINK)
        assert wiring.refused(host.world, process, "172.30.0.2")

    def test_a_container_cannot_send_outside_with_an_address_it_was_not_given(self, host, wires):
        process = wires.simple(FRONT, "172.30.0.2")
        shell(process, "ip", "address", "add", "198.51.100.9/32", "dev", "eth0")
        shell(process, "ip", "route", "replace", "default", "via", GATEWAY, "src", "198.51.100.9")
        shell(
            host, "ip", "route", "add", "198.51.100.9", "dev", "pouch0"
        )  # else the reverse path filter refuses it first
        shell(host.world, "ip", "route", "add", "198.51.100.9", "via", UPLINK)
        assert wiring.refused(process, host.world, WORLD)

    def test_what_a_container_says_about_routers_is_not_believed(self, host, wires):
        liar, other = wires.simple(BACK, "172.29.0.2", "fd00:29::2"), wires.simple(BACK, "172.29.0.3", "fd00:29::3")
        plain = wires.simple(BACK, "172.29.0.4")
        liar.run(lambda: wiring.advertise("eth0", "fd00:bad::"))
        assert wiring.talk(liar, other, "fd00:29::3") == "fd00:29::2"  # what came before it has been looked at by now
        for where in (other, plain, host):
            assert not any("fd00:bad:" in each for addresses in wiring.inventory(where).values() for each in addresses)
        assert wiring.default_gateways(other) == {"172.29.0.1", "fd00:29::1"}
        assert wiring.default_gateways(plain) == {"172.29.0.1"}


class TestEnsure:
    def test_it_turns_forwarding_on_and_may_be_repeated(self, host, wires):
        host.run(
            lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        )  # a new namespace begins with the machine's
        host.run(lambda: wires.links.ensure(BACK))
        before = host.links()["br-back"]
        host.run(lambda: wires.links.ensure(BACK))
        assert host.links()["br-back"] == before
        assert before.up
        assert host.read("/proc/sys/net/ipv4/ip_forward") == "1"
        assert host.read("/proc/sys/net/ipv6/conf/all/forwarding") == "1"
        assert host.read("/proc/sys/net/ipv6/conf/br-back/accept_ra") == "0"

    def test_without_ipv6_the_host_becomes_no_router_of_it(self, host, wires):
        before = host.read("/proc/sys/net/ipv6/conf/all/forwarding")
        host.run(lambda: wires.links.ensure(FRONT))
        assert host.read("/proc/sys/net/ipv6/conf/all/forwarding") == before

    def test_a_host_that_believes_its_router_goes_on_believing_it(self, host, wires):
        host.run(lambda: Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("0"))
        host.run(lambda: Path("/proc/sys/net/ipv6/conf/br-up/accept_ra").write_text("1"))
        shell(host, "ip", "-6", "route", "add", "default", "via", "fe80::99", "dev", "br-up", "proto", "ra")
        host.run(lambda: wires.links.ensure(BACK))
        assert host.read("/proc/sys/net/ipv6/conf/br-up/accept_ra") == "2"
        assert host.read("/proc/sys/net/ipv6/conf/br-back/accept_ra") == "0"

    @pytest.mark.parametrize(
        "damage",
        [
            lambda: nft.apply("flush ruleset\n"),
            lambda: nft.apply("flush table inet pouch0\n"),
            lambda: nft.apply('insert rule inet pouch0 forward iifname "br-back" drop\n'),
            lambda: subprocess.run(["ip", "addr", "flush", "dev", "br-back"], check=True),
            lambda: subprocess.run(["ip", "link", "set", "br-back", "down"], check=True),
            lambda: subprocess.run(["ip", "link", "delete", "br-back"], check=True),
        ],
        ids=["all rules", "our rules", "a rule added", "the address", "the state", "the bridge"],
    )
    def test_the_next_connect_puts_back_what_somebody_removed(self, host, wires, damage):
        host.run(lambda: wires.links.ensure(BACK))
        host.run(damage)
        process = wires.simple(BACK, "172.29.0.2", "fd00:29::2")
        assert wiring.talk(process, host.world, WORLD) == UPLINK
        assert wiring.talk(process, host, "fd00:29::1") == "fd00:29::2"

    def test_an_address_of_an_earlier_subnet_is_removed(self, host, wires):
        host.run(lambda: wires.links.ensure(FRONT))
        moved = wiring.make_network("pouch0", "10.213.0.0/16", predefined=True)
        host.run(lambda: wires.links.ensure(moved))
        assert wiring.inventory(host)["pouch0"] == {"10.213.0.1/16"}
        assert host.run(lambda: bridges.current_subnet("pouch0")) == "10.213.0.0/16"

    def test_the_default_network_may_get_ipv6_and_lose_it_again(self, host, wires):
        both = wiring.make_network("pouch0", SUBNET, "fd00:30::/64", predefined=True)
        host.run(lambda: wires.links.ensure(FRONT))
        process = wires.simple(both, "172.30.0.2", "fd00:30::2")
        assert wiring.talk(process, host, "fd00:30::1") == "fd00:30::2"
        host.run(lambda: wires.links.ensure(FRONT))
        assert wiring.inventory(host)["pouch0"] == {"172.30.0.1/16"}
        assert host.read("/proc/sys/net/ipv6/conf/pouch0/disable_ipv6") == "1"

    def test_a_bridge_that_was_there_before_keeps_its_addresses_and_is_not_deleted(self, host, wires):
        shell(host, "ip", "link", "add", "br-back", "type", "bridge")
        shell(host, "ip", "address", "add", "192.0.2.1/24", "dev", "br-back")
        process = wires.simple(BACK, "172.29.0.2", "fd00:29::2")
        assert wiring.talk(process, host, "172.29.0.1") == "172.29.0.2"
        assert {"192.0.2.1/24", "172.29.0.1/24", "fd00:29::1/64"} <= wiring.inventory(host)["br-back"]
        host.run(lambda: wires.links.remove(BACK))
        assert "192.0.2.1/24" in wiring.inventory(host)["br-back"]

    @pytest.mark.parametrize(
        ("name", "what"), [("up0", "veth"), ("lo", "hardware")], ids=["a veth", "the loopback link"]
    )
    def test_a_name_that_is_another_kind_of_link(self, host, wires, name, what):
        with pytest.raises(errors.Conflict, match=f"{name} is no bridge but {what}"):
            host.run(lambda: wires.links.ensure(wiring.make_network(name, "172.27.0.0/24")))

    def test_a_bridge_that_another_network_has(self, host, wires):
        host.run(lambda: wires.links.ensure(BACK))
        other = wiring.changed(wiring.make_network("other", "172.27.0.0/24"), link="br-back")
        with pytest.raises(errors.Conflict, match="bridge br-back belongs to network br-back"):
            host.run(lambda: wires.links.claim(other))

    @pytest.mark.parametrize("mtu", ["many", "67", "65536", "-1", "9" * 99, "1279"])
    def test_an_mtu_that_cannot_be(self, host, wires, mtu):
        wrong = wiring.changed(BACK, config=wiring.changed(BACK.config, options={bridges.MTU: mtu}))
        with pytest.raises(errors.InvalidInput, match="expected 1280 to 65535 bytes"):
            host.run(lambda: wires.links.ensure(wrong))
        assert "br-back" not in host.links()

    def test_two_daemons_have_networks_that_do_not_touch(self, host, wires):
        other = wiring.Wiring(host, "other")
        first, second = wires.simple(FRONT, "172.30.0.2"), other.simple(BACK, "172.29.0.2")
        assert wiring.refused(first, second, "172.29.0.2")
        host.run(lambda: wires.links.remove(FRONT))
        host.run(wires.firewall.remove)
        assert wiring.talk(second, host.world, WORLD) == UPLINK

    def test_remove_leaves_neither_bridge_nor_rules_of_it(self, host, wires):
        before = sorted(host.links())
        wired = wires.plug((BACK, wiring.make_endpoint(BACK, "172.29.0.2")))
        wires.disconnect(wired.endpoints[0], wired.process)
        host.run(lambda: wires.links.remove(BACK))
        host.run(lambda: wires.links.remove(BACK))
        assert sorted(host.links()) == before
        assert "br-back" not in (host.run(lambda: nft.list_table("inet", "pouch0")) or "")


class TestReconcile:
    def test_it_removes_the_links_of_the_dead_and_no_others(self, host, wires):
        other = wiring.Wiring(host, "other")
        kept = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2"))).endpoints[0].host_link
        left = wires.plug((BACK, wiring.make_endpoint(BACK, "172.29.0.3"))).endpoints[0].host_link
        strange = wiring.make_network("br-other", "172.27.0.0/24")
        theirs = other.plug((strange, wiring.make_endpoint(strange, "172.27.0.2"))).endpoints[0].host_link
        shell(host, "ip", "link", "add", "vethbyhand", "master", "pouch0", "type", "veth", "peer", "name", "byhand")
        assert host.run(lambda: wires.links.reconcile([kept])) == [left]
        assert {kept, theirs, "vethbyhand"} <= set(host.links())
        assert left not in host.links()

    def test_without_networks_it_finds_nothing(self, host, wires):
        assert host.run(lambda: wires.links.reconcile([])) == []


class TestSubnet:
    def test_what_the_host_reaches_is_taken_and_named(self, host, wires):
        host.run(lambda: wires.links.ensure(FRONT))
        taken = host.run(lambda: subnet.occupied("pouch0", ["172.29.0.53", "fe80::1%eth0", "?"]))
        assert {str(one.network): one.by for one in taken if "route" in one.by} == {
            "203.0.113.0/24": "a route through br-up"
        }
        assert "the name server 172.29.0.53" in {one.by for one in taken}
        assert not any(subnet.overlapping(ipaddress.IPv4Network(SUBNET), taken))
        assert any("pouch0" in one.by for one in host.run(lambda: subnet.occupied("")))

    def test_current_is_empty_without_the_bridge(self, host):
        assert host.run(lambda: bridges.current_subnet("pouch0")) == ""

    def test_a_claimed_subnet_is_seen_as_taken_before_anything_is_connected(self, host, wires):
        host.run(lambda: wires.links.claim(FRONT))
        host.run(lambda: wires.links.claim(BACK))
        host.run(lambda: wires.links.claim(FRONT))
        taken = host.run(lambda: subnet.occupied("pouch1"))
        assert str(subnet.choose(taken)) != SUBNET
        assert any(subnet.overlapping(ipaddress.IPv6Network("fd00:29::/64"), taken))
        assert str(host.run(lambda: subnet.choose(subnet.occupied("pouch0")))) == SUBNET
        assert host.run(lambda: bridges.current_subnet("pouch0")) == SUBNET

    def test_who_chooses_holds_off_others(self):
        chosen = threading.Event()

        def other():
            with subnet.choosing():
                chosen.set()

        with subnet.choosing():
            thread = threading.Thread(target=other)
            thread.start()
            assert not chosen.wait(0.05)
        thread.join(5)
        assert chosen.is_set()


def test_a_link_that_is_discarded_is_gone_at_once(host, wires):
    (endpoint,) = wires.plug((FRONT, wiring.make_endpoint(FRONT, "172.30.0.2"))).endpoints
    host.run(lambda: rtnetlink.discard(endpoint.host_link))
    host.run(lambda: rtnetlink.discard(endpoint.host_link))
    assert endpoint.host_link not in host.links()
