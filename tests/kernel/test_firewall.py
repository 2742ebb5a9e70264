"""Our rules on the real kernel: who reaches whom, and what happens when somebody else changes them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from support import kernel, network, site

from pouch.kernel import nft
from pouch.network import firewall, ruleset
from pouch.spec import errors

pytestmark = kernel.needs(network.bridges_and_rules)

PORTS = [site.port(80, 8080, host, protocol) for host, protocol in itertools.product(("0.0.0.0", "::"), ("tcp", "udp"))]
ICC_OFF = {ruleset.ICC: "false"}


@pytest.fixture
def place() -> Iterator[site.Site]:
    with site.site() as made:
        yield made


@pytest.fixture(params=["0", "1"], ids=["routed", "br_netfilter"])
def filtered(request: pytest.FixtureRequest, place: site.Site) -> site.Site:
    """Without and with the kernel's module that shows bridged packets to the rules, as hosts with dockerd have it."""
    for family in ("ip", "ip6"):
        path = f"/proc/sys/net/bridge/bridge-nf-call-{family}tables"
        try:
            place.host.run(lambda path=path: site.write(path, request.param))
        except FileNotFoundError:
            if request.param == "1":
                pytest.skip("this kernel has no br_netfilter")
    return place


def table(place: site.Site) -> str:
    return place.host.run(lambda: nft.list_table("inet", "pouch0")) or ""


