"""Which network the bridge gets."""

from __future__ import annotations

import ipaddress

import pytest

from pouch.network import subnet
from pouch.spec import errors


def taken6(*texts: str) -> list[subnet.Occupied]:
    return [subnet.Occupied(ipaddress.IPv6Network(text), "a route through eth0") for text in texts]


def taken(*texts: str) -> list[subnet.Occupied]:
    return [subnet.Occupied(ipaddress.IPv4Network(text), "a route through eth0") for text in texts]


def test_the_first_candidate_is_chosen_on_a_host_that_uses_none():
    assert subnet.choose([]) == ipaddress.IPv4Network("172.30.0.0/16")


@pytest.mark.parametrize("used", ["172.30.0.0/16", "172.30.7.0/24", "172.30.0.5/32", "172.30.0.0/15"])
def test_a_candidate_that_overlaps_what_the_host_uses_is_passed_over(used):
    chosen = subnet.choose(taken(used))
    assert not chosen.overlaps(ipaddress.IPv4Network(used))
    assert chosen in subnet.CANDIDATES


def test_a_host_that_uses_172_16_gets_a_network_from_elsewhere():
    assert str(subnet.choose(taken("172.16.0.0/12"))) == "10.213.0.0/16"
    assert str(subnet.choose(taken("172.16.0.0/12", "10.0.0.0/8"))) == "192.168.224.0/20"


def test_the_current_network_is_kept_while_it_is_free():
    assert str(subnet.choose([], current="10.99.0.0/24")) == "10.99.0.0/24"
    assert str(subnet.choose(taken("10.99.0.0/16"), current="10.99.0.0/24")) == "172.30.0.0/16"


def test_the_configured_network_wins_over_the_current_one():
    assert str(subnet.choose([], configured="10.1.0.0/16", current="10.99.0.0/24")) == "10.1.0.0/16"


def test_a_configured_network_that_overlaps_is_an_error_that_names_what():
    with pytest.raises(errors.Conflict) as caught:
        subnet.choose(taken("10.0.0.0/8"), configured="10.1.0.0/16")
    assert caught.value.message == "bridge_subnet 10.1.0.0/16 overlaps 10.0.0.0/8: a route through eth0"
    assert "bridge_subnet" in caught.value.hint


def test_nothing_free_is_an_error_that_names_what_is_used():
    with pytest.raises(errors.Unavailable, match=r"172\.16\.0\.0/12 \(a route through eth0\); 10\.0\.0\.0/8"):
        subnet.choose(taken("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "bridge_subnet"),
        ("10.0.0.1/16", "has host bits set"),
        ("fd00::/64", "bridge_subnet"),
        ("10.0.0.0/30", "prefix length from 8 to 29"),
        ("10.0.0.0/7", "bridge_subnet"),
        ("127.0.0.0/16", "ordinary hosts"),
        ("224.0.0.0/16", "ordinary hosts"),
        ("169.254.0.0/16", "ordinary hosts"),
    ],
)
def test_what_is_no_network_for_containers_is_refused_with_the_keys_name(text, why):
    with pytest.raises(errors.InvalidInput, match=why) as caught:
        subnet.parse(text)
    assert caught.value.message.startswith("bridge_subnet")


def test_no_two_candidates_overlap():
    for number, one in enumerate(subnet.CANDIDATES):
        assert one.is_private
        assert not any(one.overlaps(other) for other in subnet.CANDIDATES[:number])


