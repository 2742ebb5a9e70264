"""Policies and rates on the real kernel."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support import kernel, network, site

from pouch.kernel import nft, rtnetlink, traffic
from pouch.network import firewall, policy
from pouch.spec import errors
from pouch.spec.network import UNLIMITED, PolicyRule, Rate

pytestmark = kernel.needs(network.bridges_and_rules)

C = "c" * 64
SIZE = 1 << 20
MEGABIT = 1_000_000


@functools.cache
def rates() -> str:
    """Why this kernel cannot limit a link's rate; "" when it can."""

    def attempt() -> None:
        with rtnetlink.RouteSocket() as sock:
            traffic.lead(sock, "lo", traffic.Direction.OUT, traffic.add_device(sock, "probe", MEGABIT))

    try:
        with network.make_host() as host:
            host.run(attempt)
    except (errors.PouchError, OSError) as error:
        return str(error).replace("\n", " ")
    return ""


@pytest.fixture
def place() -> Iterator[site.Site]:
    with site.site() as made:
        yield made


def rules(*texts: str) -> list[PolicyRule]:
    return [PolicyRule(action=one.split()[0], network=one.split()[1]) for one in texts]


def apply(place: site.Site, container: site.Container, *texts: str, rate: Rate = UNLIMITED) -> policy.Policy:
    made = policy.Policy(place.firewall)
    place.host.run(lambda: made.apply(C, [container.link], rules(*texts), rate))
    return made


def reaches(one: network.Netns, other: network.Netns, address: str) -> bool:
    return site.says(one, other, address, 80, 80) != ""


def cut(one: network.Netns, other: network.Netns, address: str) -> bool:
    return site.unheard(one, other, address, 80, 80)


def netdev(place: site.Site) -> str:
    return place.host.run(lambda: nft.list_table("netdev", "pouch0")) or ""


