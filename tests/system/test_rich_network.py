"""A machine whose image has four services that would all set its interface up by DHCP: they leave it to the engine."""

from __future__ import annotations

import json

import pytest
from support import machines

BOX, PEER, FRONT, BACK = "net-box", "net-peer", "net-front", "net-back"
SERVICES = ("networking", "systemd-networkd", "NetworkManager", "systemd-resolved")


@pytest.fixture(scope="module")
def home(rich_session):
    """Two networks, the machine, and a neighbour of it."""
    for name in (FRONT, BACK):
        rich_session.out("network", "create", name)
    machines.load(rich_session, machines.DUMB_INIT)
    rich_session.out("run", "-d", "--name", PEER, "--network", FRONT, machines.DUMB_INIT.image, "sleep", "10000")
    machines.boot(rich_session, machines.NETWORKED, BOX, "sleep", "10000", flags=("--network", FRONT))
    yield rich_session
    rich_session.pouch("rm", "-f", BOX, PEER)
    for name in (FRONT, BACK):
        rich_session.pouch("network", "rm", name)


def sh(home, script, *, check=True):
    return home.out("exec", BOX, "sh", "-c", script, check=check)


def addresses(home) -> dict[str, list[str]]:
    """IPv4 addresses with their lengths, by interface."""
    found = json.loads(sh(home, "ip -j -4 address"))
    return {
        link["ifname"]: [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]]
        for link in found
        if link["ifname"] != "lo"
    }


def given(home, *networks: str) -> dict[str, list[str]]:
    """The same as the engine tells it."""
    known = machines.inspect(home, BOX)["NetworkSettings"]["Networks"]
    return {
        f"eth{index}": [f"{known[name]['IPAddress']}/{known[name]['IPPrefixLen']}"]
        for index, name in enumerate(networks)
    }


def test_it_has_booted_without_waiting_for_a_server(home):
    """A DHCP client waits for a minute, the services that wait for the network for two."""
    assert sh(home, "systemctl is-system-running") == "running"
    for name in SERVICES:
        assert sh(home, f"systemctl is-active {name}") == "active", name
    usec = sh(home, "systemctl show --value -p UserspaceTimestampMonotonic -p FinishTimestampMonotonic").split()
    assert abs(int(usec[1]) - int(usec[0])) < 30_000_000
    assert "dhclient" not in sh(home, "ps ax")


def test_the_interface_is_as_the_engine_made_it_and_managed_by_nobody(home):
    assert addresses(home) == given(home, FRONT)
    gateway = machines.inspect(home, BOX)["NetworkSettings"]["Networks"][FRONT]["Gateway"]
    assert sh(home, "ip route show default").split()[:5] == ["default", "via", gateway, "dev", "eth0"]
    assert sh(home, "networkctl list --no-legend | awk '$2 == \"eth0\" {print $5}'") == "unmanaged"
    assert sh(home, "nmcli -t -f DEVICE,STATE device | grep eth0") == "eth0:unmanaged"
    assert sh(home, "ifquery --state eth0") == "eth0=eth0"


def test_names_are_found_also_by_resolved(home):
    assert sh(home, "head -1 /etc/resolv.conf") == "nameserver 127.0.0.11"
    peer = machines.inspect(home, PEER)["NetworkSettings"]["Networks"][FRONT]["IPAddress"]
    assert sh(home, f"getent hosts {PEER}").split()[0] == peer
    assert "foreign" in sh(home, "resolvectl status | grep 'resolv.conf mode'")
    assert peer in sh(home, f"resolvectl query --legend=no {PEER}.{FRONT}")


def test_nothing_of_that_is_a_change_of_the_container(home):
    changed = home.out("diff", BOX)
    for word in ("resolv.conf", "/etc/network", "/etc/systemd/network", "ifstate"):
        assert word not in changed


def test_a_restart_of_the_services_changes_nothing_and_what_is_connected_later_is_left_alone_too(home):
    home.out("network", "connect", BACK, BOX)
    before, route = addresses(home), sh(home, "ip route")
    assert before == given(home, FRONT, BACK)
    sh(home, f"systemctl restart {' '.join(SERVICES)}")
    assert addresses(home) == before
    assert sh(home, "ip route") == route
    assert sh(home, "systemctl is-system-running") == "running"
    assert sh(home, f"getent hosts {PEER}")


def test_what_the_machine_makes_itself_is_still_set_up_by_its_services(home):
    sh(
        home,
        "printf '[NetDev]\\nName=own0\\nKind=bridge\\n' >/etc/systemd/network/20-own.netdev; "
        "printf '[Match]\\nName=own0\\n[Network]\\nAddress=192.0.2.1/24\\nConfigureWithoutCarrier=yes\\n' "
        ">/etc/systemd/network/05-own.network; "
        "networkctl reload",
    )
    home.until(lambda: addresses(home).get("own0") == ["192.0.2.1/24"], what="own0 has its address")
