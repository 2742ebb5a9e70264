"""The bridge on the real kernel, in namespaces made for the test."""

from __future__ import annotations

import ipaddress
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import kernel, network

from pouch.kernel import nft, rtnetlink
from pouch.network import bridge, subnet
from pouch.spec import errors

pytestmark = kernel.needs(network.bridges_and_rules)

SUBNET = ipaddress.IPv4Network("172.30.0.0/16")
GATEWAY = "172.30.0.1"
A, B = "a" * 64, "b" * 64


@pytest.fixture
def host() -> Iterator[network.Host]:
    with network.make_host() as made:
        yield made


@pytest.fixture
def make(host: network.Host) -> Callable[..., bridge.Bridge]:
    def made(name: str, net: str, *, mtu: int = 0) -> bridge.Bridge:
        new = bridge.Bridge(name, ipaddress.IPv4Network(net), mtu=mtu)
        host.stack.callback(new.close)
        return new

    return made


@pytest.fixture
def pouch0(make: Callable[..., bridge.Bridge]) -> bridge.Bridge:
    return make("pouch0", str(SUBNET))


def plug(host: network.Host, net: bridge.Bridge, identifier: str, address: str, *options: str) -> network.Process:
    process = host.process(*options)
    host.run(lambda: net.connect(identifier, process.pid, address))
    return process


def talk(client: network.Netns, server: network.Netns, address: str) -> str:
    """Send a word by TCP; the peer address that the server sees."""
    with server.run(lambda: network.listen(address)) as listener:
        port = listener.getsockname()[1]
        with client.run(lambda: network.connect(address, port)) as sender:
            receiver, peer = listener.accept()
            with receiver:
                sender.sendall(b"word")
                assert receiver.recv(4) == b"word"
                return peer[0]


def refused(client: network.Netns, server: network.Netns, address: str) -> bool:
    """Whether nothing comes through to a server that listens."""
    with server.run(lambda: network.listen(address)) as listener:
        port = listener.getsockname()[1]
        try:
            client.run(lambda: network.connect(address, port, network.REFUSED_WITHIN)).close()
        except TimeoutError:
            return True
        return False