class TestPolicy:
    def test_what_is_denied_is_not_reached_and_does_not_reach_the_container_all_else_does(self, place):
        net = place.network(0)
        one, denied, other = (place.container(net, last) for last in (2, 3, 4))
        apply(place, one, "deny 172.30.0.3", f"deny {denied.ipv6}")
        for address, own in ((denied.ipv4, one.ipv4), (denied.ipv6, one.ipv6)):
            assert cut(one, denied, address)
            assert cut(denied, one, own)
        for address, own in ((other.ipv4, one.ipv4), (other.ipv6, one.ipv6)):
            assert reaches(one, other, address)
            assert reaches(other, one, own)
        assert reaches(one, place.world, site.WORLD4)
        assert reaches(denied, other, other.ipv4)

    def test_where_something_is_allowed_nothing_else_is(self, place):
        net = place.network(0)
        one, allowed, other = (place.container(net, last) for last in (2, 3, 4))
        apply(place, one, "allow 172.30.0.3/32", f"allow {allowed.ipv6}/128")
        assert reaches(one, allowed, allowed.ipv4)
        assert reaches(one, allowed, allowed.ipv6)
        assert reaches(allowed, one, one.ipv4)
        assert cut(one, other, other.ipv4)
        assert cut(one, other, other.ipv6)
        assert cut(other, one, one.ipv4)
        assert cut(one, place.world, site.WORLD4)
        assert cut(one, place.host, "172.30.0.1")

    def test_the_first_rule_that_matches_decides(self, place):
        net = place.network(0)
        one, near = place.container(net, 2), place.container(net, 3)
        apply(place, one, "deny 172.30.0.3", "allow 172.30.0.0/16")
        assert cut(one, near, near.ipv4)
        assert reaches(one, place.host, "172.30.0.1")
        apply(place, one, "allow 172.30.0.3", "deny 172.30.0.0/16")
        assert reaches(one, near, near.ipv4)
        assert cut(one, place.host, "172.30.0.1")

    def test_a_network_of_length_zero_is_a_whole_family(self, place):
        one = place.container(place.network(0), 2)
        apply(place, one, "deny 0.0.0.0/0")
        assert cut(one, place.world, site.WORLD4)
        assert reaches(one, place.world, site.WORLD6)
        apply(place, one, "allow 0.0.0.0/0")
        assert reaches(one, place.world, site.WORLD4)
        assert cut(one, place.world, site.WORLD6)

    def test_it_sees_who_calls_a_published_port(self, place):
        one = place.container(place.network(0), 2)
        place.publish(one, site.port(80, 8080))
        apply(place, one, f"deny {site.WORLD4}")
        assert site.unheard(place.world, one, site.UPLINK4, 8080, 80)
        assert site.says(place.host, one, site.UPLINK4, 8080, 80) == site.UPLINK4

    def test_frames_with_a_vlan_tag_do_not_pass(self, place):
        net = place.network(0)
        one, free, other = (place.container(net, last) for last in (2, 3, 4))
        with _sniffer(other) as receiver:
            assert _first(free, receiver) == b"tagged"
            apply(place, one, "deny 172.30.0.9")
            assert _first(one, receiver) == b"plain "

    def test_applying_again_takes_the_place_of_what_was_and_no_rules_are_none(self, place):
        one = place.container(place.network(0), 2)
        apply(place, one, f"deny {site.WORLD4}")
        apply(place, one, f"deny {site.WORLD6}")
        assert reaches(one, place.world, site.WORLD4)
        assert cut(one, place.world, site.WORLD6)
        apply(place, one)
        assert reaches(one, place.world, site.WORLD6)
        assert netdev(place) == ""

    def test_remove_leaves_nothing_also_after_the_link_has_gone(self, place):
        net = place.network(0)
        one, other = place.container(net, 2), place.container(net, 3)
        made = policy.Policy(place.firewall)
        place.host.run(lambda: made.apply("one", [one.link], rules("deny 10.0.0.0/8"), UNLIMITED))
        place.host.run(lambda: made.apply("other", [other.link], rules("deny 10.0.0.0/8"), UNLIMITED))
        site.ip(place.host, f"link delete {one.link}")
        place.host.run(lambda: made.remove("one"))
        assert "sent_one" not in netdev(place)
        assert "sent_other" in netdev(place)
        for _ in range(2):
            place.host.run(lambda: made.remove("other"))
        assert netdev(place) == ""

    @pytest.mark.parametrize("damage", ["flush ruleset", "delete table netdev pouch0", "flush table netdev pouch0"])
    def test_what_somebody_else_changes_is_told_and_put_back(self, place, damage):
        net = place.network(0)
        one, gone = place.container(net, 2), place.container(net, 3)
        apply(place, one, "deny 172.30.0.1")
        made = policy.Policy(place.firewall)
        place.host.run(lambda: made.apply("gone", [gone.link], rules("deny 10.0.0.0/8"), UNLIMITED))
        site.ip(place.host, f"link delete {gone.link}")
        place.host.run(place.firewall.ensure)
        monitor = place.firewall.monitor()
        assert firewall.News.OURS not in monitor.read()
        place.host.run(lambda: nft.apply(f"{damage}\n"))
        assert firewall.News.OURS in monitor.read()
        assert reaches(one, place.host, "172.30.0.1")
        assert place.host.run(place.firewall.ensure)
        assert cut(one, place.host, "172.30.0.1")
        assert not place.host.run(place.firewall.ensure)

    def test_a_new_daemon_keeps_it(self, place):
        net = place.network(0)
        one = place.container(net, 2)
        apply(place, one, f"deny {site.WORLD4}")
        place.firewall.close()
        place.firewall = firewall.Firewall("pouch0")
        kept = policy.restriction(C, [one.link], rules(f"deny {site.WORLD4}"))
        place.firewall.load([net], {}, {C: kept})
        place.host.run(place.firewall.ensure)
        assert cut(one, place.world, site.WORLD4)
        place.host.run(lambda: policy.Policy(place.firewall).remove(C))
        assert reaches(one, place.world, site.WORLD4)

    @pytest.mark.parametrize(
        ("action", "peers"),
        [("allow", "10.0.0.1/8"), ("allow", ""), ("drop", "10.0.0.0/8"), ("deny", "x"), ("deny", "10.0.0.0/8 } }\n")],
    )
    def test_a_rule_that_is_none_is_refused(self, place, action, peers):
        one = place.container(place.network(0), 2)
        with pytest.raises(errors.InvalidInput, match="network policy"):
            policy.Policy(place.firewall).apply(C, [one.link], [PolicyRule(action=action, network=peers)], UNLIMITED)


EXPERIMENTAL = 0x88B5
"""An ether type for local experiments (IEEE 802)."""


@contextlib.contextmanager
def _sniffer(place: network.Netns) -> Iterator[socket.socket]:
    """All frames of that type, tagged or not, that arrive."""
    with place.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EXPERIMENTAL))) as made:
        made.settimeout(0.1)
        yield made


