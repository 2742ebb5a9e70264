"""Networks on a host with systemd: who reaches whom, names, VLANs, rates, a machine in a network, restarts of the service."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from inside import host, machines, neighbours, report, wire

WORLD = "/run/netns/world"
HERE4, HERE6 = "203.0.113.1", "2001:db8:7::1"
WORLD4, WORLD6 = "203.0.113.2", "2001:db8:7::2"
FAR = "192.0.2.77"
"""What the world's name server says of `far.example`."""
NAMES = {"far.example": FAR}
PROGRAM = "from pouch.names import program"
SIZE = 4 << 20


def all_of() -> None:
    """Every check. Ends with as many links, namespaces and tables as there were."""
    with _world(), wire.name_server(WORLD, WORLD4, NAMES), wire.serving(WORLD, 9, "world"):
        neighbours.ask_servers(WORLD4)
        for name, row in (
            ("default", _default),
            ("dual-stack", _made),
            ("VLAN", _vlan),
            ("rate", _rate),
        ):
            with report.group(f"networks, {name}") as group:
                row(group)
        with _standing() as one:
            for name, check in (("service", _service), *neighbours.ROWS.items()):
                with report.group(f"networks, {name}") as group:
                    check(group, one)
        with report.group("networks, machine") as group:
            _machine(group)
        with report.group("networks, end") as group:
            host.run("pouch", "rm", "-f", *host.pouch("ps", "-aq").split())
            host.pouch("network", "prune", "-f")
            left = report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers()
            group.equal("nothing is left", left, True)
            links = [one for one in os.listdir("/sys/class/net") if one.startswith(("br-", "veth", "dm-", "eth0."))]
            group.equal("nor a link", links, [])


@contextlib.contextmanager
def _world() -> Iterator[None]:
    """The guest's uplink eth0, the world at its other end, which has routes to all private addresses by us."""
    host.out("ip", "netns", "add", "world")
    for words in (
        "link add eth0 type veth peer name eth0 netns world",
        f"addr add {HERE4}/24 dev eth0",
        f"addr add {HERE6}/64 dev eth0 nodad",
        "link set eth0 up",
        f"-n world addr add {WORLD4}/24 dev eth0",
        f"-n world addr add {WORLD6}/64 dev eth0 nodad",
        "-n world link set lo up",
        "-n world link set eth0 up",
        f"-n world route add 172.16.0.0/12 via {HERE4}",
        f"-n world route add 10.0.0.0/8 via {HERE4}",
        f"-n world route add 192.168.0.0/16 via {HERE4}",
        f"-n world route add fc00::/7 via {HERE6}",
        f"route add default via {WORLD4}",
        f"route add default via {WORLD6}",
    ):
        host.out("ip", *words.split())
    try:
        yield
    finally:
        host.out("ip", "link", "delete", "eth0")
        host.out("ip", "netns", "delete", "world")


def box(name: str, *flags: str) -> str:
    """Start a container that waits; its namespace."""
    host.pouch("run", "-d", "--name", name, *flags, "busybox", "sleep", "9100")
    return place(name)


def place(name: str) -> str:
    """A running container's namespace."""
    return wire.of(host.inspect(name)["State"]["Pid"])


def address(name: str, network: str = "bridge", *, ipv6: bool = False) -> str:
    """What it has there."""
    return host.inspect(name)["NetworkSettings"]["Networks"][network]["GlobalIPv6Address" if ipv6 else "IPAddress"]


def gone(*names: str) -> None:
    """Remove containers."""
    host.pouch("rm", "-f", *names)


def reached(row: report.Group, what: str, from_: str, to: str, port: int, expected: str) -> None:
    """A check that the answer is this one: a name and, where that is to be checked, a source."""
    said = wire.ask(from_, to, port)
    row.check(what, said == expected or said.split()[:1] == [expected], f"{said}, expected {expected}")


def shut(row: report.Group, what: str, from_: str, to: str, port: int) -> None:
    """A check that nobody answers."""
    said = wire.ask(from_, to, port, seconds=wire.SHORT)
    row.check(what, said.startswith("no: "), said)


def _default(row: report.Group) -> None:
    one, two = box("one", "-p", "8080:80"), box("two")
    own = address("one")
    with wire.serving(one, 80, "one"):
        reached(row, "the host reaches it by its address", wire.HOST, own, 80, "one")
        reached(row, "published: from the loopback", wire.HOST, "127.0.0.1", 8080, "one")
        reached(row, "published: from the host by its own address", wire.HOST, HERE4, 8080, "one")
        reached(row, "published: from the world, with its address", WORLD, HERE4, 8080, f"one {WORLD4}")
        reached(row, "published: from another container", two, HERE4, 8080, "one")
        reached(row, "published: from itself", one, HERE4, 8080, "one")
        reached(row, "a neighbour", two, own, 80, f"one {address('two')}")
        shut(row, "not published, the world does not reach it", WORLD, own, 80)
    reached(row, "it reaches the world with the host's address", one, WORLD4, 9, f"world {HERE4}")
    host.out("udevadm", "settle")
    link = host.out("ip", "-o", "link", "show", "pouch0")
    row.check("udev leaves the bridge its MAC", "link/ether 02:42:" in link, link)
    gone("one", "two")