class TestConnect:
    def test_the_container_has_an_address_a_route_and_a_loopback(self, host, pouch0):
        process = host.process()
        endpoint = host.run(lambda: pouch0.connect(A, process.pid, "172.30.0.2"))
        assert endpoint == bridge.Endpoint("172.30.0.2", 16, GATEWAY, "02:42:ac:1e:00:02", "vethaaaaaaaaaaa")
        links = process.links()
        assert sorted(links) == ["eth0", "lo"]
        assert all(link.up for link in links.values())
        assert links["eth0"].mac == endpoint.mac_address

        def read() -> tuple[list[str], list[str]]:
            with rtnetlink.RouteSocket() as sock:
                return (
                    [str(one.interface) for one in sock.addresses() if one.interface.version == 4],
                    [one.gateway for one in sock.routes() if one.destination.version == 4],
                )

        addresses, gateways = process.run(read)
        assert addresses == ["127.0.0.1/8", "172.30.0.2/16"]
        assert sorted(gateways) == ["", GATEWAY]

    def test_it_reaches_the_host_and_the_host_reaches_it(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2")
        assert talk(process, host, GATEWAY) == "172.30.0.2"
        assert talk(host, process, "172.30.0.2") == GATEWAY

    def test_containers_reach_each_other_with_their_own_addresses(self, host, pouch0):
        first, second = plug(host, pouch0, A, "172.30.0.2"), plug(host, pouch0, B, "172.30.0.3")
        assert talk(first, second, "172.30.0.3") == "172.30.0.2"

    def test_outside_it_appears_with_the_hosts_address(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2")
        assert talk(process, host.world, str(network.WORLD.ip)) == str(network.UPLINK.ip)

    def test_a_neighbour_of_the_host_cannot_reach_a_container(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2")

        def route_to_containers() -> None:
            subprocess.run(["ip", "route", "add", str(SUBNET), "via", str(network.UPLINK.ip)], check=True)

        host.world.run(route_to_containers)
        assert refused(host.world, process, "172.30.0.2")

    def test_a_container_cannot_send_outside_with_an_address_it_was_not_given(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2")

        def take_another() -> None:
            with rtnetlink.RouteSocket() as sock:
                sock.add_address(sock.get_link("eth0"), ipaddress.IPv4Interface("198.51.100.9/32"))
            subprocess.run(["ip", "route", "replace", "default", "via", GATEWAY, "src", "198.51.100.9"], check=True)

        def route_back() -> None:
            subprocess.run(["ip", "route", "add", "198.51.100.9", "dev", "pouch0"], check=True)

        def route_back_to_the_host() -> None:
            subprocess.run(["ip", "route", "add", "198.51.100.9", "via", str(network.UPLINK.ip)], check=True)

        process.run(take_another)
        host.run(route_back)  # else the reverse path filter would refuse it before us
        host.world.run(route_back_to_the_host)
        assert refused(process, host.world, str(network.WORLD.ip))

    def test_a_namespace_that_a_user_namespace_owns_is_connected_too(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2", "--user", "--map-root-user")
        assert talk(process, host, GATEWAY) == "172.30.0.2"

    def test_no_interface_gets_an_ipv6_address_of_its_own(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2")
        assert "pouch0" not in host.read("/proc/thread-self/net/if_inet6")
        assert "vetha" not in host.read("/proc/thread-self/net/if_inet6")
        assert host.read("/proc/sys/net/ipv6/conf/pouch0/disable_ipv6") == "1"
        assert [line.split()[-1] for line in process.read("/proc/thread-self/net/if_inet6").splitlines()] == ["lo"]

    def test_the_mtu_is_that_of_the_hosts_uplink_unless_given(self, host, pouch0, make):
        assert plug(host, pouch0, A, "172.30.0.2").links()["eth0"].mtu == 1400
        small = make("pouch1", "172.29.0.0/16", mtu=1280)
        assert plug(host, small, B, "172.29.0.2").links()["eth0"].mtu == 1280

    def test_a_link_left_from_the_last_run_is_replaced(self, host, pouch0):
        old = plug(host, pouch0, A, "172.30.0.2")
        new = plug(host, pouch0, A, "172.30.0.3")
        assert sorted(old.links()) == ["lo"]
        assert talk(new, host, GATEWAY) == "172.30.0.3"

    def test_many_at_once_all_get_their_network(self, host, pouch0):
        processes = [host.process() for _ in range(8)]
        failures: list[BaseException] = []

        def one(number: int) -> None:
            try:
                host.run(
                    lambda: pouch0.connect(f"{number:064d}"[::-1], processes[number].pid, f"172.30.0.{number + 2}")
                )
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert {talk(each, host, GATEWAY) for each in processes} == {f"172.30.0.{n + 2}" for n in range(8)}


class TestConnectRefuses:
    def test_a_process_in_the_hosts_own_namespace(self, host, pouch0):
        neighbour = host.run(lambda: subprocess.Popen(["cat"], stdin=subprocess.PIPE))  # a child is where its thread is
        try:
            with pytest.raises(errors.Conflict, match="is in the host's network namespace"):
                host.run(lambda: pouch0.connect(A, neighbour.pid, "172.30.0.2"))
            with pytest.raises(errors.Conflict, match="is in the host's network namespace"):
                host.run(lambda: bridge.loopback_up(neighbour.pid))
        finally:
            network.end(neighbour)

    def test_a_process_that_is_gone(self, host, pouch0):
        process = host.process()
        network.end(process.popen)
        with pytest.raises(errors.NotFound, match="is gone"):
            host.run(lambda: pouch0.connect(A, process.pid, "172.30.0.2"))

    @pytest.mark.parametrize("address", ["10.0.0.1", "172.30.0.0", GATEWAY, "172.30.255.255", "nonsense", "::1"])
    def test_an_address_that_is_not_for_a_container(self, host, pouch0, address):
        process = host.process()
        with pytest.raises(errors.InvalidInput, match="address"):
            host.run(lambda: pouch0.connect(A, process.pid, address))

    def test_a_namespace_that_has_an_eth0_and_leaves_nothing_on_the_host(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2")
        with pytest.raises(errors.KernelError, match="File exists"):
            host.run(lambda: pouch0.connect(B, process.pid, "172.30.0.3"))
        assert bridge.host_link(B) not in host.links()
        assert talk(process, host, GATEWAY) == "172.30.0.2"

    def test_a_bridge_name_that_is_another_kind_of_link(self, host, make):
        with pytest.raises(errors.Conflict, match="up0 is no bridge but veth"):
            host.run(make("up0", str(SUBNET)).ensure)


class TestEnsure:
    def test_it_turns_forwarding_on_and_may_be_repeated(self, host, pouch0):
        host.run(
            lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        )  # a new namespace begins with the machine's
        host.run(pouch0.ensure)
        before = host.links()["pouch0"]
        host.run(pouch0.ensure)
        assert host.links()["pouch0"] == before
        assert before.up
        assert host.read("/proc/sys/net/ipv4/ip_forward") == "1"

    @pytest.mark.parametrize(
        "damage",
        [
            lambda: nft.apply("flush ruleset\n"),
            lambda: nft.apply("flush table inet pouch0\n"),
            lambda: nft.apply('insert rule inet pouch0 forward iifname "pouch0" drop\n'),
            lambda: subprocess.run(["ip", "addr", "flush", "dev", "pouch0"], check=True),
            lambda: subprocess.run(["ip", "link", "set", "pouch0", "down"], check=True),
            lambda: subprocess.run(["ip", "link", "delete", "pouch0"], check=True),
        ],
        ids=["all rules", "our rules", "a rule added", "the address", "the state", "the bridge"],
    )
    def test_the_next_connect_puts_back_what_somebody_removed(self, host, pouch0, damage):
        host.run(pouch0.ensure)
        host.run(damage)
        process = plug(host, pouch0, A, "172.30.0.2")
        assert talk(process, host.world, str(network.WORLD.ip)) == str(network.UPLINK.ip)

    def test_an_address_of_an_earlier_subnet_is_removed(self, host, pouch0, make):
        host.run(pouch0.ensure)
        host.run(make("pouch0", "10.213.0.0/16").ensure)
        assert host.run(lambda: bridge.current_subnet("pouch0")) == "10.213.0.0/16"

    def test_two_daemons_have_networks_that_do_not_touch(self, host, pouch0, make):
        other = make("pouch1", "172.29.0.0/16")
        first, second = plug(host, pouch0, A, "172.30.0.2"), plug(host, other, B, "172.29.0.2")
        assert refused(first, second, "172.29.0.2")
        host.run(pouch0.remove)
        assert talk(second, host.world, str(network.WORLD.ip)) == str(network.UPLINK.ip)

    def test_remove_leaves_neither_bridge_nor_rules(self, host, pouch0):
        before = sorted(host.links())
        plug(host, pouch0, A, "172.30.0.2")
        host.run(lambda: pouch0.disconnect(A))
        host.run(pouch0.remove)
        assert sorted(host.links()) == before
        assert host.run(lambda: nft.list_table("inet", "pouch0")) is None


class TestDisconnect:
    def test_it_removes_both_ends_and_may_be_repeated(self, host, pouch0):
        process = plug(host, pouch0, A, "172.30.0.2")
        host.run(lambda: pouch0.disconnect(A))
        host.run(lambda: pouch0.disconnect(A))
        assert bridge.host_link(A) not in host.links()
        assert sorted(process.links()) == ["lo"]

    def test_reconcile_removes_the_links_of_the_dead_and_no_others(self, host, pouch0, make):
        other = make("pouch1", "172.29.0.0/16")
        plug(host, pouch0, A, "172.30.0.2")
        plug(host, pouch0, B, "172.30.0.3")
        plug(host, other, "c" * 64, "172.29.0.2")
        assert host.run(lambda: pouch0.reconcile([A])) == [bridge.host_link(B)]
        assert {bridge.host_link(A), bridge.host_link("c" * 64)} <= set(host.links())
        assert bridge.host_link(B) not in host.links()

    def test_reconcile_without_a_bridge_finds_nothing(self, host, pouch0):
        assert host.run(lambda: pouch0.reconcile([])) == []


def test_loopback_up_is_all_a_container_without_a_network_has(host):
    process = host.process()
    host.run(lambda: bridge.loopback_up(process.pid))
    assert [(link.name, link.up) for link in process.links().values()] == [("lo", True)]
    assert talk(process, process, "127.0.0.1") == "127.0.0.1"


class TestOtherFirewalls:
    DROPPING = "table ip filter {{\nchain FORWARD {{\ntype filter hook forward priority filter; policy drop;\n{jump}\n}}\n{more}\n}}\n"

    def reaches_world(self, host: network.Host, pouch0: bridge.Bridge) -> bool:
        process = plug(host, pouch0, A, "172.30.0.2")
        return talk(process, host.world, str(network.WORLD.ip)) == str(network.UPLINK.ip)

    def test_a_chain_that_drops_all_forwarding_is_given_our_exception(self, host, pouch0):
        host.run(lambda: nft.apply(self.DROPPING.format(jump="", more="")))
        assert self.reaches_world(host, pouch0)

    def test_dockers_own_chain_for_exceptions_is_used_where_it_is(self, host, pouch0):
        host.run(lambda: nft.apply(self.DROPPING.format(jump="", more="chain DOCKER-USER {\n}\n")))
        host.run(lambda: nft.apply("insert rule ip filter FORWARD jump DOCKER-USER\n"))
        assert self.reaches_world(host, pouch0)
        listed = host.run(lambda: nft.list_table("ip", "filter"))
        assert "pouch0" not in listed.split("chain DOCKER-USER")[0]

    def test_the_exception_is_added_once_and_removed_with_the_bridge(self, host, pouch0):
        host.run(lambda: nft.apply(self.DROPPING.format(jump="", more="")))
        for _ in range(3):
            host.run(pouch0.ensure)
        assert host.run(lambda: nft.list_table("ip", "filter")).count("pouch0") == 2
        host.run(pouch0.remove)
        assert "pouch0" not in host.run(lambda: nft.list_table("ip", "filter"))

    def test_the_exception_does_not_open_containers_to_neighbours(self, host, pouch0):
        host.run(lambda: nft.apply(self.DROPPING.format(jump="", more="")))
        process = plug(host, pouch0, A, "172.30.0.2")
        host.world.run(
            lambda: subprocess.run(["ip", "route", "add", str(SUBNET), "via", str(network.UPLINK.ip)], check=True)
        )
        assert refused(host.world, process, "172.30.0.2")

    @pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
    def test_iptables_with_a_policy_of_drop_still_works_and_lets_us_through(self, host, pouch0, program):
        def iptables(*arguments: str) -> str:
            return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout

        try:
            host.run(lambda: iptables("-P", "FORWARD", "DROP"))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"{program} does not work here: {error}")
        assert self.reaches_world(host, pouch0)
        rules = [line for line in host.run(lambda: iptables("-S")).splitlines() if "pouch0" in line]
        assert rules == ["-A FORWARD -i pouch0 -j ACCEPT", "-A FORWARD -o pouch0 -j ACCEPT"]
        host.run(pouch0.remove)
        assert "pouch0" not in host.run(lambda: iptables("-S"))


class TestSubnet:
    def test_what_the_host_reaches_is_taken_and_named(self, host, pouch0):
        host.run(pouch0.ensure)
        taken = host.run(lambda: subnet.occupied("pouch0", ["172.29.0.53", "fe80::1", "?"]))
        assert {str(one.network): one.by for one in taken if "route" in one.by} == {
            "203.0.113.0/24": "a route through br-up"
        }
        assert "the name server 172.29.0.53" in {one.by for one in taken}
        assert not any(one.network.overlaps(SUBNET) for one in taken)
        assert any("pouch0" in one.by for one in host.run(lambda: subnet.occupied("another")))

    def test_current_is_empty_without_the_bridge(self, host):
        assert host.run(lambda: bridge.current_subnet("pouch0")) == ""


class TestClaim:
    def test_a_claimed_subnet_is_seen_as_taken_before_anything_is_connected(self, host, pouch0):
        host.run(pouch0.claim)
        host.run(pouch0.claim)
        taken = host.run(lambda: subnet.occupied("pouch1"))
        assert subnet.choose(taken) != SUBNET
        assert host.run(lambda: subnet.choose(subnet.occupied("pouch0"))) == SUBNET
        assert host.run(lambda: bridge.current_subnet("pouch0")) == str(SUBNET)

    def test_who_chooses_holds_off_others(self):
        chosen = threading.Event()

        def other():
            with bridge.choosing():
                chosen.set()

        with bridge.choosing():
            thread = threading.Thread(target=other)
            thread.start()
            assert not chosen.wait(0.05)
        thread.join(5)
        assert chosen.is_set()