def _first(place: network.Netns, receiver: socket.socket) -> bytes:
    """Of a tagged frame and a plain one sent after it, again until something arrives: what arrives first."""
    with place.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as sender:
        sender.bind(("eth0", 0))
        header, kind = b"\xff" * 6 + b"\x02" * 6, EXPERIMENTAL.to_bytes(2)
        deadline = time.monotonic() + 4 * network.PATIENCE
        while time.monotonic() < deadline:
            sender.send(header + bytes.fromhex("8100 0005") + kind + b"tagged".ljust(50))
            sender.send(header + kind + b"plain".ljust(50))
            with contextlib.suppress(TimeoutError):
                found = receiver.recv(200)[14:20]
                while True:
                    try:
                        receiver.recv(200)
                    except TimeoutError:
                        return found
    return b""


def seconds(sender: network.Netns, receiver: network.Netns, address: str) -> float:
    """How long a mebibyte takes from a sender to who listens."""
    with receiver.run(lambda: socket.create_server((address, 0))) as listener:
        listener.settimeout(network.PATIENCE)
        number = listener.getsockname()[1]
        with sender.run(lambda: network.connect(address, number)) as one:
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(20)
                start = time.monotonic()
                pump = threading.Thread(target=one.sendall, args=(bytes(SIZE),))
                pump.start()
                got = 0
                while got < SIZE:
                    got += len(accepted.recv(1 << 16))
                taken = time.monotonic() - start
                pump.join()
                return taken


@kernel.needs(rates)
class TestRate:
    AT_20_MEGABIT = (SIZE - 3 * (1 << 16)) * 8 / (20 * MEGABIT)
    """Seconds, were the bursts for nothing."""

    def test_what_a_container_receives_is_no_faster_and_what_it_sends_is_free(self, place):
        one = place.container(place.network(0), 2)
        apply(place, one, rate=Rate(ingress=20 * MEGABIT))
        assert seconds(place.host, one, one.ipv4) > self.AT_20_MEGABIT
        assert seconds(one, place.host, "172.30.0.1") < self.AT_20_MEGABIT

    def test_what_it_sends_is_no_faster_and_what_it_receives_is_free(self, place):
        one = place.container(place.network(0), 2)
        apply(place, one, rate=Rate(egress=20 * MEGABIT))
        assert seconds(one, place.host, "172.30.0.1") > self.AT_20_MEGABIT
        assert seconds(place.host, one, one.ipv4) < self.AT_20_MEGABIT

    def test_it_nearly_has_what_it_was_given(self, place):
        one = place.container(place.network(0), 2)
        apply(place, one, rate=Rate(ingress=20 * MEGABIT, egress=20 * MEGABIT))
        for taken in (seconds(one, place.host, "172.30.0.1"), seconds(place.host, one, one.ipv4)):
            assert self.AT_20_MEGABIT < taken < 4 * self.AT_20_MEGABIT

    def test_several_links_share_one_allowance(self, place):
        one, second = place.container(place.network(0), 2), place.container(place.network(1), 2)
        made = policy.Policy(place.firewall)
        place.host.run(lambda: made.apply(C, [one.link, second.link], [], Rate(ingress=20 * MEGABIT)))
        taken: list[float] = []

        def run(container: site.Container) -> None:
            taken.append(seconds(place.host, container, container.ipv4))

        threads = [threading.Thread(target=run, args=(each,)) for each in (one, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(taken) > 1.5 * self.AT_20_MEGABIT

    def test_a_policy_holds_with_it(self, place):
        one = place.container(place.network(0), 2)
        apply(place, one, f"deny {site.WORLD4}", rate=Rate(ingress=20 * MEGABIT, egress=20 * MEGABIT))
        assert cut(one, place.world, site.WORLD4)
        assert reaches(one, place.host, "172.30.0.1")

    def test_applying_again_changes_it_and_remove_leaves_no_device(self, place):
        before = sorted(place.host.links())
        one = place.container(place.network(0), 2)
        made = apply(place, one, rate=Rate(ingress=MEGABIT, egress=MEGABIT))
        assert len(place.host.links()) == len(before) + 4
        apply(place, one, rate=Rate(ingress=100_000 * MEGABIT))
        assert seconds(place.host, one, one.ipv4) < self.AT_20_MEGABIT
        assert seconds(one, place.host, "172.30.0.1") < self.AT_20_MEGABIT
        for _ in range(2):
            place.host.run(lambda: made.remove(C, [one.link]))
        assert sorted(place.host.links()) == sorted([*before, "pouch0", one.link])
        assert reaches(one, place.host, "172.30.0.1")

    def test_a_rate_that_is_next_to_nothing_is_refused(self, place):
        with pytest.raises(errors.InvalidInput, match="expected at least"):
            policy.Policy(place.firewall).apply(C, [], [], Rate(ingress=1))
