"""What flows goes on: while networks come and go, while the daemon is dead, and when somebody takes the rules away."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from support import matrix
from support.places import Answer

TURNS = 6


class Stream(threading.Thread):
    """Sends numbers over a connection and waits for the echo of each; `failed` is why it ended before it was told to."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._ending = threading.Event()
        self.echoed = 0
        self.failed = ""

    def run(self) -> None:
        """The thread."""
        try:
            self._connection.recv(100)  # the greeting
            while not self._ending.wait(0.001):
                sent = b"%8d" % self.echoed
                self._connection.sendall(sent)
                found = self._connection.recv(8, socket.MSG_WAITALL)
                if found != sent:
                    self.failed = f"sent {sent!r}, got {found!r}"
                    return
                self.echoed += 1
        except OSError as error:
            self.failed = repr(error)

    def close(self) -> None:
        """End it."""
        self._ending.set()
        self.join(30)
        self._connection.close()


@contextlib.contextmanager
def streaming(*connections):
    """Traffic on all of them during the block, and not one of them broken after it."""
    streams = [Stream(one) for one in connections]
    for one in streams:
        one.start()
    try:
        yield streams
    finally:
        for one in streams:
            one.close()
    assert [one.failed for one in streams] == [""] * len(streams)
    assert all(one.echoed for one in streams)


def address(host, name, network):
    return host.daemon.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]


@pytest.fixture
def two_networks(host):
    """Networks one and two, of both families."""
    for name in ("one", "two"):
        host.daemon.pouch("network", "create", "--ipv6", name)


def test_connect_and_disconnect_leave_traffic_alone(host, two_networks):
    _, web = host.box("--network", "one", *matrix.published("8080:80"), name="web")
    _, near = host.box("--network", "one", name="near")
    _, far = host.box("--network", "two", name="far")
    in_one = address(host, "web", "one")
    with (
        web.serve(80),
        streaming(
            near.connected(in_one, 80),
            host.site.connected(in_one, 80),
            host.outside.connected(host.ADDRESS, 8080),
            host.outside.connected(host.ADDRESS6, 8080),
        ),
    ):
        for _ in range(TURNS):
            host.daemon.pouch("network", "connect", "two", "web")
            assert far.tcp(address(host, "web", "two"), 80).server == "web"
            assert far.tcp(in_one, 80, timeout=0.2) is None
            host.daemon.pouch("network", "disconnect", "two", "web")
    assert sorted(host.daemon.inspect("web")["NetworkSettings"]["Networks"]) == ["one"]


def test_a_container_that_leaves_its_first_network_goes_out_by_the_next(host, two_networks):
    _, web = host.box("--network", "one", *matrix.published("8080:80"), name="web")
    host.daemon.pouch("network", "connect", "two", "web")
    with web.serve(80), host.outside.serve(99):
        host.daemon.pouch("network", "disconnect", "one", "web")
        assert web.tcp(host.OUTSIDE, 99) == Answer("outside", source=host.ADDRESS)
        assert web.tcp(host.OUTSIDE6, 99) == Answer("outside", source=host.ADDRESS6)
        assert host.outside.tcp(host.ADDRESS, 8080).server == "web"


def default_link(host, name):
    """The interface that the default route goes by."""
    routes = host.daemon.pouch("exec", name, "cat", "/proc/net/route").stdout.splitlines()
    return [fields[0] for line in routes if (fields := line.split())[1:2] == ["00000000"]]


def test_the_network_of_highest_priority_has_the_default_route(host, two_networks):
    host.daemon.pouch("network", "create", "three")
    host.daemon.pouch("network", "create", "--internal", "inner")
    wanted = ("one", "name=two,gw-priority=1", "name=inner,gw-priority=9")
    _, web = host.box(*(word for text in wanted for word in ("--network", text)), name="web")
    assert default_link(host, "web") == ["eth2"]
    assert host.daemon.inspect("web")["NetworkSettings"]["Networks"]["two"]["GwPriority"] == 1
    host.daemon.pouch("network", "connect", "--gw-priority", "-1", "three", "web")
    assert default_link(host, "web") == ["eth2"]
    host.daemon.pouch("network", "disconnect", "three", "web")
    host.daemon.pouch("network", "connect", "--gw-priority", "2", "three", "web")
    assert default_link(host, "web") == ["eth3"]
    with host.outside.serve(99):
        assert web.tcp(host.OUTSIDE, 99) == Answer("outside", source=host.ADDRESS)
        assert web.tcp(host.OUTSIDE6, 99) == Answer("outside", source=host.ADDRESS6)
    host.daemon.pouch("network", "disconnect", "three", "web")
    assert default_link(host, "web") == ["eth2"]


