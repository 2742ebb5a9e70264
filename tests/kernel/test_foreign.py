"""Other firewalls on the host that drop what is forwarded, and the way through them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from support import kernel, network, wiring

from pouch.kernel import nft

pytestmark = kernel.needs(network.bridges_and_rules)

FRONT = wiring.make_network("pouch0", "172.30.0.0/16", predefined=True)
BACK = wiring.make_network("br-back", "172.29.0.0/24")
DROPPING = "table ip filter {{\nchain FORWARD {{\ntype filter hook forward priority filter; policy drop;\n{jump}\n}}\n{more}\n}}\n"


@pytest.fixture
def host() -> Iterator[network.Host]:
    with network.make_host() as made:
        yield made


@pytest.fixture
def wires(host: network.Host) -> wiring.Wiring:
    return wiring.Wiring(host)


def reaches_world(wires: wiring.Wiring) -> bool:
    process = wires.simple(FRONT, "172.30.0.2")
    return wiring.talk(process, wires.host.world, str(network.WORLD.ip)) == str(network.UPLINK.ip)


def test_a_chain_that_drops_all_forwarding_is_given_our_exception(host, wires):
    host.run(lambda: nft.apply(DROPPING.format(jump="", more="")))
    assert reaches_world(wires)


def test_one_for_ipv6_is_given_it_too(host, wires):
    host.run(lambda: nft.apply(DROPPING.format(jump="", more="").replace("table ip ", "table ip6 ")))
    host.run(lambda: wires.links.ensure(FRONT))
    assert host.run(lambda: nft.list_table("ip6", "filter")).count('"pouch0"') == 2


def test_one_that_comes_later_is_given_it_for_all_networks(host, wires):
    host.run(lambda: wires.links.ensure(FRONT))
    host.run(lambda: wires.links.ensure(BACK))
    host.run(lambda: nft.apply(DROPPING.format(jump="", more="")))
    host.run(wires.links.open_way)
    listed = host.run(lambda: nft.list_table("ip", "filter"))
    assert (listed.count('"pouch0"'), listed.count('"br-back"')) == (2, 2)
    assert reaches_world(wires)


def test_dockers_own_chain_for_exceptions_is_used_where_it_is(host, wires):
    host.run(lambda: nft.apply(DROPPING.format(jump="", more="chain DOCKER-USER {\n}\n")))
    host.run(lambda: nft.apply("insert rule ip filter FORWARD jump DOCKER-USER\n"))
    assert reaches_world(wires)
    assert "pouch0" not in host.run(lambda: nft.list_table("ip", "filter")).split("chain DOCKER-USER")[0]


def test_the_exception_is_added_once_and_removed_with_the_network(host, wires):
    host.run(lambda: nft.apply(DROPPING.format(jump="", more="")))
    for _ in range(3):
        host.run(lambda: wires.links.ensure(FRONT))
    assert host.run(lambda: nft.list_table("ip", "filter")).count("pouch0") == 2
    host.run(lambda: wires.links.remove(FRONT))
    assert "pouch0" not in host.run(lambda: nft.list_table("ip", "filter"))


def test_the_exception_does_not_open_containers_to_neighbours(host, wires):
    host.run(lambda: nft.apply(DROPPING.format(jump="", more="")))
    process = wires.simple(FRONT, "172.30.0.2")
    route = ["ip", "route", "add", "172.30.0.0/16", "via", str(network.UPLINK.ip)]
    host.world.run(lambda: subprocess.run(route, check=True))
    assert wiring.refused(host.world, process, "172.30.0.2")


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_iptables_with_a_policy_of_drop_still_works_and_lets_us_through(host, wires, program):
    def iptables(*arguments: str) -> str:
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout

    try:
        host.run(lambda: iptables("-P", "FORWARD", "DROP"))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"{program} does not work here: {error}")
    assert reaches_world(wires)
    rules = [line for line in host.run(lambda: iptables("-S")).splitlines() if "pouch0" in line]
    assert rules == ["-A FORWARD -i pouch0 -j ACCEPT", "-A FORWARD -o pouch0 -j ACCEPT"]
    host.run(lambda: wires.links.remove(FRONT))
    assert "pouch0" not in host.run(lambda: iptables("-S"))