class TestPublished:
    def test_from_outside_with_the_callers_address(self, filtered):
        server = filtered.container(filtered.network(0), 2)
        filtered.publish(server, *PORTS)
        for protocol in ("tcp", "udp"):
            for address, seen in ((site.UPLINK4, site.WORLD4), (site.UPLINK6, site.WORLD6)):
                assert site.says(filtered.world, server, address, 8080, 80, protocol=protocol) == seen

    def test_from_the_host_by_its_addresses_and_by_loopback(self, filtered):
        server = filtered.container(filtered.network(0), 2)
        filtered.publish(server, *PORTS)
        host = filtered.host
        for protocol in ("tcp", "udp"):
            for address, seen in (
                (site.UPLINK4, site.UPLINK4),
                (site.UPLINK6, site.UPLINK6),
                ("172.30.0.1", "172.30.0.1"),
                ("127.0.0.1", "172.30.0.1"),
                ("127.1.2.3", "172.30.0.1"),
            ):
                assert site.says(host, server, address, 8080, 80, protocol=protocol) == seen

    def test_from_the_hosts_ipv6_loopback_unless_the_kernel_translates_too_early_then_it_is_refused_at_once(
        self, filtered
    ):
        server = filtered.container(filtered.network(0), 2)
        filtered.publish(server, *PORTS)
        early = filtered.host.read("/proc/sys/net/bridge/bridge-nf-call-ip6tables") == "1"
        for protocol in ("tcp", "udp"):
            if early:
                assert site.unheard(filtered.host, server, "::1", 8080, 80, protocol=protocol)
            else:
                assert site.says(filtered.host, server, "::1", 8080, 80, protocol=protocol) == "fd00:30::1"
        if early:
            with pytest.raises(ConnectionRefusedError):
                filtered.host.run(lambda: network.connect("::1", 8080))

    def test_from_the_container_itself_its_neighbour_and_another_network(self, filtered):
        first, second = filtered.network(0), filtered.network(1)
        server, neighbour = filtered.container(first, 2), filtered.container(first, 3)
        stranger = filtered.container(second, 2)
        filtered.publish(server, *PORTS)
        for protocol, client in itertools.product(("tcp", "udp"), (server, neighbour, stranger)):
            for address, seen in (
                (site.UPLINK4, "172.30.0.1"),
                (site.UPLINK6, "fd00:30::1"),
                ("172.30.0.1", "172.30.0.1"),
            ):
                assert site.says(client, server, address, 8080, 80, protocol=protocol) == seen

    def test_on_one_address_only_there(self, place):
        server = place.container(place.network(0), 2)
        place.publish(
            server,
            site.port(80, 8080, "127.0.0.1"),
            site.port(80, 8081, site.UPLINK4),
            site.port(80, 8081, site.UPLINK6),
        )
        assert site.says(place.host, server, "127.0.0.1", 8080, 80) == "172.30.0.1"
        assert site.unheard(place.host, server, site.UPLINK4, 8080, 80)
        assert site.unheard(place.world, server, site.UPLINK4, 8080, 80)
        assert site.says(place.world, server, site.UPLINK4, 8081, 80) == site.WORLD4
        assert site.says(place.world, server, site.UPLINK6, 8081, 80) == site.WORLD6
        assert site.unheard(place.host, server, "172.30.0.1", 8081, 80)

    def test_what_is_for_the_hosts_loopback_no_neighbour_of_the_host_reaches(self, place):
        server = place.container(place.network(0), 2)
        place.publish(server, site.port(80, 8080, "127.0.0.1"))
        site.ip(
            place.world,
            "route add 127.0.0.1 via 203.0.113.1 table 7",
            "rule add pref 1 to 127.0.0.1 lookup 7",
            "rule del pref 0",
        )
        place.world.run(lambda: site.write("/proc/sys/net/ipv4/conf/all/route_localnet", "1"))
        place.host.run(lambda: site.write("/proc/sys/net/ipv4/conf/br-up/route_localnet", "1"))  # as kube-proxy sets it
        assert site.unheard(place.world, server, "127.0.0.1", 8080, 80)

    def test_a_container_reaches_nothing_of_the_hosts_loopback_though_the_bridge_lets_its_answers_in(self, place):
        net = place.network(0)
        server, thief = place.container(net, 2), place.container(net, 3)
        place.publish(server, *PORTS)
        assert place.host.read("/proc/sys/net/ipv4/conf/pouch0/route_localnet") == "1"
        thief.run(lambda: site.write("/proc/sys/net/ipv4/conf/all/route_localnet", "1"))
        site.ip(
            thief,
            "route add 127.0.0.1 via 172.30.0.1 table 7",
            "rule add pref 1 to 127.0.0.1 lookup 7",
            "rule del pref 0",
        )
        assert site.unheard(thief, place.host, "127.0.0.1", 7777, 7777)
        assert site.unheard(thief, server, "127.0.0.1", 8080, 80)

    def test_ports_that_are_not_published_stay_closed_and_after_unpublish_all_are(self, place):
        server = place.container(place.network(0), 2)
        place.publish(server, *PORTS)
        assert site.unheard(place.world, server, site.UPLINK4, 8081, 80)
        place.host.run(lambda: place.firewall.unpublish("c"))
        place.host.run(lambda: place.firewall.unpublish("c"))
        for protocol in ("tcp", "udp"):
            assert site.unheard(place.world, server, site.UPLINK4, 8080, 80, protocol=protocol)

    def test_publishing_again_takes_the_place_of_what_was_published(self, place):
        net = place.network(0)
        first, second = place.container(net, 2), place.container(net, 3)
        place.publish(first, site.port(80, 8080), site.port(81, 8081))
        place.publish(second, site.port(80, 8080))
        assert site.says(place.world, second, site.UPLINK4, 8080, 80) == site.WORLD4
        assert "8081" not in table(place)

    def test_a_port_that_another_container_has_is_refused_in_dockers_words_and_stays_there(self, place):
        net = place.network(0)
        first, second = place.container(net, 2), place.container(net, 3)
        place.publish(first, site.port(80, 8080))
        with pytest.raises(errors.Conflict, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated"):
            place.publish(second, site.port(80, 8080), site.port(80, 8081), name="d")
        assert site.says(place.world, first, site.UPLINK4, 8080, 80) == site.WORLD4
        assert "8081" not in table(place)

    def test_of_a_family_that_the_container_does_not_have_nothing_is_published(self, place):
        server = place.container(place.network(0, ipv6=False), 2)
        place.publish(server, *PORTS)
        assert site.says(place.world, server, site.UPLINK4, 8080, 80) == site.WORLD4
        assert "any6" in table(place)
        assert "fd00" not in table(place)

    def test_a_udp_flow_that_was_there_before_comes_through(self, place):
        server = place.container(place.network(0), 2)
        with _caller(place) as client:
            client.sendto(b"early", (site.UPLINK4, 8080))
            place.publish(server, *PORTS)
            assert _arrives(client, server)

    def test_a_udp_flow_follows_its_port_to_another_container(self, place):
        net = place.network(0)
        first, second = place.container(net, 2), place.container(net, 3)
        place.publish(first, *PORTS, name="first")
        with _caller(place) as client:
            assert _arrives(client, first)
            place.host.run(lambda: place.firewall.unpublish("first"))
            place.publish(second, *PORTS, name="second")
            assert _arrives(client, second)


@contextlib.contextmanager
def _caller(place: site.Site) -> Iterator[socket.socket]:
    """A client outside that always calls from the same port."""
    with place.world.run(lambda: socket.socket(type=socket.SOCK_DGRAM)) as client:
        client.bind(("", 5555))
        yield client


def _arrives(client: socket.socket, server: network.Netns) -> bool:
    """Whether what a client goes on sending comes to a container, with the client's own address."""
    with server.run(lambda: socket.socket(type=socket.SOCK_DGRAM)) as receiver:
        receiver.bind(("", 80))
        receiver.settimeout(0.05)
        deadline = time.monotonic() + network.PATIENCE
        while time.monotonic() < deadline:
            client.sendto(b"word", (site.UPLINK4, 8080))
            with contextlib.suppress(TimeoutError):
                return receiver.recvfrom(10) == (b"word", (site.WORLD4, 5555))
    return False


class TestApart:
    def test_containers_of_one_network_reach_each_other_and_the_world_and_the_host(self, filtered):
        net = filtered.network(0)
        one, other = filtered.container(net, 2), filtered.container(net, 3)
        for address, seen in ((other.ipv4, one.ipv4), (other.ipv6, one.ipv6)):
            assert site.says(one, other, address, 80, 80) == seen
        for address, seen in ((site.WORLD4, site.UPLINK4), (site.WORLD6, site.UPLINK6)):
            assert site.says(one, filtered.world, address, 80, 80) == seen
        assert site.says(one, filtered.host, "172.30.0.1", 80, 80) == one.ipv4
        assert site.says(filtered.host, one, one.ipv4, 80, 80) == "172.30.0.1"

    def test_networks_do_not_reach_each_other(self, filtered):
        one = filtered.container(filtered.network(0), 2)
        other = filtered.container(filtered.network(1), 2)
        for address in (other.ipv4, other.ipv6):
            assert site.unheard(one, other, address, 80, 80)

    def test_nobody_outside_reaches_a_container_by_its_own_address(self, place):
        server = place.container(place.network(0), 2)
        site.ip(place.world, "route add 172.30.0.0/16 via 203.0.113.1")
        site.ip(place.world, f"route add fd00:30::/64 via {site.UPLINK6}", family="-6")
        for address in (server.ipv4, server.ipv6):
            assert site.unheard(place.world, server, address, 80, 80)

    def test_an_internal_network_is_for_its_own_containers_and_the_host(self, filtered):
        inner, outer = filtered.network(0, internal=True), filtered.network(1)
        one, other = filtered.container(inner, 2), filtered.container(inner, 3)
        stranger = filtered.container(outer, 2)
        filtered.publish(stranger, *PORTS)
        assert site.says(one, other, other.ipv4, 80, 80) == one.ipv4
        assert site.says(filtered.host, one, one.ipv4, 80, 80) == "172.30.0.1"
        assert site.unheard(one, filtered.world, site.WORLD4, 80, 80)
        assert site.unheard(one, filtered.world, site.WORLD6, 80, 80)
        assert site.unheard(stranger, one, one.ipv4, 80, 80)
        assert site.unheard(one, stranger, stranger.ipv4, 80, 80)
        assert site.unheard(one, stranger, "172.30.0.1", 8080, 80)

    def test_of_the_host_an_internal_network_reaches_the_bridges_addresses_alone(self, filtered):
        filtered.network(1)
        one = filtered.container(filtered.network(0, internal=True), 2)  # with a default route, as its root can set one
        for own in ("172.30.0.1", "fd00:30::1"):
            for protocol in ("tcp", "udp"):
                assert site.says(one, filtered.host, own, 80, 80, protocol=protocol)
        for other in (site.UPLINK4, site.UPLINK6, "172.31.0.1", "fd00:31::1"):
            for protocol in ("tcp", "udp"):
                assert site.unheard(one, filtered.host, other, 80, 80, protocol=protocol)

    def test_without_icc_containers_reach_each_other_by_published_ports_alone(self, place):
        net = place.network(0, **ICC_OFF)
        one, other = place.container(net, 2, isolated=True), place.container(net, 3, isolated=True)
        place.host.run(lambda: site.write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0"))
        place.publish(other, *PORTS)
        assert site.unheard(one, other, other.ipv4, 80, 80)
        site.ip(one, f"route add {other.ipv4} via 172.30.0.1")  # past the ports' isolation, through the host
        assert site.unheard(one, other, other.ipv4, 80, 80)
        assert site.says(one, other, site.UPLINK4, 8080, 80) == "172.30.0.1"
        assert site.says(one, place.world, site.WORLD4, 80, 80) == site.UPLINK4

    def test_without_masquerading_a_container_appears_as_itself(self, place):
        net = place.network(0, **{ruleset.MASQUERADE: "false"})
        one = place.container(net, 2)
        site.ip(place.world, "route add 172.30.0.0/16 via 203.0.113.1")
        assert site.says(one, place.world, site.WORLD4, 80, 80) == one.ipv4

    @pytest.mark.parametrize("forged", ["172.31.0.9", "198.51.100.9", "203.0.113.7", "fd00:31::9", "2001:db8:9::9"])
    def test_a_container_with_an_address_it_was_not_given_is_not_heard(self, place, forged):
        one = place.container(place.network(0), 2)
        place.network(1)
        version, length = (6, 128) if ":" in forged else (4, 32)
        gateway = "fd00:30::1" if version == 6 else "172.30.0.1"
        site.ip(
            one, f"address add {forged}/{length} dev eth0" + (" nodad" if version == 6 else ""), family=f"-{version}"
        )
        site.ip(one, f"route replace default via {gateway} dev eth0 src {forged}", family=f"-{version}")
        for path in ("all", "pouch0"):  # else the reverse path filter would refuse it before us
            place.host.run(lambda path=path: site.write(f"/proc/sys/net/ipv4/conf/{path}/rp_filter", "0"))
        own = one.ipv6 if version == 6 else one.ipv4
        for server, address in ((place.world, site.WORLD6 if version == 6 else site.WORLD4), (place.host, gateway)):
            assert _heard(server, address, one, own, network.PATIENCE)
            assert not _heard(server, address, one, forged, network.REFUSED_WITHIN)


def _heard(server: network.Netns, address: str, sender: network.Netns, source: str, patience: float) -> bool:
    """Whether a datagram with this source address arrives."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        server.run(lambda: socket.socket(family, socket.SOCK_DGRAM)) as receiver,
        sender.run(lambda: socket.socket(family, socket.SOCK_DGRAM)) as one,
    ):
        receiver.bind(("", 4444))
        receiver.settimeout(patience)
        one.bind((source, 0))
        one.sendto(b"word", (address, 4444))
        try:
            return receiver.recv(10) == b"word"
        except TimeoutError:
            return False


class TestWhole:
    def test_nothing_is_done_where_nobody_has_changed_the_table(self, place):
        net = place.network(0)
        place.publish(place.container(net, 2), *PORTS)
        assert not place.host.run(place.firewall.ensure)
        place.host.run(lambda: place.firewall.add_network(net))
        place.host.run(lambda: nft.apply("add table inet other\nadd chain inet other c\n"))
        assert not place.host.run(place.firewall.ensure)

    @pytest.mark.parametrize(
        "damage",
        [
            "flush ruleset",
            "delete table inet pouch0",
            "flush table inet pouch0",
            "flush map inet pouch0 any4",
            "insert rule inet pouch0 forward drop",
            "delete element inet pouch0 any4 { tcp . 8080 }",
            "add element inet pouch0 any4 { tcp . 8081 : 172.30.0.3 . 22 }",
        ],
    )
    def test_what_somebody_changes_is_told_and_put_back(self, place, damage):
        server = place.container(place.network(0), 2)
        place.publish(server, *PORTS)
        before, monitor = table(place), place.host.run(place.firewall.monitor)
        assert firewall.News.OURS not in monitor.read()
        place.host.run(lambda: nft.apply(f"{damage}\n"))
        assert table(place) != before
        assert firewall.News.OURS in monitor.read()
        assert place.host.run(place.firewall.ensure)
        assert table(place) == before
        assert not place.host.run(place.firewall.ensure)
        assert site.says(place.world, server, site.UPLINK4, 8080, 80) == site.WORLD4

    @pytest.mark.parametrize("damage", ["flush ruleset", "flush map inet pouch0 any4", "flush set inet pouch0 bridges"])
    def test_the_next_change_puts_back_all_of_it(self, place, damage):
        net = place.network(0)
        server, other = place.container(net, 2), place.container(net, 3)
        place.publish(server, *PORTS)
        place.host.run(lambda: nft.apply(f"{damage}\n"))
        place.publish(other, site.port(80, 8081), name="d")
        assert site.says(place.world, server, site.UPLINK4, 8080, 80) == site.WORLD4
        assert site.says(place.world, other, site.UPLINK4, 8081, 80) == site.WORLD4

    def test_others_chains_are_told_apart_from_others_elements(self, place):
        place.network(0)
        monitor = place.host.run(place.firewall.monitor)
        monitor.read()
        place.host.run(lambda: nft.apply("table inet other {\nset s { type ipv4_addr; }\nchain c { }\n}\n"))
        assert monitor.read() == {firewall.News.OTHERS}
        place.host.run(lambda: nft.apply("add element inet other s { 192.0.2.1 }\n"))
        assert monitor.read() == set()

    def test_news_that_were_lost_count_as_a_change(self, place):
        place.network(0)
        monitor = place.host.run(place.firewall.monitor)
        monitor.read()
        elements = ", ".join(f"10.{a}.{b}.{c}" for a in range(8) for b in range(64) for c in range(0, 256, 4))
        place.host.run(lambda: nft.apply("add table inet other\nadd set inet other s { type ipv4_addr; }\n"))
        for _ in range(4):
            place.host.run(lambda: nft.apply(f"flush set inet other s\nadd element inet other s {{ {elements} }}\n"))
        assert monitor.read() >= {firewall.News.OURS, firewall.News.OTHERS}
        assert place.host.run(place.firewall.ensure)
        assert not place.host.run(place.firewall.ensure)

    def test_a_new_daemon_has_the_table_at_once_and_leaves_out_what_is_no_more(self, place):
        net, gone = place.network(0), place.network(1)
        server = place.container(net, 2)
        place.publish(server, *PORTS)
        place.publish(place.container(gone, 2), site.port(80, 8081), name="d")
        place.firewall.close()
        place.firewall = firewall.Firewall("pouch0")
        place.firewall.load([net], {"c": (PORTS, server.ipv4, server.ipv6)})
        assert place.host.run(place.firewall.ensure)
        assert site.says(place.world, server, site.UPLINK4, 8080, 80) == site.WORLD4
        assert "pouch1" not in table(place)
        assert "8081" not in table(place)

    def test_a_bridge_that_is_made_anew_lets_the_hosts_loopback_through_again(self, place):
        net = place.network(0)
        place.publish(place.container(net, 2), *PORTS)
        place.host.run(lambda: site.write("/proc/sys/net/ipv4/conf/pouch0/route_localnet", "0"))
        place.host.run(lambda: place.firewall.add_network(net))
        assert place.host.read("/proc/sys/net/ipv4/conf/pouch0/route_localnet") == "1"

    def test_removing_networks_and_containers_leaves_no_element_and_remove_no_table(self, place):
        net = place.network(0)
        place.host.run(place.firewall.ensure)
        empty = table(place)
        other = place.network(1)
        place.publish(place.container(other, 2), *PORTS)
        place.host.run(lambda: place.firewall.unpublish("c"))
        place.host.run(lambda: place.firewall.remove_network(other.id))
        assert table(place) == empty
        place.host.run(lambda: place.firewall.remove_network(net.id))
        assert 'pouch0"' not in table(place).replace("table inet pouch0", "")
        place.host.run(place.firewall.remove)
        assert table(place) == ""

    def test_the_table_of_an_earlier_version_goes(self, place):
        place.host.run(lambda: nft.apply("add table ip pouch0\n"))
        place.network(0)
        assert place.host.run(lambda: nft.list_table("ip", "pouch0")) is None

    def test_many_at_once_all_get_through(self, place):
        net = place.network(0)
        servers = [place.container(net, last) for last in range(2, 8)]
        failures = []

        def one(number: int) -> None:
            try:
                for _ in range(5):
                    place.publish(servers[number], site.port(80, 9000 + number), name=str(number))
                    place.host.run(lambda: place.firewall.unpublish(str(number)))
                place.publish(servers[number], site.port(80, 9000 + number), name=str(number))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(servers))]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            place.host.run(lambda: nft.apply("flush ruleset\n"))
            place.host.run(place.firewall.ensure)
        for thread in threads:
            thread.join()
        assert failures == []
        place.host.run(place.firewall.ensure)
        for number, server in enumerate(servers):
            assert site.says(place.world, server, site.UPLINK4, 9000 + number, 80) == site.WORLD4

    def test_nft_understands_the_whole_of_it(self, place):
        """`nft -c -f` of what nft lists: an administrator may keep and load it."""
        place.publish(place.container(place.network(0), 2), *PORTS)
        listed = table(place)
        place.host.run(lambda: subprocess.run(["nft", "-c", "-f", "-"], input=listed, text=True, check=True))
