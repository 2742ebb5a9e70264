"""The name service as a process, asked from network namespaces."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import dns.message
import pytest
from support import kernel, names, network

from pouch.kernel import namespace, nft
from pouch.names import control, guest
from pouch.network import names as client
from pouch.spec import errors

pytestmark = kernel.needs(network.bridges_and_rules)

OTHERS = "198.51.100.7"


@pytest.fixture
def place() -> Iterator[names.Place]:
    with names.make_place() as made:
        yield made


@pytest.fixture
def stub(place: names.Place) -> Callable[..., names.Stub]:
    def made(answers: names.Answerer, address: str = names.UPSTREAM) -> names.Stub:
        server = names.Stub(place.host.world, answers, address)
        place.host.stack.callback(server.close)
        return server

    return made


def entry(name: str, ipv4: str = "", ipv6: str = "", *, network: str = "net", aliases: tuple[str, ...] = ()):
    return client.NameEntry(network_id=network, network_name=network, names=(name, *aliases), ipv4=ipv4, ipv6=ipv6)


def test_containers_of_one_network_find_each_other(place):
    web, db = place.container(1), place.container(2)
    place.put(web, entry("web", "172.20.0.2", "fd00::2"))
    place.put(db, entry("db", "172.20.0.3", aliases=("store", "Data.Base")))
    assert web.resolve("db") == ("NOERROR", ["172.20.0.3"])
    assert web.resolve("STORE.") == ("NOERROR", ["172.20.0.3"])
    assert web.resolve("data.base", stream=True) == ("NOERROR", ["172.20.0.3"])
    assert db.resolve("web", "AAAA") == ("NOERROR", ["fd00::2"])
    assert db.resolve("web.net") == ("NOERROR", ["172.20.0.2"])
    assert db.resolve("2.0.20.172.in-addr.arpa", "PTR") == ("NOERROR", ["web.net."])
    assert db.resolve("db", "AAAA") == ("NOERROR", []), "a known name without that type"


def test_a_name_of_another_network_is_a_question_for_others(place, stub):
    server = stub(names.addressed(OTHERS))
    asker, stranger = place.container(1), place.container(2)
    place.put(asker, entry("asker", "172.20.0.2"))
    place.put(stranger, entry("stranger", "172.21.0.2", network="other"))
    assert asker.resolve("stranger") == ("NOERROR", [OTHERS])
    assert [wire for _, wire, _ in server.asked if b"\x08stranger" in wire]


def test_what_has_changed_is_answered_at_once(place):
    asker, moving = place.container(1), place.container(2)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    place.put(moving, entry("moving", "172.20.0.3"))
    place.names.update(moving.id, [entry("renamed", "172.20.0.4")], (names.UPSTREAM,))
    assert asker.resolve("renamed") == ("NOERROR", ["172.20.0.4"])
    assert asker.resolve("moving") == ("SERVFAIL", [])
    place.names.drop(moving.id)
    assert asker.resolve("renamed") == ("SERVFAIL", [])


def test_others_are_asked_by_udp_and_tcp_from_the_hosts_namespace(place, stub):
    server = stub(names.addressed(OTHERS))
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"))
    assert asker.resolve("example.org") == ("NOERROR", [OTHERS])
    assert asker.resolve("example.org", stream=True) == ("NOERROR", [OTHERS])
    assert [protocol for protocol, _, _ in server.asked] == ["udp", "tcp"]
    assert {peer[0] for _, _, peer in server.asked} == {str(network.UPLINK.ip)}


def test_a_container_of_internal_networks_asks_nobody(place, stub):
    server = stub(names.addressed(OTHERS))
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    assert asker.resolve("example.org") == ("SERVFAIL", [])
    assert asker.resolve("asker") == ("NOERROR", ["172.20.0.2"])
    assert server.asked == []


def test_the_next_server_is_asked_where_one_refuses_or_is_not_there(place, stub):
    def refuse(wire: bytes, _: names.Stub) -> list[bytes]:
        made = dns.message.make_response(dns.message.from_wire(wire))
        made.set_rcode(dns.rcode.REFUSED)
        return [made.to_wire()]

    stub(refuse)
    second = names.Stub(place.host, names.addressed(OTHERS), str(network.UPLINK.ip))
    place.host.stack.callback(second.close)
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), servers=("127.0.0.77", names.UPSTREAM, str(network.UPLINK.ip)))
    for stream in (False, True):
        assert asker.resolve("example.org", stream=stream) == ("NOERROR", [OTHERS])
    place.names.update(asker.id, [], (names.UPSTREAM,))
    assert asker.resolve("example.org") == ("REFUSED", []), "what all of them say is passed on"


def test_questions_leave_by_ports_and_ids_that_cannot_be_guessed(place, stub):
    server = stub(names.addressed(OTHERS))
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"))
    for _ in range(30):
        asker.resolve("example.org")
    ports = [peer[1] for _, _, peer in server.asked]
    ids = [int.from_bytes(wire[:2], "big") for _, wire, _ in server.asked]
    assert len(set(ports)) > 25
    assert len(set(ids)) > 25
    assert max(ids) - min(ids) > 1000


def test_a_forged_answer_is_not_passed_on(place, stub):
    def lie(wire: bytes, _: names.Stub) -> list[bytes]:
        right = names.addressed(OTHERS)(wire, _)[0]
        number = int.from_bytes(wire[:2], "big")
        lies = [names.addressed("203.0.113.66")(wire, _)[0] for _ in range(5)]
        other = dns.message.make_query("another.example", "A", id=number)
        return [
            ((number + 1) & 0xFFFF).to_bytes(2, "big") + lies[0][2:],
            lies[1][:2] + b"\x01\x00" + lies[1][4:],  # a query
            names.addressed("203.0.113.66")(other.to_wire(), _)[0],
            lies[2][:11],
            b"",
            lies[3][:4] + b"\0\2" + lies[3][6:],  # two questions
            right,
        ]

    stub(lie)
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"))
    assert asker.resolve("example.org") == ("NOERROR", [OTHERS])


def test_packets_that_are_no_queries_do_no_harm(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    good = dns.message.make_query("asker", "A").to_wire()
    head = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    bad = {
        b"": None,
        b"\0": None,
        good[:11]: None,
        good[:2] + b"\x81" + good[3:]: None,  # a response is never answered
        good[:-1]: "FORMERR",
        good[:4] + b"\0\2" + good[6:]: "FORMERR",
        good[:2] + b"\x29" + good[3:]: "NOTIMP",
        head + b"\xc0\x0c\0\1\0\1": "FORMERR",
        head + b"\x7f" + b"a" * 127 + b"\0\0\1\0\1": "FORMERR",
        head + b"\x3fa" * 90 + b"\0\0\1\0\1": "FORMERR",
    }

    def send() -> list[bytes]:
        answers = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(names.PATIENCE)
            asking.connect((client.ADDRESS, 53))
            for wire in (*bad, good):
                asking.send(wire)
            for _ in range(1 + sum(code is not None for code in bad.values())):
                answers.append(asking.recv(4096))
        return answers

    *answers, last = asker.process.run(send)
    assert [names.told(answer)[0] for answer in answers] == [code for code in bad.values() if code]
    assert names.told(last) == ("NOERROR", ["172.20.0.2"])


def test_an_answer_that_is_too_long_for_udp_says_so_and_is_whole_by_tcp(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2", aliases=("all",)))
    for number in range(1, 100):
        place.names.put(f"{number:064x}", [entry(f"c{number}", f"172.20.1.{number}", aliases=("all",))])
    wire = dns.message.make_query("all", "A").to_wire()
    short = asker.process.run(lambda: names.ask(wire))
    assert len(short) <= 512
    assert dns.message.from_wire(short).flags & dns.flags.TC
    assert 20 < len(names.told(short)[1]) < 40
    more = asker.process.run(lambda: names.ask(dns.message.make_query("all", "A", use_edns=0, payload=4096).to_wire()))
    assert len(names.told(more)[1]) == 99
    assert len(asker.resolve("all", stream=True)[1]) == 99
    firsts = {asker.resolve("all", stream=True)[1][0] for _ in range(20)}
    assert len(firsts) > 10, "each comes first in its turn"


def test_a_stream_is_asked_many_things_and_one_that_says_nothing_is_closed(place, monkeypatch):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    wire = dns.message.make_query("asker", "A").to_wire()
    answers = asker.process.run(lambda: names.ask_by_stream(*[wire] * 50))
    assert [names.told(answer)[1] for answer in answers] == [["172.20.0.2"]] * 50

    def trickle() -> bytes:
        with socket.create_connection((client.ADDRESS, 53), timeout=names.PATIENCE) as asking:
            asking.sendall(struct.pack("!H", 4097))
            return asking.recv(10)

    assert asker.process.run(trickle) == b"", "longer than any query"


def test_streams_without_number_let_others_wait_only(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)

    def occupy() -> list[socket.socket]:
        return [
            socket.create_connection((client.ADDRESS, 53), timeout=names.PATIENCE)
            for _ in range(guest.MOST_STREAMS + 8)
        ]

    held = asker.process.run(occupy)
    assert asker.resolve("asker") == ("NOERROR", ["172.20.0.2"])
    for one in held:
        one.close()
    assert asker.resolve("asker", stream=True) == ("NOERROR", ["172.20.0.2"])


def test_a_flood_of_one_container_is_no_burden_for_another(place):
    loud, quiet = place.container(1), place.container(2)
    place.put(loud, entry("loud", "172.20.0.2"), internal=True)
    place.put(quiet, entry("quiet", "172.20.0.3"), internal=True)
    wire = dns.message.make_query("loud", "A").to_wire()
    stop = threading.Event()

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((client.ADDRESS, 53))
            while not stop.is_set():
                for _ in range(500):
                    asking.send(wire)

    thread = threading.Thread(target=lambda: loud.process.run(flood))
    before = cpu_seconds(place.program)
    began = time.monotonic()
    thread.start()
    try:
        while time.monotonic() < began + 2:  # the span that is measured
            assert quiet.resolve("loud") == ("NOERROR", ["172.20.0.2"])
    finally:
        stop.set()
        thread.join()
    used, passed = cpu_seconds(place.program) - before, time.monotonic() - began
    assert used < 0.75 * passed + 0.5, "what comes faster than the rate is not read"


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_questions_on_their_way_are_bounded(place, stub):
    server = stub(lambda wire, _: [])
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"))
    count = guest.MOST_QUESTIONS + 50

    def flood() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(names.PATIENCE)
            asking.connect((client.ADDRESS, 53))
            for number in range(count):
                wire = dns.message.make_query(f"n{number}.example", "A").to_wire()
                for _ in range(2):  # asked again while it is on its way: once is enough
                    asking.send(wire)
                if number % 50 == 0:
                    time.sleep(0.02)  # the socket's buffer is short
            return asking.recv(4096)

    assert names.told(asker.process.run(flood))[0] == "SERVFAIL"
    assert len({wire[2:] for _, wire, _ in server.asked}) <= guest.MOST_QUESTIONS
    assert len(os.listdir(f"/proc/{place.program}/fd")) < guest.MOST_QUESTIONS + 40
    assert asker.resolve("asker") == ("NOERROR", ["172.20.0.2"])


def test_it_outlives_the_daemon_and_is_found_again(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    program = place.program
    place.daemon()
    assert asker.resolve("asker") == ("NOERROR", ["172.20.0.2"])
    known = client.Named(container_id=asker.id, members=[entry("again", "172.20.0.9")], internal=True)
    assert place.names.sync([known]) == []
    assert place.program == program
    assert asker.resolve("again") == ("NOERROR", ["172.20.0.9"])
    assert asker.resolve("asker") == ("SERVFAIL", [])


def test_after_its_death_a_new_one_asks_for_all_sockets(place):
    containers = [place.container(number) for number in (1, 2)]
    for number, one in enumerate(containers):
        place.put(one, entry(f"c{number}", f"172.20.0.{number + 2}"), internal=True)
    watched = place.names.watch()
    assert watched is not None
    place.kill()
    names.wait_readable(watched)
    os.close(watched)
    everybody = [
        client.Named(container_id=one.id, members=[entry(f"c{number}", f"172.20.0.{number + 2}")], internal=True)
        for number, one in enumerate(containers)
    ]
    lacking = place.call(lambda: place.names.sync(everybody))
    assert lacking == [one.id for one in containers]
    for number, one in enumerate(containers):
        place.put(one, entry(f"c{number}", f"172.20.0.{number + 2}"), internal=True)
    assert containers[0].resolve("c1", stream=True) == ("NOERROR", ["172.20.0.3"])


def test_a_request_starts_it_again_where_it_has_died(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    place.kill()
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    assert asker.resolve("asker") == ("NOERROR", ["172.20.0.2"])


def test_two_daemons_at_once_start_one_program(place):
    """Not that there are two: but one that dies between its steps is as good as another."""
    clients = [client.Names(place.run_dir) for _ in range(2)]
    place.call(clients[0].ensure)
    place.call(clients[1].ensure)
    assert clients[0]._pid == clients[1]._pid
    for one in clients:
        one.close()
    place.former += clients


def test_it_lets_go_of_a_container_that_ends_while_no_daemon_runs(place):
    asker, ending = place.container(1), place.container(2)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    place.put(ending, entry("ending", "172.20.0.3"), internal=True)
    place.names.close()
    descriptors = len(os.listdir(f"/proc/{place.names._pid}/fd"))
    network.end(ending.process.popen)
    kernel_wait(lambda: len(os.listdir(f"/proc/{place.names._pid}/fd")) <= descriptors - 3)
    assert asker.resolve("ending") == ("SERVFAIL", [])


def test_it_ends_with_its_last_container_where_no_daemon_runs(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"))
    pidfd = place.names.watch()
    assert pidfd is not None
    place.names.close()
    network.end(asker.process.popen)
    names.wait_readable(pidfd)
    os.close(pidfd)


def kernel_wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + names.PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited for nothing"
        time.sleep(0.01)


def test_a_container_may_have_port_53_for_itself(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), own_port_53=True, internal=True)

    def own_server() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, socket.create_server(("", 53)):
            own.bind(("", 53))
            wire = dns.message.make_query("asker", "A").to_wire()
            assert names.told(names.ask(wire)) == ("NOERROR", ["172.20.0.2"])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.sendto(b"mine", ("127.0.0.1", 53))
            assert own.recv(10) == b"mine"

    asker.process.run(own_server)
    assert asker.resolve("asker", stream=True) == ("NOERROR", ["172.20.0.2"])
    assert asker.process.run(lambda: nft.list_table("ip", client.TABLE))


def test_sockets_that_are_there_already_are_opened_anew(place):
    """A daemon that was killed before it noted them does not know of them."""
    asker = place.container(1)
    for address in ("172.20.0.2", "172.20.0.3"):
        place.put(asker, entry("asker", address), internal=True)
        assert asker.resolve("asker") == ("NOERROR", [address])
    assert asker.resolve("asker", stream=True) == ("NOERROR", ["172.20.0.3"])


def test_a_port_that_is_taken_is_a_clear_error(place):
    asker = place.container(1)
    taken = asker.process.run(lambda: socket.create_server(("", 53)))
    with taken, pytest.raises(errors.Conflict, match=r"port 53 of 127\.0\.0\.11 is taken"):
        place.put(asker, entry("asker", "172.20.0.2"))


def test_it_has_no_rights_no_files_and_no_other_sockets(place):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"))
    with open(f"/proc/{place.program}/status", encoding="ascii") as file:
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    assert status["Name"] == "pouch-names"
    assert status["Uid"].split() == ["65534"] * 4
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert len(os.listdir(f"/proc/{place.program}/root")) < 64
    assert os.stat(f"{place.run_dir}/names.sock").st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "attempt",
    [
        "os.open('/proc/self/status', os.O_RDONLY)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "fcntl.ioctl(0, 0x5401, b' ' * 64)",
        "os.memfd_create('x')",
    ],
)
def test_once_confined_a_process_can_only_talk(attempt):
    code = (
        "import fcntl, os, select, socket\nfrom pouch.kernel import confine\nconfine.networked('probe')\n"
        "epoll = select.epoll.fromfd(epoll_fd)\n"
        "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as allowed:\n"
        "    allowed.setblocking(False)\n    allowed.connect(('127.0.0.1', 9))\n"
        f"try:\n    {attempt}\nexcept PermissionError:\n    os.write(1, b'refused')\n"
    )
    code = code.replace("epoll = select.epoll.fromfd(epoll_fd)\n", "").replace(
        "from pouch.kernel import confine\n", "from pouch.kernel import confine\nepoll = select.epoll()\n"
    )
    path = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "refused", done.stderr


def test_one_that_hangs_is_replaced(place, monkeypatch):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    hanging = place.program
    os.kill(hanging, signal.SIGSTOP)
    monkeypatch.setattr(client, "_ANSWER_SECONDS", 0.5)
    place.daemon()
    assert place.program != hanging
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    assert asker.resolve("asker") == ("NOERROR", ["172.20.0.2"])


def test_one_of_another_version_is_replaced(place, monkeypatch):
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), internal=True)
    former = place.program
    monkeypatch.setattr(control, "VERSION", 77)
    place.daemon()
    with pytest.raises(errors.Unavailable):  # the new one speaks the old version, too: it is the same program
        place.call(place.names.ensure)
    monkeypatch.undo()
    assert place.program != former


def test_what_is_wrong_is_answered_and_ends_nothing(place):
    place.call(place.names.ensure)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.connect(f"{place.run_dir}/names.sock")
        for wrong in (b"x", b"[]", b"{}", b'{"do":"dance"}', b'{"do":"put","id":"a"}',
                      b'{"do":"put","id":"a","members":[["n","n",["x"],["nowhere"]]],"servers":null,"internal":false,"sockets":false}',
                      b'{"do":"put","id":"a","members":[],"servers":null,"internal":false,"sockets":true}'):  # fmt: skip
            other.send(wrong)
            assert json.loads(other.recv(65536))["error"], wrong
    with pytest.raises(errors.InvalidInput, match="at most 200000"):
        place.names.put("a" * 64, [entry("a", aliases=tuple(f"alias{number}" for number in range(30000)))])
    place.names.put("a" * 64, [])


def test_descriptors_beyond_the_limit_are_refused_and_nothing_is_lost(place, monkeypatch):
    class Limited(client._Program):
        def __init__(self, command, **options):
            super().__init__(["sh", "-c", 'ulimit -n 32; exec "$@"', "sh", *command], **options)

    monkeypatch.setattr(client, "_Program", Limited)
    containers = [place.container(number) for number in range(12)]
    served = []
    with pytest.raises(errors.Unavailable, match="descriptors"):
        for number, one in enumerate(containers):
            place.put(one, entry(f"c{number}", f"172.20.0.{number + 2}"), internal=True)
            served.append(one)
    assert served
    assert served[0].resolve(f"c{len(served) - 1}") == ("NOERROR", [f"172.20.0.{len(served) + 1}"])
    place.names.drop(served[0].id)
    place.put(containers[-1], entry("last", "172.20.0.99"), internal=True)
    assert containers[-1].resolve("c1") == ("NOERROR", ["172.20.0.3"])


def test_the_hosts_servers_are_followed(place, stub, monkeypatch):
    server = stub(names.addressed(OTHERS))
    monkeypatch.setattr(client, "host_servers", lambda: ("127.0.0.78",))
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"), servers=())
    assert asker.resolve("example.org") == ("SERVFAIL", [])
    monkeypatch.setattr(client, "host_servers", lambda: (names.UPSTREAM,))
    place.names.refresh()
    assert asker.resolve("example.org") == ("NOERROR", [OTHERS])
    assert server.asked


def test_a_namespace_is_gone_with_its_container(place):
    """The sockets would keep it."""
    asker = place.container(1)
    place.put(asker, entry("asker", "172.20.0.2"))
    place.names.drop(asker.id)
    assert not [
        target
        for fd in os.listdir(f"/proc/{place.program}/fd")
        if (target := os.readlink(f"/proc/{place.program}/fd/{fd}")).startswith("anon_inode:[pidfd]")
    ]
    with pytest.raises(OSError) as refused:
        asker.process.run(lambda: socket.create_connection((client.ADDRESS, 53), timeout=names.PATIENCE))
    assert refused.value.errno == errno.ECONNREFUSED
    assert namespace.Kind.NETWORK == "net"