def _made(row: report.Group) -> None:
    host.pouch("network", "create", "--ipv6", "shop")
    host.pouch("network", "create", "other")
    db = box("db", "--network", "shop", "--network-alias", "store")
    web = box("web", "--network", "shop", "-p", "8081:80")
    far = box("far", "--network", "other")
    db4, db6 = address("db", "shop"), address("db", "shop", ipv6=True)
    with wire.serving(db, 80, "db"), wire.serving(web, 80, "web"):
        reached(row, "IPv4", web, db4, 80, f"db {address('web', 'shop')}")
        reached(row, "IPv6", web, db6, 80, f"db {address('web', 'shop', ipv6=True)}")
        reached(row, "published, IPv4 loopback", wire.HOST, "127.0.0.1", 8081, "web")
        reached(row, "published, IPv6 loopback", wire.HOST, "::1", 8081, "web")
        reached(row, "published, the world by IPv6", WORLD, HERE6, 8081, f"web {WORLD6}")
        reached(row, "the world by IPv6, with the host's address", web, WORLD6, 9, f"world {HERE6}")
        shut(row, "another network does not", far, db4, 80)
        row.equal("its name", wire.query(web, "db"), [db4])
        row.equal("its name, IPv6", wire.query(web, "db", ipv6=True), [db6])
        row.equal("its alias", wire.query(web, "store"), [db4])
        row.equal("a name of the world's", wire.query(web, "far.example"), [FAR])
        row.equal("a name that nobody has", wire.query(web, "nobody.example"), ["code 3"])
        with wire.opened(web, db4, 80) as kept:
            host.pouch("network", "connect", "shop", "far")
            reached(row, "connected, it does", far, db4, 80, "db")
            row.equal("and knows the name", wire.query(far, "db"), [db4])
            host.pouch("network", "disconnect", "shop", "far")
            shut(row, "disconnected, it does not", far, db4, 80)
            row.check("a connection of others goes on", wire.goes_on(kept))
    gone("db", "web", "far")
    host.pouch("network", "rm", "shop", "other")


def _vlan(row: report.Group) -> None:
    for words in (
        "link add link eth0 name eth0.50 type vlan id 50",
        "addr add 198.51.100.1/24 dev eth0.50",
        "link set eth0.50 up",
    ):
        host.out("ip", "-n", "world", *words.split())
    create = ("network", "create", "-d", "macvlan", "--subnet", "198.51.100.0/24", "--gateway", "198.51.100.1")
    host.pouch(*create, "-o", "parent=eth0.50", "tagged")
    one, two = box("one", "--network", "tagged"), box("two", "--network", "tagged")
    link = host.out("ip", "-d", "link", "show", "eth0.50")
    row.check("eth0.50 is made, with its tag", "vlan protocol 802.1Q id 50" in link, link)
    own = address("one", "tagged")
    with wire.serving(one, 80, "one"):
        reached(row, "the world by the VLAN", WORLD, own, 80, "one 198.51.100.1")
        reached(row, "a neighbour on it", two, own, 80, f"one {address('two', 'tagged')}")
    reached(row, "it reaches the VLAN", one, "198.51.100.1", 9, f"world {own}")
    row.equal("names", wire.query(two, "one"), [own])
    gone("one", "two")
    host.pouch("network", "rm", "tagged")
    row.check("removed, the VLAN has gone", not os.path.exists("/sys/class/net/eth0.50"))


def _rate(row: report.Group) -> None:
    free = box("free")
    slow = box("slow", "--network-rate", "ingress=16mbit,egress=8mbit")
    with wire.serving(free, 80, "free"), wire.serving(slow, 80, "slow"):
        report.note(f"rate without a limit: {wire.rate(wire.HOST, address('free'), 80, size=4 * SIZE):.0f} Mbit/s")
        for what, limit, measured in (
            ("egress=8mbit", 8, wire.rate(slow, WORLD4, 9, size=SIZE)),
            ("ingress=16mbit", 16, wire.rate(wire.HOST, address("slow"), 80, size=SIZE)),
        ):
            row.check(f"{what}: {measured:.1f} Mbit/s", 0.6 * limit < measured < 1.25 * limit, measured)
    report.note(f"tc: {' | '.join(host.out('tc', 'qdisc', 'show').splitlines())[-400:]}")
    gone("free", "slow")


