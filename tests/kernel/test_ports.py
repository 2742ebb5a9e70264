"""Published ports taken by sockets, in a network namespace of the test's own."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support import kernel, network

from pouch.kernel import namespace, rtnetlink, sockdiag
from pouch.network import ports
from pouch.spec import errors
from pouch.spec.network import PortBinding, PublishedPort

pytestmark = kernel.needs(kernel.network_namespaces)


@pytest.fixture
def host() -> Iterator[network.Netns]:
    fd = namespace.open_netns()
    place = network.Netns(fd)

    def up() -> None:
        with rtnetlink.RouteSocket() as sock:
            sock.loopback_up()

    place.run(up)
    yield place
    os.close(fd)


def reserve(host, *bindings, held=None, **families) -> ports.Reservation:
    return host.run(lambda: ports.reserve(bindings, held or {}, **families))


def bound(kind: int, host_ip: str, port: int, *, reuse: bool = False, listening: bool = False) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host_ip else socket.AF_INET, kind)
    if ":" in host_ip:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if reuse:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host_ip, port))
        if listening:
            made.listen()
    except OSError:
        made.close()
        raise
    return made


class TestReserve:
    def test_a_binding_to_all_addresses_takes_the_port_in_both_families(self, host):
        with reserve(host, PortBinding(port=80, host_port="8080")) as made:
            assert made.ports == (
                PublishedPort(port=80, protocol="tcp", host_ip="0.0.0.0", host_port=8080),
                PublishedPort(port=80, protocol="tcp", host_ip="::", host_port=8080),
            )
            assert len(made.fds) == 2

    def test_only_in_the_families_that_the_container_has(self, host):
        with reserve(host, PortBinding(port=80, host_port="8080"), ipv6=False) as made:
            assert [port.host_ip for port in made.ports] == ["0.0.0.0"]
        with reserve(host, PortBinding(port=80, host_port="8080"), ipv4=False) as made:
            assert [port.host_ip for port in made.ports] == ["::"]

    @pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
    @pytest.mark.parametrize("other", ["0.0.0.0", "127.0.0.1", "::", "::1"])
    def test_nobody_else_gets_it_until_the_descriptors_are_closed(self, host, protocol, kind, other):
        with reserve(host, PortBinding(port=80, protocol=protocol, host_port="8080")):
            for reuse in (False, True):
                with pytest.raises(OSError, match="Address already in use"):
                    host.run(lambda reuse=reuse: bound(kind, other, 8080, reuse=reuse))
        host.run(lambda: bound(kind, other, 8080)).close()

    def test_they_are_held_by_whoever_has_the_descriptors(self, host):
        with reserve(host, PortBinding(port=80, host_port="8080"), ipv6=False) as made:
            (heir,) = map(os.dup, made.fds)
        try:
            with pytest.raises(OSError, match="Address already in use"):
                host.run(lambda: bound(socket.SOCK_STREAM, "0.0.0.0", 8080))
        finally:
            os.close(heir)

    def test_any_free_port_is_the_same_in_both_families_and_differs_each_time(self, host):
        with reserve(host, *[PortBinding(port=number) for number in range(1, 21)]) as made:
            chosen = [port.host_port for port in made.ports]
            assert chosen[::2] == chosen[1::2]
            assert len(set(chosen)) == 20

    def test_of_a_range_the_first_free_one_is_taken(self, host):
        binding = PortBinding(port=80, host_ip="127.0.0.1", host_port="8000-8002")
        taken = []
        try:
            for expected in (8000, 8001, 8002):
                taken.append(reserve(host, binding))
                assert [port.host_port for port in taken[-1].ports] == [expected]
            with pytest.raises(errors.Conflict, match="8000-8002 failed: all ports are allocated"):
                reserve(host, binding)
        finally:
            for made in taken:
                made.close()

    def test_different_addresses_of_one_host_may_have_the_same_port(self, host):
        bindings = [PortBinding(port=80, host_ip=f"127.0.0.{last}", host_port="80") for last in (1, 2)]
        with reserve(host, *bindings) as made:
            assert len(made.ports) == 2

    def test_the_same_binding_twice_is_one(self, host):
        binding = PortBinding(port=80, host_port="80")
        with reserve(host, binding, binding, ipv6=False) as made:
            assert len(made.ports) == 1

    def test_sctp_is_held_by_our_own_list_where_the_kernel_has_no_such_sockets(self, host):
        first = PortBinding(port=80, protocol="sctp", host_port="80")
        with reserve(host, first, ipv6=False) as made:
            held = dict.fromkeys(ports.keys(made.ports), "web")
            with pytest.raises(errors.Conflict, match="port is already allocated"):
                reserve(host, first, held=held, ipv6=False)
        with reserve(host, PortBinding(port=80, protocol="sctp"), ipv6=False) as made:
            assert made.ports[0].host_port >= 1024

    def test_connections_that_are_over_do_not_hold_a_port(self, host):
        def leave_time_wait() -> None:
            with bound(socket.SOCK_STREAM, "127.0.0.1", 8080, reuse=True, listening=True) as listener:
                client = socket.create_connection(("127.0.0.1", 8080))
                accepted, _ = listener.accept()
                accepted.close()  # who closes first remembers
                client.recv(1)
                client.close()

        host.run(leave_time_wait)
        states = [one.state for one in host.run(lambda: sockdiag.holders(socket.AF_INET, 6, 8080))]
        assert states == [sockdiag.TIME_WAIT]
        with reserve(host, PortBinding(port=80, host_port="8080")):
            for reuse in (False, True):
                with pytest.raises(OSError, match="Address already in use"):
                    host.run(lambda reuse=reuse: bound(socket.SOCK_STREAM, "0.0.0.0", 8080, reuse=reuse))


class TestReserveRefuses:
    def test_what_another_container_has_by_dockers_sentence_and_its_name(self, host):
        with reserve(host, PortBinding(port=80, host_port="8080")) as made:
            held = dict.fromkeys(ports.keys(made.ports), "web")
            with pytest.raises(errors.Conflict) as caught:
                reserve(host, PortBinding(port=81, host_port="8080"), held=held)
        assert caught.value.message == "Bind for 0.0.0.0:8080 failed: port is already allocated"
        assert caught.value.hint == 'container "web" has it'

    @pytest.mark.parametrize(("theirs", "ours"), [("127.0.0.1", ""), ("", "127.0.0.1"), ("::1", "::")])
    def test_also_where_one_has_all_addresses_and_the_other_one_of_them(self, host, theirs, ours):
        with reserve(host, PortBinding(port=80, host_ip=theirs, host_port="8080")) as made:
            held = dict.fromkeys(ports.keys(made.ports), "web")
            with pytest.raises(errors.Conflict, match="port is already allocated") as caught:
                reserve(host, PortBinding(port=80, host_ip=ours, host_port="8080"), held=held)
        assert "web" in caught.value.hint

    def test_what_a_process_of_the_host_has_by_its_name_and_pid(self, host):
        popen = host.run(lambda: _listening_process(8080))
        try:
            with pytest.raises(errors.Conflict) as caught:
                reserve(host, PortBinding(port=80, host_port="8080"))
        finally:
            network.end(popen)
        assert caught.value.message == "Bind for 0.0.0.0:8080 failed: address already in use"
        assert caught.value.hint == f"process holder (pid {popen.pid}) has it"

    def test_a_port_that_is_asked_for_twice(self, host):
        with pytest.raises(errors.Conflict, match="port is already allocated") as caught:
            reserve(host, PortBinding(port=80, host_port="80"), PortBinding(port=81, host_port="80"))
        assert caught.value.hint == "it is asked for twice"

    def test_an_address_that_is_not_this_hosts(self, host):
        with pytest.raises(errors.InvalidInput, match="cannot assign requested address") as caught:
            reserve(host, PortBinding(port=80, host_ip="203.0.113.9", host_port="80"))
        assert caught.value.hint == "this host has no address 203.0.113.9"

    @pytest.mark.parametrize(
        "binding",
        [
            PortBinding(port=0),
            PortBinding(port=65536),
            PortBinding(port=80, protocol="icmp"),
            PortBinding(port=80, host_ip="localhost"),
            PortBinding(port=80, host_ip="fe80::1%lo"),
            PortBinding(port=80, host_ip="224.0.0.1"),
            PortBinding(port=80, host_port="x"),
            PortBinding(port=80, host_port="9-8"),
            PortBinding(port=80, host_port="65536"),
            PortBinding(port=80, host_port="-1"),
        ],
    )
    def test_what_is_no_port_and_no_address(self, host, binding):
        with pytest.raises(errors.InvalidInput):
            reserve(host, PortBinding(port=7, host_port="7"), binding)

    def test_a_container_without_any_address(self, host):
        with pytest.raises(errors.InvalidInput, match="the container has no address"):
            reserve(host, PortBinding(port=80), ipv4=False, ipv6=False)

    def test_more_ports_than_descriptors_and_leaves_none_open(self, host):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, hard))
        try:
            with pytest.raises(errors.Unavailable, match="too many open files"):
                reserve(host, *[PortBinding(port=number) for number in range(1, 200)])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _listening_process(port: int) -> subprocess.Popen[bytes]:
    """A process that listens in the namespace of the calling thread."""
    code = (
        "import socket, sys; open('/proc/self/comm', 'w').write('holder')\n"
        f"s = socket.create_server(('0.0.0.0', {port})); print(flush=True); sys.stdin.read()"
    )
    popen = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert popen.stdout is not None
    popen.stdout.readline()
    return popen
