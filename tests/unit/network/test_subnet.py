"""Which network the bridge gets."""

from __future__ import annotations

import ipaddress

import pytest

from pouch.network import subnet
from pouch.spec import errors


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
