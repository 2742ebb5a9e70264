"""Who reaches whom, in all kinds of networks, and how it is seen by whom it reaches."""

from __future__ import annotations

import os

import pytest
from support import hosts, matrix
from support.places import SHORT, Answer


@pytest.mark.parametrize("bridged", ["0", "1"])
def test_everybody_reaches_whom_they_shall_and_nobody_else(busybox_tar, bridged):
    with hosts.bare() as host:
        for path in (hosts.BRIDGED4, hosts.BRIDGED6):
            host.write(path, bridged)
        host.serve(archive=busybox_tar)
        results = matrix.Matrix(host).tried()
        host.release()
    assert matrix.wrong(results) == []


def test_who_comes_from_outside_keeps_its_address_and_who_goes_there_gets_the_hosts(host):
    host.daemon.pouch("network", "create", "--ipv6", "one")
    _, web = host.box("--network", "one", *matrix.published("8080:80"), name="web")
    with web.serve(80), host.outside.serve(80):
        for ask in (host.outside.tcp, host.outside.udp):
            assert ask(host.ADDRESS, 8080) == Answer("web", source=host.OUTSIDE)
            assert ask(host.ADDRESS6, 8080) == Answer("web", source=host.OUTSIDE6)
        for ask in (web.tcp, web.udp):
            assert ask(host.OUTSIDE, 80) == Answer("outside", source=host.ADDRESS)
            assert ask(host.OUTSIDE6, 80) == Answer("outside", source=host.ADDRESS6)


def test_a_container_in_anothers_namespace_is_there(host):
    host.box(*matrix.published("8080:80"), name="web")
    _, beside = host.box("--network", "container:web", name="beside")
    with beside.serve(80):
        assert host.outside.tcp(host.ADDRESS, 8080).server == "beside"
    shown = host.daemon.out("exec", "beside", "readlink", "/proc/self/ns/net")
    assert shown == host.daemon.out("exec", "web", "readlink", "/proc/self/ns/net")


def test_a_namespace_of_somebody_else_is_used_as_it_is(host):
    found = f"/proc/{os.getpid()}/fd/{host.outside.fd}"
    id_ = host.daemon.box("--network", f"ns:{found}")
    inside = host.container(id_)
    assert os.fstat(inside.fd).st_ino == os.fstat(host.outside.fd).st_ino
    with inside.serve(80, name="guest"):
        assert host.site.tcp(host.OUTSIDE, 80).server == "guest"


def test_a_port_is_closed_when_its_container_has_stopped_and_open_when_it_runs_again(host):
    _, web = host.box(*matrix.published("8080:80"), name="web")
    with web.serve(80):
        assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
    host.release()
    host.daemon.pouch("stop", "-t", "0", "web")
    assert host.outside.tcp(host.ADDRESS, 8080, timeout=SHORT) is None
    host.daemon.pouch("start", "web")
    with host.container("web", "again").serve(80):
        assert host.outside.tcp(host.ADDRESS, 8080).server == "again"
        assert host.outside.udp(host.ADDRESS, 8080).server == "again"
