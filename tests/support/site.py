"""Bridges and containers of both families on a host made of namespaces, by ip(8) alone: what rules are tried on.

::

    container 172.30.0.2, fd00:30::2 ── pouch0 ┐
    container 172.30.0.3, fd00:30::3 ──┘       ├ host ── br-up 203.0.113.1, 2001:db8::1 ── world 203.0.113.2, 2001:db8::2
    container 172.31.0.2, fd00:31::2 ── pouch1 ┘

Every container's default route is its bridge; the world has no route to the bridges.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from support import network

from pouch.network import firewall
from pouch.spec import network as words

UPLINK4, WORLD4 = "203.0.113.1", "203.0.113.2"
UPLINK6, WORLD6 = "2001:db8::1", "2001:db8::2"


@dataclass
class Container(network.Process):
    """A process in a namespace that is connected to one bridge."""

    ipv4: str = ""
    ipv6: str = ""
    link: str = ""


@dataclass
class Site:
    """A host with a firewall of ours."""

    host: network.Host
    firewall: firewall.Firewall
    made: dict[str, words.Network] = field(default_factory=dict)
    count: int = 0

    @property
    def world(self) -> network.Netns:
        """The neighbour on the uplink."""
        return self.host.world

    def network(self, number: int, *, internal: bool = False, ipv6: bool = True, **options: str) -> words.Network:
        """Bridge `pouch<number>` with 172.<30+number>.0.0/16 and fd00:<30+number>::/64, let through by the firewall."""
        name, digits = f"pouch{number}", 30 + number
        pools = [words.Pool(subnet=f"172.{digits}.0.0/16", gateway=f"172.{digits}.0.1")]
        lines = [f"link add {name} type bridge", f"address add 172.{digits}.0.1/16 dev {name}"]
        if ipv6:
            pools.append(words.Pool(subnet=f"fd00:{digits}::/64", gateway=f"fd00:{digits}::1"))
            lines.append(f"address add fd00:{digits}::1/64 dev {name} nodad")
        ip(self.host, *lines, f"link set {name} up")
        config = words.NetworkConfig(name=name, pools=tuple(pools), internal=internal, options=options)
        made = words.Network(id=f"{number:064d}", created="", config=config, link=name)
        self.host.run(lambda: self.firewall.add_network(made))
        self.made[name] = made
        return made

    def container(self, of: words.Network, last: int, *, isolated: bool = False) -> Container:
        """A container with the addresses that end in `last`."""
        process = self.host.process()
        self.count += 1
        link = f"veth{self.count}"
        ip(self.host, f"link add {link} master {of.link} type veth peer name eth0 netns {process.pid}")
        ip(self.host, f"link set {link} up", *([f"link set {link} type bridge_slave isolated on"] if isolated else []))
        lines, addresses = ["link set lo up", "link set eth0 up"], {4: "", 6: ""}
        for pool in of.config.pools:
            net = ipaddress.ip_network(pool.subnet)
            address = net.network_address + last
            addresses[net.version] = str(address)
            lines.append(f"address add {address}/{net.prefixlen} dev eth0" + (" nodad" if net.version == 6 else ""))
            lines.append(f"-{net.version} route add default via {pool.gateway}".replace("-4 ", ""))
        ip(process, *[line for line in lines if not line.startswith("-6")])
        for line in lines:
            if line.startswith("-6"):
                ip(process, line.removeprefix("-6 "), family="-6")
        return Container(process.fd, popen=process.popen, ipv4=addresses[4], ipv6=addresses[6], link=link)

    def publish(self, container: Container, *ports: words.PublishedPort, name: str = "c") -> None:
        """By the container's addresses."""
        self.host.run(lambda: self.firewall.publish(name, ports, container.ipv4, container.ipv6, container.link))


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """A host with an uplink of both families, forwarding on, and no rules but ours."""
    with network.make_host() as host:
        ip(host, "link set lo up", f"address add {UPLINK6}/64 dev br-up nodad")
        ip(host.world, f"address add {WORLD6}/64 dev eth0 nodad")
        ip(host.world, f"route add default via {UPLINK6}", family="-6")
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            host.run(lambda path=path: write(f"/proc/sys/net/{path}", "1"))
        for path in ("all", "default"):  # link-local addresses at once: before, no neighbour is asked for
            host.run(lambda path=path: write(f"/proc/sys/net/ipv6/conf/{path}/accept_dad", "0"))
        made = Site(host, firewall.Firewall("pouch0"))
        try:
            yield made
        finally:
            made.firewall.close()


def ip(place: network.Netns, *lines: str, family: str = "-4") -> None:
    """Commands of ip(8) in a namespace."""
    script = "".join(f"{line}\n" for line in lines)
    option = [] if family == "-4" else [family]
    place.run(lambda: subprocess.run(["ip", *option, "-batch", "-"], input=script, text=True, check=True))


def port(number: int, host_port: int, host_ip: str = "0.0.0.0", protocol: str = "tcp") -> words.PublishedPort:
    """A published port."""
    return words.PublishedPort(port=number, protocol=protocol, host_ip=host_ip, host_port=host_port)


def says(
    client: network.Netns,
    server: network.Netns,
    address: str,
    number: int,
    listening: int,
    *,
    protocol: str = "tcp",
    patience: float = network.PATIENCE,
) -> str:
    """What address the server at port `listening` sees of a client that calls address and number; "" when nothing arrives.

    Both ways: the client must have the server's answer.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if protocol == "udp":
        return _datagram(client, server, family, address, number, listening, patience)
    with server.run(lambda: _listener(family, listening)) as listener:
        try:
            with client.run(lambda: socket.create_connection((address, number), timeout=patience)) as one:
                listener.settimeout(network.PATIENCE)
                accepted, peer = listener.accept()
                with accepted:
                    accepted.sendall(b"word")
                    one.settimeout(network.PATIENCE)
                    assert one.recv(4) == b"word"
                    return str(peer[0])
        except OSError:
            return ""


def unheard(
    client: network.Netns,
    server: network.Netns,
    address: str,
    number: int,
    listening: int,
    *,
    protocol: str = "tcp",
) -> bool:
    """Whether a server that listens sees nothing of such a client."""
    wait = network.REFUSED_WITHIN
    return says(client, server, address, number, listening, protocol=protocol, patience=wait) == ""


def _listener(family: int, number: int) -> socket.socket:
    return socket.create_server(("", number), family=family)


def _datagram(
    client: network.Netns,
    server: network.Netns,
    family: int,
    address: str,
    number: int,
    listening: int,
    patience: float,
) -> str:
    def bound() -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind(("", listening))
        return made

    with (
        server.run(bound) as receiver,
        client.run(lambda: socket.socket(family, socket.SOCK_DGRAM)) as sender,
    ):
        receiver.settimeout(patience)
        sender.settimeout(network.PATIENCE)
        try:
            sender.connect((address, number))  # so that an answer from elsewhere is not taken
            sender.send(b"word")
            data, peer = receiver.recvfrom(10)
            receiver.sendto(data, peer)
            assert sender.recv(10) == b"word"
        except OSError:
            return ""
        return str(peer[0])


def write(path: str, text: str) -> None:
    """Set a kernel parameter of the calling thread's namespace."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
