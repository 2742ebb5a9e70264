"""What else meddles with a host's networks: other firewalls, systemd-networkd, systemd-resolved. Containers notice none of it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from inside import host, report, wire

WORLD, HERE4, WORLD4 = "/run/netns/world", "203.0.113.1", "203.0.113.2"
TABLE = ("nft", "list", "table", "inet", "pouch0")
CATCH_ALL = "[Match]\nName=*\n\n[Network]\nDHCP=yes\nLinkLocalAddressing=yes\n"
ETH0 = """[Match]
Name=eth0

[Network]
Address=203.0.113.1/24
Address=2001:db8:7::1/64
Gateway=203.0.113.2
Gateway=2001:db8:7::2
"""
FILES = {"/etc/systemd/network/10-eth0.network": ETH0, "/etc/systemd/network/20-all.network": CATCH_ALL}


@dataclass(frozen=True)
class Standing:
    """Containers that run all the time: namespaces of web (8081) and plain (8082, default network); addresses of db."""

    web: str
    plain: str
    db: str
    db6: str

    def check(self, row: report.Group, what: str) -> None:
        """One check that all of it works."""
        row.equal(f"{what}: networks, ports and names", self.wrong(), [])

    def wrong(self, *, seconds: float = wire.PATIENCE) -> list[str]:
        """What does not work."""
        found = []
        for name, place, address, port, expected in (
            ("published, world", WORLD, HERE4, 8081, f"web {WORLD4}"),
            ("published, world, default network", WORLD, HERE4, 8082, f"plain {WORLD4}"),
            ("published, loopback", wire.HOST, "127.0.0.1", 8081, "web"),
            ("neighbour", self.web, self.db, 80, "db"),
            ("neighbour, IPv6", self.web, self.db6, 80, "db"),
            ("host to container", wire.HOST, self.db, 80, "db"),
            ("to the world", self.web, WORLD4, 9, f"world {HERE4}"),
            ("to the world, default network", self.plain, WORLD4, 9, f"world {HERE4}"),
        ):
            said = wire.ask(place, address, port, seconds=seconds)
            if said != expected and said.split()[:1] != [expected]:
                found.append(f"{name}: {said}")
        for name, expected in (("db", self.db), ("far.example", "192.0.2.77")):
            if (said := wire.query(self.web, name, seconds=seconds)) != [expected]:
                found.append(f"{name}: {said}")
        if not wire.ask(WORLD, self.db, 80, seconds=1).startswith("no: "):
            found.append("the world reaches what is not published")
        return found


def _flush(row: report.Group, one: Standing) -> None:
    """Somebody empties the ruleset: with nft, with Debian's nftables.service, which begins its file with `flush ruleset`."""
    row.check("Debian's file begins with a flush", "flush ruleset" in host.read("/etc/nftables.conf"))
    with wire.opened(WORLD, HERE4, 8081) as kept:
        for words in (
            ("nft", "flush", "ruleset"),
            ("systemctl", "restart", "nftables"),
            ("systemctl", "reload", "nftables"),
            ("systemctl", "stop", "nftables"),
        ):
            before = _handle()
            host.out(*words)
            began = time.monotonic()
            back = report.until(lambda before=before: _handle() not in ("", before), seconds=20, every=0.02)
            report.note(f"{' '.join(words)}: the table is back after {time.monotonic() - began:.2f} s")
            row.check(f"{' '.join(words)}: the table is another one", back, host.run(*TABLE)[2])
            one.check(row, " ".join(words))
        row.check("a connection from the world lives", wire.goes_on(kept))


def _handle() -> str:
    """What the kernel calls our table; "" while there is none."""
    code, said, _ = host.run("nft", "-j", "-a", "list", "tables")
    tables = [one["table"] for one in json.loads(said)["nftables"] if "table" in one] if code == 0 else []
    return "".join(str(one["handle"]) for one in tables if one["name"] == "pouch0")