class TestPools:
    def test_the_first_free_network_of_the_pools_in_their_order(self):
        pools = [subnet.parse_pool("10.9.0.0/23", 24), subnet.parse_pool("10.8.0.0/16", 20)]
        assert str(subnet.choose([], pools=pools)) == "10.9.0.0/24"
        assert str(subnet.choose(taken("10.9.0.7/32"), pools=pools)) == "10.9.1.0/24"
        assert str(subnet.choose(taken("10.9.0.0/16"), pools=pools)) == "10.8.0.0/20"

    def test_one_that_is_used_in_pieces_and_overlapping_ones_is_passed_over(self):
        used = taken("10.9.0.0/25", "10.9.0.64/26", "10.9.1.0/24", "10.9.2.255/32") + taken6("fd00::/8")
        assert str(subnet.choose(used, pools=[subnet.parse_pool("10.9.0.0/16", 24)])) == "10.9.3.0/24"
        used += taken("10.8.0.0/14")
        assert (
            str(
                subnet.choose(used, pools=[subnet.parse_pool("10.9.0.0/16", 24), subnet.parse_pool("10.12.0.0/16", 24)])
            )
            == "10.12.0.0/24"
        )

    def test_a_pool_of_many_networks_is_looked_through_by_what_is_taken_in_it(self):
        used = [
            subnet.Occupied(network, "another network")
            for network in ipaddress.ip_network("10.0.0.0/12").subnets(new_prefix=24)
        ]
        assert str(subnet.choose(used, pools=[subnet.parse_pool("10.0.0.0/8", 24)])) == "10.16.0.0/24"

    def test_hosts_with_many_networks_get_smaller_ones_at_the_end(self):
        used = [subnet.Occupied(network, "another network") for network in subnet.CANDIDATES]
        assert str(subnet.choose(used)) == "10.232.0.0/24"

    def test_pools_that_are_all_used_are_an_error(self):
        with pytest.raises(errors.Unavailable, match="no private network is left") as caught:
            subnet.choose(taken("10.9.0.0/16"), pools=[subnet.parse_pool("10.9.0.0/24", 26)])
        assert "default-address-pools" in caught.value.hint

    @pytest.mark.parametrize(
        ("base", "size", "why"),
        [
            ("10.0.0.0/8", 7, "from 8 to 29"),
            ("10.0.0.0/24", 16, "from 24 to 29"),
            ("10.0.0.0/24", 30, "from 24 to 29"),
            ("fd00::/48", 127, "from 48 to 126"),
            ("10.0.0.1/24", 26, "host bits"),
            ("everything", 24, 'base "everything"'),
            ("127.0.0.0/8", 24, "ordinary hosts"),
            ("fe80::/10", 64, "ordinary hosts"),
        ],
    )
    def test_one_that_cannot_be_is_refused_with_the_keys_name(self, base, size, why):
        with pytest.raises(errors.InvalidInput, match=why) as caught:
            subnet.parse_pool(base, size)
        assert caught.value.message.startswith("default-address-pools: ")


class TestIpv6:
    def test_each_daemon_has_a_site_of_its_own_that_stays(self):
        first, again, other = (subnet.choose6([], seed=seed) for seed in ("a", "a", "b"))
        assert first == again != other
        assert first.prefixlen == 64
        assert first.subnet_of(ipaddress.IPv6Network("fd00::/8"))

    def test_networks_of_one_daemon_follow_each_other(self):
        first = subnet.choose6([], seed="a")
        second = subnet.choose6(taken6(str(first)), seed="a")
        assert int(second.network_address) - int(first.network_address) == 1 << 64
        assert subnet.site("a").supernet_of(second)

    def test_the_current_one_is_kept_while_it_is_free(self):
        assert str(subnet.choose6([], seed="a", current="fd00:9::/64")) == "fd00:9::/64"
        assert subnet.choose6(taken6("fd00:9::/48"), seed="a", current="fd00:9::/64") in subnet.site("a").subnets(
            new_prefix=64
        )

    def test_pools_of_its_family_are_used_and_others_are_not(self):
        pools = [subnet.parse_pool("10.0.0.0/8", 24), subnet.parse_pool("fd00:7::/56", 64)]
        assert str(subnet.choose6(taken6("fd00:7::/64"), seed="a", pools=pools)) == "fd00:7:0:1::/64"
        assert str(subnet.choose([], pools=pools[1:])) == "172.30.0.0/16"

    def test_nothing_free_is_an_error_that_names_the_pools(self):
        with pytest.raises(errors.Unavailable, match="all of fd00:7::/64 are used"):
            subnet.choose6(taken6("fd00::/16"), seed="a", pools=[subnet.parse_pool("fd00:7::/64", 64)])