@contextlib.contextmanager
def _standing() -> Iterator[neighbours.Standing]:
    """Two containers of a network, one with a published port, that every neighbour of pouchd's has to leave alone."""
    host.pouch("network", "create", "--ipv6", "shop")
    db, web = box("db", "--network", "shop"), box("web", "--network", "shop", "-p", "8081:80")
    plain = box("plain", "-p", "8082:80")
    try:
        with wire.serving(db, 80, "db"), wire.serving(web, 80, "web"), wire.serving(plain, 80, "plain"):
            yield neighbours.Standing(
                web=web, plain=plain, db=address("db", "shop"), db6=address("db", "shop", ipv6=True)
            )
    finally:
        gone("db", "web", "plain")
        host.pouch("network", "rm", "shop")


def _name_programs() -> dict[int, str]:
    return {
        int(pid): host.process_cgroup(int(pid))
        for pid in os.listdir("/proc")
        if pid.isdigit() and PROGRAM in host.read(f"/proc/{pid}/cmdline")
    }


def _service(row: report.Group, one: neighbours.Standing) -> None:
    """systemd restarts, stops and kills pouchd: the name service and the ports do not notice."""
    names, monitors = _name_programs(), host.monitors()
    row.equal("the name service is in the service's cgroup", list(names.values()), ["/system.slice/pouchd.service"])
    with wire.opened(WORLD, HERE4, 8081) as kept:
        for what, words in (("restart", ["restart"]), ("kill -9", ["kill", "--kill-whom=main", "-s", "KILL"])):
            before = host.unit("pouchd", "MainPID")
            host.out("systemctl", *words, "pouchd")
            new = report.until(
                lambda before=before: (
                    host.unit("pouchd", "MainPID") not in (before, "0") and host.run("pouch", "version")[0] == 0
                )
            )
            row.check(f"{what}: another pouchd answers", new)
            row.equal(f"{what}: the name service is the same", _name_programs(), names)
            row.equal(f"{what}: and the monitors", host.monitors(), monitors)
            one.check(row, what)
        host.out("systemctl", "stop", "pouchd")
        row.equal("stopped: the name service is the same", _name_programs(), names)
        one.check(row, "stopped")
        host.out("nft", "flush", "ruleset")
        shut(row, "stopped: flushed, nobody puts the rules back", WORLD, HERE4, 8081)
        host.out("systemctl", "start", "pouchd")
        one.check(row, "started")
        row.check("through all of it a connection from the world lives", wire.goes_on(kept))
    row.equal("started: the name service is the same", _name_programs(), names)


def _machine(row: report.Group) -> None:
    """Debian with systemd in a dual-stack network: its services leave the interface alone."""
    if host.run("pouch", "inspect", "--type", "image", "debian:bookworm")[0] != 0:
        host.pouch("load", "-q", "-i", f"{os.path.dirname(os.path.dirname(__file__))}/images/debian12.tar")
    host.pouch("network", "create", "--ipv6", "shop")
    db = box("db", "--network", "shop")
    began = time.monotonic()
    machines.boot("machine", "debian:bookworm", "crun", "--network", "shop", "-p", "8083:80")
    report.note(f"boot in a network: {time.monotonic() - began:.0f} s")
    row.equal("boot state", host.inspect("machine")["State"]["Boot"], "running")
    inner = place("machine")
    own4, own6 = address("machine", "shop"), address("machine", "shop", ipv6=True)
    shown = host.pouch("exec", "machine", "ip", "-o", "address", "show", "eth0")
    row.check("it has its addresses", f" {own4}/" in shown and f" {own6}/" in shown, shown)
    said = host.run("pouch", "exec", "machine", "getent", "ahosts", "db")[1]
    row.check(
        "its C library finds a name", address("db", "shop") in said and address("db", "shop", ipv6=True) in said, said
    )
    said = host.run("pouch", "exec", "machine", "getent", "hosts", "far.example")[1]
    row.check("and one of the world's", FAR in said, said)
    with wire.serving(inner, 80, "machine"):
        reached(row, "published, from the world", WORLD, HERE4, 8083, f"machine {WORLD4}")
        reached(row, "published, the world by IPv6", WORLD, HERE6, 8083, f"machine {WORLD6}")
        row.equal("its name", wire.query(db, "machine"), [own4])
        reached(row, "from a neighbour", db, own6, 80, "machine")
    host.pouch("network", "disconnect", "shop", "machine")
    host.pouch("network", "connect", "shop", "machine")
    with wire.serving(inner, 80, "machine"):
        reached(row, "disconnected and connected while it runs", db, address("machine", "shop"), 80, "machine")
    failed = host.pouch("exec", "machine", "systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
    row.equal("failed units", failed, "")
    gone("machine", "db")
    host.pouch("network", "rm", "shop")
