"""The program that answers names, beside a daemon that comes and goes: found again, begun again, never left behind."""

from __future__ import annotations

import os
import signal
import socket
import sys

import dns.exception
import pytest

NETWORK = "named"


@pytest.fixture
def named(host):
    """A network with two containers that know each other; asks whether they still do."""
    host.daemon.pouch("network", "create", NETWORK)
    box(host, "web")
    _, asker = box(host, "asker")
    address = host.daemon.inspect("web")["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
    assert asker.names("web") == [address]

    def answered() -> bool:
        try:
            return asker.names("web", timeout=0.5) == [address]
        except dns.exception.Timeout:
            return False  # a question of the moment in which nobody had a socket there

    return answered


def box(host, name, *flags):
    return host.box("--network", NETWORK, "--dns", host.OUTSIDE, *flags, name=name)


def program(daemon) -> int:
    """Who listens on names.sock; 0 where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        try:
            asking.connect(f"{daemon.run}/names.sock")
        except (FileNotFoundError, ConnectionRefusedError):
            return 0
        return int.from_bytes(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


def programs(daemon) -> list[int]:
    """All that run and hold such a socket of this daemon, which lies in the network namespace they were started in."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read() != "pouch-names\n":
                    continue
            held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="replace") as table:
                lines = [line.split() for line in table]
        except OSError:
            continue
        if held & {f"socket:[{line[6]}]" for line in lines if line[-1] == f"{daemon.run}/names.sock"}:
            found.append(int(pid))
    return found


def test_one_that_is_killed_is_begun_again_and_serves_who_ran_before(host, named):
    for _ in range(3):
        before = program(host.daemon)
        os.kill(before, signal.SIGKILL)
        host.daemon.until(lambda before=before: program(host.daemon) not in (0, before), what="another one listens")
        host.daemon.until(named, what="names are answered")
    assert programs(host.daemon) == [program(host.daemon)]


def test_one_that_is_killed_while_no_daemon_runs_is_begun_again_by_the_next(host, named):
    host.daemon.kill()
    os.kill(program(host.daemon), signal.SIGKILL)
    host.daemon.start()
    host.daemon.until(named, what="names are answered")
    assert programs(host.daemon) == [program(host.daemon)]


def test_daemons_that_follow_each_other_find_the_same_one(host, named):
    first = program(host.daemon)
    for _ in range(2):
        host.daemon.kill()
        host.daemon.until(named, what="names are answered without a daemon")
        host.daemon.start()
        host.daemon.until(named, what="names are answered")
    assert programs(host.daemon) == [first]


def test_what_ended_while_no_daemon_ran_is_let_go(host, named):
    pid = host.daemon.inspect("web")["State"]["Pid"]
    first = program(host.daemon)
    held = len(os.listdir(f"/proc/{first}/fd"))
    host.daemon.kill()
    os.kill(pid, signal.SIGKILL)
    host.daemon.until(lambda: len(os.listdir(f"/proc/{first}/fd")) <= held - 3, what="its sockets are closed")
    host.daemon.start()
    assert program(host.daemon) == first


def test_none_is_left_without_containers_and_without_a_daemon(host, named):
    host.daemon.out("rm", "-f", "web", "asker")
    assert host.daemon.stop() == 0
    host.daemon.until(lambda: program(host.daemon) == 0, what="the program has ended")
    host.daemon.start()
    assert program(host.daemon) == 0, "nothing is started before it is needed"


def test_a_container_that_exposes_port_53_has_it_for_itself(host, named):
    _, server = box(host, "server", "--expose", "53/udp", "--expose", "53")
    assert server.names("web") == host.box("--network", NETWORK, name="other")[1].names("web")
    with server.serve(53):
        assert server.names("web") != []