def test_an_interface_has_the_kernel_parameters_that_were_asked_for(host, two_networks):
    option = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"
    _, _ = host.box("--network", f"name=one,driver-opt={option}", "--network", "two", name="web")
    paths = [f"/proc/sys/net/ipv4/conf/{link}/log_martians" for link in ("eth0", "eth1")]
    assert host.daemon.pouch("exec", "web", "cat", *paths).stdout.split() == ["1", "0"]
    for text, said in (
        ("log_martians=x", "sysctl net.ipv4.conf.IFNAME.log_martians: invalid value 'x'"),
        ("nosuch=1", "sysctl net.ipv4.conf.IFNAME.nosuch: no such parameter"),
    ):
        wrong = f"com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.{text}"
        host.daemon.pouch("network", "disconnect", "two", "web")
        failed = host.daemon.pouch("network", "connect", "--driver-opt", wrong, "two", "web", check=False)
        assert failed.returncode == 1
        assert said in failed.stderr
        host.daemon.pouch("network", "connect", "two", "web")


def test_a_dead_daemon_stops_no_traffic_and_gives_no_port_away(host, two_networks):
    _, web = host.box("--network", "one", *matrix.published("8080:80"), name="web")
    with (
        web.serve(80),
        streaming(host.outside.connected(host.ADDRESS, 8080), host.outside.connected(host.ADDRESS6, 8080)),
    ):
        host.daemon.kill()
        try:
            assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
            with pytest.raises(OSError, match="in use"):
                host.site.run(lambda: socket.create_server(("0.0.0.0", 8080)))
        finally:
            host.daemon.start()
        assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
    refused = host.daemon.pouch("run", "-d", "-p", "8080:80", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "port is already allocated" in refused.stderr
    host.daemon.pouch("rm", "-f", "web")
    host.site.run(lambda: socket.create_server(("0.0.0.0", 8080)).close())


@pytest.mark.parametrize("words", [("flush", "ruleset"), ("delete", "table", "inet", "{table}")])
def test_rules_that_somebody_takes_away_are_put_back(host, two_networks, words):
    _, web = host.box("--network", "one", *matrix.published("8080:80"), name="web")
    _, other = host.box("--network", "two", name="other")
    with web.serve(80), other.serve(80):
        assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
        before = host.state()
        for _ in range(TURNS):
            host.site.out("nft", *(word.format(table=host.daemon.bridge) for word in words))
            host.daemon.until(lambda: host.state() == before, what="the rules are back as they were")
        assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
        assert host.outside.udp(host.ADDRESS6, 8080).server == "web"
        assert web.tcp(address(host, "other", "two"), 80, timeout=0.4) is None


def test_a_bridge_that_somebody_deleted_is_made_again_by_the_next_start(host, two_networks):
    host.box("--network", "one", name="web")
    found = [line.split()[1] for line in host.state() if line.startswith("link ") and " bridge " in line]
    for link in found:
        host.site.ip(f"link delete {link}")
    host.release()
    host.daemon.pouch("rm", "-f", "web")
    _, web = host.box("--network", "one", name="web")
    _, near = host.box("--network", "one", name="near")
    with web.serve(80):
        assert near.tcp(address(host, "web", "one"), 80).server == "web"
    host.daemon.pouch("run", "--rm", "busybox", "true")
    for name in ("web", "near"):
        host.daemon.pouch("rm", "-f", name)
    host.box("--network", "two", name="last")


@pytest.mark.parametrize("word", ["link delete {bridge}", "link set {port} nomaster", "address flush dev {bridge}"])
def test_what_somebody_took_apart_is_whole_again_after_a_restart(host, two_networks, word):
    _, web = host.box("--network", "one", *matrix.published("8080:80"), name="web")
    _, near = host.box("--network", "one", name="near")
    bridge = f"br-{host.daemon.out('network', 'inspect', '-f', '{{.Id}}', 'one').strip()[:12]}"
    port = host.site.out("ip", "-o", "link", "show", "master", bridge).split()[1].partition("@")[0]
    host.site.ip(word.format(bridge=bridge, port=port))
    host.daemon.stop()
    host.daemon.start()
    with web.serve(80):
        assert near.tcp(address(host, "web", "one"), 80).server == "web"
        assert host.site.tcp(address(host, "web", "one"), 80).server == "web"
        assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
        assert host.outside.tcp(host.ADDRESS6, 8080).server == "web"
