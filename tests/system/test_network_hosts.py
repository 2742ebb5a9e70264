"""A daemon on a host of namespaces: what is inside, beside and outside of it reaches what it shall, and nothing else."""

from __future__ import annotations

from support.places import SHORT, Answer


def test_containers_and_the_host_reach_a_container_and_the_outside_does_not(host):
    id_, web = host.box(name="web")
    _, other = host.box(name="other")
    address = host.daemon.inspect(id_)["NetworkSettings"]["IPAddress"]
    with web.serve(80):
        for place in (other, host.site, web):
            assert place.tcp(address, 80).server == "web", place.name
            assert place.udp(address, 80).server == "web", place.name
            assert place.ping(address), place.name
        assert host.outside.tcp(address, 80, timeout=SHORT) is None
        assert host.outside.udp(address, 80, timeout=SHORT) is None
        assert not host.outside.ping(address, timeout=SHORT)


def test_a_container_reaches_the_outside_as_its_host(host):
    _, web = host.box(name="web")
    with host.outside.serve(99):
        assert web.tcp(host.OUTSIDE, 99) == Answer("outside", source=host.ADDRESS)
        assert web.udp(host.OUTSIDE, 99) == Answer("outside", source=host.ADDRESS)
        assert web.ping(host.OUTSIDE)


def test_a_connection_lives_as_long_as_both_ends(host):
    id_, web = host.box(name="web")
    _, other = host.box(name="other")
    address = host.daemon.inspect(id_)["NetworkSettings"]["IPAddress"]
    with web.serve(80), other.connected(address, 80) as connection:
        assert connection.recv(100).startswith(b"web ")
        for number in range(10):
            connection.sendall(b"%d" % number)
            assert connection.recv(100) == b"%d" % number