def _dropping(row: report.Group, one: Standing) -> None:
    """dockerd's and ufw's way: the policy of FORWARD is drop."""
    for program in ("iptables", "ip6tables"):
        host.out(program, "-P", "FORWARD", "DROP")
    _settled(row, one, "iptables -P FORWARD DROP")
    row.check("iptables still reads its table", "pouch0" in host.out("iptables", "-S"), host.run("iptables", "-S"))
    host.out("systemctl", "restart", "pouchd")
    one.check(row, "pouchd restarted under it")
    for program in ("iptables", "ip6tables"):
        host.out(program, "-P", "FORWARD", "ACCEPT")
        host.out(program, "-F", "FORWARD")


def _settled(row: report.Group, one: Standing, what: str) -> None:
    """All works soon: the kernel tells pouchd, which opens a way."""
    report.until(lambda: not one.wrong(seconds=2), seconds=15)
    one.check(row, what)


def _ufw(row: report.Group, one: Standing) -> None:
    code, said, complaint = host.run("ufw", "--force", "enable")
    row.check("ufw is on", code == 0, (said, complaint))
    try:
        _settled(row, one, "ufw enable")
        host.out("ufw", "reload")
        _settled(row, one, "ufw reload")
    finally:
        host.out("ufw", "disable")
    for program in ("iptables", "ip6tables"):
        host.out(program, "-P", "FORWARD", "ACCEPT")
    one.check(row, "ufw disable")


def _firewalld(row: report.Group, one: Standing) -> None:
    """Its own table refuses at the end of the forward hook: the doctor says what to do about that."""
    host.out("systemctl", "start", "firewalld")
    try:
        ready = report.until(
            lambda: "inet firewalld" in host.out("nft", "list", "tables"), seconds=60
        )  # after its start
        row.check("firewalld has its table", ready, host.run("firewall-cmd", "--state"))
        report.note(f"firewalld, before its command: {one.wrong(seconds=3)}")
        found = json.loads(host.run("pouch", "doctor", "--format", "json")[1])
        advice = next((x.get("Advice", "") for x in found if x["Name"] == "firewall"), "")
        row.check("the doctor finds it", "firewall-cmd" in advice, advice)
        bridges = ["pouch0", *(x for x in os.listdir("/sys/class/net") if x.startswith("br-"))]
        for bridge in bridges:
            command = ("firewall-cmd", "--permanent", "--zone=trusted", f"--add-interface={bridge}")
            code, said, complaint = host.run(*command)
            row.check(f"the doctor's command for {bridge}", code == 0, (said, complaint))
        host.out("firewall-cmd", "--reload")
        _settled(row, one, "with the doctor's command")
        host.out("firewall-cmd", "--reload")
        _settled(row, one, "firewall-cmd --reload")
    finally:
        host.out("systemctl", "stop", "firewalld")
    one.check(row, "stopped")


@contextlib.contextmanager
def _files() -> Iterator[None]:
    """An administrator's files for systemd-networkd, one of which is for all links."""
    for path, text in FILES.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    try:
        yield
    finally:
        host.run("systemctl", "stop", "systemd-networkd.socket", "systemd-networkd")
        for path in FILES:
            os.unlink(path)


