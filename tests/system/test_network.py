"""Networks: bridge, none, host; names and resolvers."""

from __future__ import annotations

import ipaddress
import os

import pytest


def shell(daemon, *flags, script):
    """What a script prints in a new container."""
    return daemon.out("run", "--rm", *flags, "busybox", "sh", "-c", script)


def endpoint(daemon, id_):
    return daemon.inspect(id_)["NetworkSettings"]["Networks"]["bridge"]


def test_a_container_has_an_address_and_reaches_its_gateway(daemon):
    id_ = daemon.box("--cap-add", "NET_RAW")
    found = endpoint(daemon, id_)
    address, gateway = found["IPAddress"], found["Gateway"]
    network = ipaddress.ip_network(f"{gateway}/{found['IPPrefixLen']}", strict=False)
    assert ipaddress.ip_address(address) in network
    shown = daemon.out("exec", id_, "ip", "-4", "addr", "show", "eth0")
    assert f"inet {address}/{found['IPPrefixLen']}" in shown
    assert found["MacAddress"] in daemon.out("exec", id_, "ip", "link", "show", "eth0")
    assert f"default via {gateway} dev eth0" in daemon.out("exec", id_, "ip", "route")
    daemon.pouch("exec", id_, "ping", "-c1", "-W5", gateway)
    assert daemon.inspect(id_)["NetworkSettings"]["IPAddress"] == address


def test_two_containers_reach_each_other_and_the_host_reaches_both(daemon):
    server = daemon.box(command=("sh", "-c", "while :; do echo hello | nc -l -p 8000; done"))
    address = endpoint(daemon, server)["IPAddress"]
    script = f"until nc {address} 8000 2>/dev/null; do :; done"
    assert shell(daemon, script=script) == "hello"
    import socket

    def greeting():
        try:
            with socket.create_connection((address, 8000), timeout=5) as connection:
                return connection.recv(100)
        except ConnectionRefusedError:
            return b""

    assert daemon.until(greeting) == b"hello\n"


def test_addresses_differ_and_return(daemon):
    ids = [daemon.box() for _ in range(3)]
    addresses = [endpoint(daemon, id_)["IPAddress"] for id_ in ids]
    assert len(set(addresses)) == 3
    daemon.pouch("rm", "-f", ids[1])
    assert endpoint(daemon, daemon.box())["IPAddress"] == addresses[1]


def test_a_stopped_container_has_no_address(daemon):
    id_ = daemon.box()
    daemon.pouch("kill", id_)
    daemon.pouch("wait", id_)
    assert endpoint(daemon, id_)["IPAddress"] == ""


def test_names_in_etc_hosts(daemon):
    id_ = daemon.box("--hostname", "web", "--add-host", "db:10.1.2.3", "--add-host", "gw:host-gateway")
    found = endpoint(daemon, id_)
    lines = [line.split() for line in daemon.out("exec", id_, "cat", "/etc/hosts").splitlines()]
    assert ["127.0.0.1", "localhost"] in lines
    assert ["10.1.2.3", "db"] in lines
    assert [found["Gateway"], "gw"] in lines
    assert [found["IPAddress"], "web"] in lines


def test_resolvers_are_given_or_the_hosts(daemon):
    flags = ("--dns", "192.0.2.1", "--dns-search", "example.org", "--dns-option", "ndots:3")
    lines = shell(daemon, *flags, script="cat /etc/resolv.conf").splitlines()
    assert {"nameserver 192.0.2.1", "search example.org", "options ndots:3"} <= set(lines)
    assert "nameserver" in shell(daemon, script="cat /etc/resolv.conf")


def test_network_none_has_loopback_only(daemon):
    script = "ls /sys/class/net; ip addr show lo; ip route"
    found = shell(daemon, "--network", "none", script=script)
    assert found.split()[0] == "lo"
    assert "eth0" not in found
    assert "inet 127.0.0.1/8" in found
    assert "UP" in found


def test_network_host_is_the_hosts(daemon):
    found = shell(daemon, "--network", "host", script="readlink /proc/self/ns/net; hostname; ls /sys/class/net")
    assert found.splitlines()[0] == os.readlink("/proc/self/ns/net")
    assert set(os.listdir("/sys/class/net")) >= set(found.splitlines()[2:])


def test_a_container_does_not_see_the_hosts_links(daemon):
    assert set(shell(daemon, script="ls /sys/class/net").split()) <= {
        "lo",
        "eth0",
        "sit0",
        "tunl0",
        "ip6tnl0",
        "ifb0",
        "ifb1",
    }


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--network", "nonsense"), "network nonsense not found"),
        (("--add-host", "bad"), "bad"),
        (("--add-host", "db:999.1.1.1"), "999.1.1.1"),
        (("--dns", "nonsense"), "nonsense"),
        (("--hostname", "a b"), "a b"),
        (("--hostname", "x" * 64), "x" * 64),
        (("--network", "host", "--sysctl", "net.core.somaxconn=1"), "host network"),
    ],
)
def test_a_bad_network_is_one_clear_error(daemon, flags, text):
    done = daemon.pouch("run", "--rm", *flags, "busybox", "true", check=False)
    assert (done.returncode, text in done.stderr) == (125, True), done
    assert daemon.out("ps", "-aq") == ""
