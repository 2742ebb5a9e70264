"""Networks and endpoints as values, and processes plugged into them, for tests in a host of namespaces (support.network)."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from support import network as hosts

from pouch.kernel import rtnetlink
from pouch.network import firewall, links
from pouch.spec import network

T = TypeVar("T")


def make_network(name: str, *subnets: str, driver: str = network.Driver.BRIDGE, **config: object) -> network.Network:
    """A network with these subnets; `link` is its name. config: further members of NetworkConfig, and `predefined`."""
    predefined = bool(config.pop("predefined", False))
    pools = []
    for text in subnets:
        subnet = ipaddress.ip_network(text)
        pools.append(network.Pool(subnet=text, gateway=str(subnet.network_address + 1)))
    asked = network.NetworkConfig(
        name=name,
        driver=driver,
        pools=tuple(pools),
        ipv6=any(":" in text for text in subnets),
        **config,  # type: ignore[arg-type]
    )
    identifier = hashlib.sha256(name.encode()).hexdigest()
    link = name if driver == network.Driver.BRIDGE else ""
    return network.Network(id=identifier, created="", config=asked, predefined=predefined, link=link)


def make_endpoint(one: network.Network, *addresses: str, interface: str = "eth0", mac: str = "") -> network.Endpoint:
    """An endpoint with these addresses, and the gateways of their pools unless the network is internal."""
    by_version = {ipaddress.ip_address(text).version: text for text in addresses}
    gateways = {ipaddress.ip_network(pool.subnet).version: pool.gateway for pool in one.config.pools}
    if one.config.internal:
        gateways = {}
    return network.Endpoint(
        id=hashlib.sha256(f"{one.id} {addresses} {interface}".encode()).hexdigest(),
        network_id=one.id,
        network_name=one.name,
        driver=one.driver,
        interface=interface,
        mac=mac,
        ipv4=by_version.get(4, ""),
        ipv4_gateway=gateways.get(4, "") if 4 in by_version else "",
        ipv6=by_version.get(6, ""),
        ipv6_gateway=gateways.get(6, "") if 6 in by_version else "",
    )


@dataclass
class Wired:
    """A process in networks."""

    process: hosts.Process
    endpoints: tuple[network.Endpoint, ...]


@dataclass
class Wiring:
    """The networks of one daemon on a host."""

    host: hosts.Host
    table: str = "pouch0"
    mtu: int = 0
    links: links.Links = field(init=False)
    firewall: firewall.Firewall = field(init=False)

    def __post_init__(self) -> None:
        self.firewall = firewall.Firewall(self.table)
        self.host.stack.callback(self.firewall.close)
        self.links = links.Links(self.firewall, mtu=self.mtu)

    def plug(self, *members: tuple[network.Network, network.Endpoint], options: tuple[str, ...] = ()) -> Wired:
        """A new process with these endpoints."""
        process = self.host.process(*options)
        return Wired(process, self.connect(process, *members))

    def simple(self, one: network.Network, *addresses: str) -> hosts.Process:
        """A new process in one network."""
        return self.plug((one, make_endpoint(one, *addresses))).process

    def connect(
        self, process: hosts.Netns, *members: tuple[network.Network, network.Endpoint]
    ) -> tuple[network.Endpoint, ...]:
        """Connect what is there."""
        return self.host.run(lambda: self.links.connect(members, process.fd, "c" * 64))

    def disconnect(self, endpoint: network.Endpoint, process: hosts.Netns | None) -> None:
        """Disconnect one endpoint."""
        self.host.run(lambda: self.links.disconnect(endpoint, process.fd if process else None, "c" * 64))


def inventory(where: hosts.Netns) -> dict[str, set[str]]:
    """The addresses of each interface, the loopback's left out."""

    def read() -> dict[str, set[str]]:
        with rtnetlink.RouteSocket() as kernel:
            names = {link.index: link.name for link in kernel.links()}
            found: dict[str, set[str]] = {name: set() for name in names.values() if name != "lo"}
            for each in kernel.addresses():
                if names[each.link] != "lo":
                    found[names[each.link]].add(str(each.interface))
            return found

    return where.run(read)


def default_gateways(where: hosts.Netns) -> set[str]:
    """The gateways of the default routes."""

    def read() -> set[str]:
        with rtnetlink.RouteSocket() as kernel:
            return {route.gateway for route in kernel.routes() if route.destination.prefixlen == 0}

    return where.run(read)


def talk(client: hosts.Netns, server: hosts.Netns, address: str) -> str:
    """Send a word by TCP; the peer address that the server sees."""
    with server.run(lambda: listen(address)) as listener:
        port = listener.getsockname()[1]
        with client.run(lambda: hosts.connect(address, port)) as sender:
            receiver, peer = listener.accept()
            with receiver:
                receiver.settimeout(hosts.PATIENCE)
                sender.sendall(b"word")
                assert receiver.recv(4) == b"word"
                return str(peer[0])


def refused(client: hosts.Netns, server: hosts.Netns, address: str) -> bool:
    """Whether nothing comes through to a server that listens."""
    with server.run(lambda: listen(address)) as listener:
        port = listener.getsockname()[1]
        try:
            client.run(lambda: hosts.connect(address, port, hosts.REFUSED_WITHIN)).close()
        except OSError:
            return True
        return False


def listen(address: str, port: int = 0) -> socket.socket:
    """A TCP listener of either family; port 0: a free one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    listener.settimeout(hosts.PATIENCE)
    return listener


def changed(value: T, **members: object) -> T:
    """A frozen value with other members."""
    return dataclasses.replace(value, **members)  # type: ignore[type-var]


def advertise(interface: str, prefix: str) -> None:
    """Send a router advertisement (RFC 4861 section 4.2) from the calling thread's namespace: a default route and a /64."""
    packed = ipaddress.IPv6Address(prefix).packed
    information = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + packed
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + information
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(interface)))


def set_bridge_filter(value: str) -> None:
    """Whether frames within a bridge pass the rules for IP packets (1) or not, where this kernel can do that at all (br_netfilter)."""
    for family in ("iptables", "ip6tables"):
        path = Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}")
        if path.exists():
            path.write_text(value)