def _networkd(row: report.Group, one: Standing) -> None:
    """systemd-networkd with a file for all links: what scripts/install puts there keeps it off ours."""
    before = _addresses()
    with _files():
        host.out("systemctl", "start", "systemd-networkd")
        report.until(lambda: _states().get("eth0") == "configured", seconds=30)
        host.pouch("run", "-d", "--name", "late", "--network", "shop", "busybox", "sleep", "9101")
        late = wire.of(host.inspect("late")["State"]["Pid"])
        host.out("udevadm", "settle")
        time.sleep(2)
        states = {name: state for name, state in _states().items() if _is_ours(name)}
        row.check("it leaves our links alone", states and set(states.values()) == {"unmanaged"}, _states())
        row.check("and takes what is the administrator's", _states().get("eth0") == "configured", _states())
        one.check(row, "with a file for all links")
        said = wire.ask(late, one.db, 80)
        row.check("a container that starts then", said.startswith("db "), said)
        after = _addresses()
        row.equal("addresses of our links", {name: after.get(name) for name in before}, before)
        host.out("systemctl", "restart", "systemd-networkd")
        one.check(row, "restarted")
        code, _, complaint = host.run("/lib/systemd/systemd-networkd-wait-online", "--timeout=60")
        row.check("nobody waits for our links to be online", code == 0, complaint)
        host.pouch("rm", "-f", "late")
    one.check(row, "stopped")


def _states() -> dict[str, str]:
    listed = host.out("networkctl", "list", "--no-legend", "--no-pager")
    return {line.split()[1]: line.split()[-1] for line in listed.splitlines()}


def _is_ours(name: str) -> bool:
    return name.startswith(("pouch0", "br-", "veth"))


def _addresses() -> dict[str, list[str]]:
    """Of our links on the host."""
    found = json.loads(host.out("ip", "-j", "address"))
    return {
        one["ifname"]: sorted(each["local"] for each in one["addr_info"]) for one in found if _is_ours(one["ifname"])
    }


def _resolved(row: report.Group, one: Standing) -> None:
    """The host asks systemd-resolved's stub at 127.0.0.53, and so does the name service; the default network goes around it."""
    os.makedirs("/etc/systemd/resolved.conf.d", exist_ok=True)
    with open("/etc/systemd/resolved.conf.d/test.conf", "w", encoding="ascii") as file:
        file.write(f"[Resolve]\nDNS={WORLD4}\nDNSSEC=no\n")
    host.out("systemctl", "start", "systemd-resolved")
    os.unlink("/etc/resolv.conf")
    os.symlink("/run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf")
    try:
        row.check("the host's server is the stub", "nameserver 127.0.0.53" in host.read("/etc/resolv.conf"))
        asked = wire.query(wire.HOST, "far.example", server="127.0.0.53")
        row.equal("which knows the world's names", asked, ["192.0.2.77"])
        host.pouch("run", "-d", "--name", "late", "--network", "shop", "busybox", "sleep", "9102")
        late = wire.of(host.inspect("late")["State"]["Pid"])
        row.equal("a container of a network", wire.query(late, "far.example"), ["192.0.2.77"])
        row.equal("a name that nobody has", wire.query(late, "nobody.example"), ["code 3"])
        text = host.pouch("run", "--rm", "busybox", "cat", "/etc/resolv.conf")
        row.check("the default network has the servers behind", f"nameserver {WORLD4}" in text, text)
        text = host.pouch("run", "--rm", "--network", "host", "busybox", "cat", "/etc/resolv.conf")
        row.check("the host's network has the stub", "nameserver 127.0.0.53" in text, text)
        before = report.until(lambda: wire.query(one.web, "far.example") == ["192.0.2.77"], seconds=20)
        row.check("one that ran before", before)
        host.pouch("rm", "-f", "late")
    finally:
        host.out("systemctl", "stop", "systemd-resolved")
        ask_servers(WORLD4)
    time.sleep(11)  # it learns of other servers every ten
    one.check(row, "and back")


def ask_servers(*addresses: str) -> None:
    """The host asks these from now on: a file in the place of whatever was there (with resolved installed, a link to its stub)."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink("/etc/resolv.conf")
    with open("/etc/resolv.conf", "w", encoding="ascii") as file:
        file.writelines(f"nameserver {one}\n" for one in addresses)


ROWS = {
    "flush": _flush,
    "policy drop": _dropping,
    "ufw": _ufw,
    "firewalld": _firewalld,
    "networkd": _networkd,
    "resolved": _resolved,
}
