"""The devices of bridge networks: made, addressed, and looked after, in the calling thread's network namespace.

::

    container's namespace │ host's namespace
    lo, eth0 ─────────────│── veth<11 digits of the endpoint's id> ──┐
                          │                                          ├── <link>: the gateways of the network's pools
    lo, eth0, eth1 ───────│── veth... ───────────────────────────────┘
                     └────│── veth... ── <another network's link>

A bridge that pouchd has made carries a note (`ip link` shows it as alias); one that was there before belongs to somebody else:
it gets what addresses it lacks, keeps what it has, and is not deleted.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import dataclass

from pouch.kernel import linkrequest, netlink, rtnetlink
from pouch.network import ruleset, sysctl
from pouch.spec import errors, network

MTU = "com.docker.network.driver.mtu"
NAME = "com.docker.network.bridge.name"
DEFAULT_MTU = 1500
PREFIX = "veth"
_SMALLEST_MTU, _SMALLEST_MTU_6, _LARGEST_MTU = 68, 1280, 65535
_ID_DIGITS = rtnetlink.NAME_MAX - len(PREFIX)
_FIRST_LINK_LOCAL = ipaddress.IPv6Interface("fe80::1/64")
_IPV4_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_IPV6 = "/proc/sys/net/ipv6/conf"
_IPV6_FORWARD = f"{_IPV6}/all/forwarding"


def device_name(network_id: str, config: network.NetworkConfig) -> str:
    """What a network's bridge is called: as the client wants, else `br-` and twelve digits of its id. Raises InvalidInput."""
    name = config.options.get(NAME) or f"br-{network_id[:12]}"
    ruleset.check_link(name)
    return name


def note(one: network.Network) -> str:
    """What tells a device that was made for this network from others."""
    return f"pouch network {one.id}"


def host_link(endpoint_id: str) -> str:
    """The name of our end of an endpoint's pair: as much of its id as fits."""
    return f"{PREFIX}{endpoint_id[:_ID_DIGITS]}"


def is_host_link(name: str) -> bool:
    """Whether a link has a name of the form that ours have."""
    return len(name) == rtnetlink.NAME_MAX and re.fullmatch(f"{PREFIX}[0-9a-f]+", name) is not None


def mac_address(address: linkrequest.Address) -> str:
    """A locally administered MAC that follows from the address, as Docker's does: no neighbour's cache goes stale at a restart."""
    tail = address.packed if address.version == 4 else hashlib.sha256(address.packed).digest()[:4]
    return f"02:42:{tail.hex(':')}"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A network's bridge as it shall be. own: its addresses; isolated: containers do not reach each other by it."""

    net: network.Network
    own: tuple[linkrequest.Interface, ...]
    wanted: frozenset[linkrequest.Interface]
    """`own`, and where there is IPv6 the link-local address that each interface needs."""
    ipv6: bool
    isolated: bool
    mtu: int

    @classmethod
    def of(cls, one: network.Network, *, mtu: int) -> Bridge:
        """mtu: where the network does not say. Raises InvalidInput for what cannot be: gateways, options, the name."""
        ruleset.check_link(one.link)
        own = _gateways(one)
        ipv6 = any(each.version == 6 for each in own)
        return cls(
            one,
            own,
            frozenset({*own, *([_FIRST_LINK_LOCAL] if ipv6 else [])}),
            ipv6,
            not ruleset.enabled(one.config.options.get(ruleset.ICC, "true")),
            mtu_of(one, smallest=_SMALLEST_MTU_6 if ipv6 else _SMALLEST_MTU) or mtu,
        )

    def ready(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        """The device with all it needs in place: made, addressed, up, forwarding. 0.3 ms where nothing is missing."""
        link = self.addressed(kernel)
        if not link.up:
            kernel.set_up(link)
        sysctl.write(_IPV4_FORWARD, "1")
        if self.ipv6:
            _forward_ipv6(kernel)
        return link

    def addressed(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        """The device with its addresses. Raises Conflict where another kind of link has its name."""
        name = self.net.link
        link = kernel.find_link(name) or self._make(kernel)
        if link.kind != "bridge":
            raise errors.Conflict(
                f"network interface {name} is no bridge but {link.kind or 'hardware'}",
                hint="choose another name for the bridge",
            )
        present = {each.interface for each in kernel.addresses(link.index)}
        if present == self.wanted:
            return link
        self._set_families(made=self._made(link))
        # An address of an earlier subnet would keep that subnet's route.
        others = {each for each in present - self.wanted if not each.is_link_local} if self._made(link) else set()
        kernel.run(
            *(linkrequest.delete_address(link.index, each, what=name) for each in others),
            *(linkrequest.add_address(link.index, each, what=name) for each in self.wanted - present),
        )
        return link

    def remove(self, kernel: rtnetlink.RouteSocket) -> None:
        """Delete the device, if it is there and was made for this network."""
        link = kernel.find_link(self.net.link)
        if link is not None and link.kind == "bridge" and self._made(link):
            kernel.delete_link(link.name)

    def plug(self, member: network.Endpoint, index: int, netns: int) -> list[netlink.Request]:
        """What makes an endpoint's pair: our end up and a port of the bridge with this index, the other in that namespace."""
        name = member.host_link
        requests = [
            linkrequest.veth(
                name, master=index, mtu=self.mtu, peer=member.interface, peer_mac=member.mac, peer_netns=netns
            ),
        ]
        return [*requests, *self._port(name)]

    def attach(self, host_link: str, index: int) -> list[netlink.Request]:
        """What makes our end of a pair a port of the bridge with this index again."""
        return [linkrequest.port(host_link, index), *self._port(host_link)]

    def _port(self, name: str) -> list[netlink.Request]:
        """What a new port is told."""
        isolated = [linkrequest.isolate(name)] if self.isolated else []
        return [linkrequest.no_ipv6_address(name), *isolated, linkrequest.up(name)]

    def _make(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        """A new device, which has IPv6 only where the network has, and never believes a router advertisement (CVE-2020-13401)."""
        name = self.net.link
        if self.ipv6 and not os.path.isdir(_IPV6):
            raise errors.Unsupported(f"network {self.net.name}: this kernel has no IPv6")
        source = self.own[0].ip if self.own else ipaddress.IPv6Address(hashlib.sha256(name.encode()).digest()[:16])
        kernel.run(
            linkrequest.bridge(name, mac=mac_address(source), mtu=self.mtu),
            linkrequest.alias(name, note(self.net)),
            linkrequest.no_ipv6_address(name),
        )
        self._set_families(made=True)
        return kernel.get_link(name)

    def _set_families(self, *, made: bool) -> None:
        """IPv6 where the network has it; of what pouchd made also not where it has not."""
        place = f"{_IPV6}/{self.net.link}"
        if self.ipv6 and made:
            sysctl.write(f"{place}/accept_ra", "0")
        if self.ipv6 or made:
            sysctl.write(f"{place}/disable_ipv6", "0" if self.ipv6 else "1", missing_ok=True)

    def _made(self, link: rtnetlink.Link) -> bool:
        """Whether pouchd made it. The default bridge's name is the administrator's word for that."""
        return self.net.predefined or link.alias == note(self.net)


def mtu_of(one: network.Network, *, smallest: int = _SMALLEST_MTU) -> int:
    """What the network asks for, 0 for nothing. Raises InvalidInput."""
    text = one.config.options.get(MTU, "") or "0"
    if text == "0":
        return 0
    if not (text.isascii() and text.isdecimal() and smallest <= int(text[:9]) <= _LARGEST_MTU):
        raise errors.InvalidInput(
            f'network {one.name}: option {MTU} "{errors.shown(text)}": expected {smallest} to {_LARGEST_MTU} bytes'
        )
    return int(text)


def uplink_mtu(kernel: rtnetlink.RouteSocket) -> int:
    """The smallest MTU among the links with a default route: larger packets would only be cut there."""
    uplinks = {route.link for route in kernel.routes() if route.destination.prefixlen == 0}
    return min((link.mtu for link in kernel.links() if link.index in uplinks), default=DEFAULT_MTU)


def current_subnet(name: str) -> str:
    """The IPv4 network that the bridge of that name has now (`172.30.0.0/16`); "" without one."""
    with rtnetlink.RouteSocket() as kernel:
        link = kernel.find_link(name)
        found = [] if link is None else [each.interface for each in kernel.addresses(link.index)]
    return next((str(each.network) for each in found if each.version == 4), "")


def _gateways(one: network.Network) -> tuple[linkrequest.Interface, ...]:
    """The bridge's own addresses: each pool's gateway, or its first address. Raises InvalidInput."""
    found = []
    for pool, subnet in zip(one.config.pools, ruleset.subnets(one), strict=True):
        try:
            address = ipaddress.ip_address(pool.gateway) if pool.gateway else subnet.network_address + 1
        except ValueError as error:
            raise errors.InvalidInput(f'network {one.name}: gateway "{errors.shown(pool.gateway)}": {error}') from error
        if address.version != subnet.version or address not in subnet:
            raise errors.InvalidInput(f"network {one.name}: gateway {address} is not in its subnet {subnet}")
        found.append(ipaddress.ip_interface((address.packed, subnet.prefixlen)))
    return tuple(found)


def _forward_ipv6(kernel: rtnetlink.RouteSocket) -> None:
    """Make the host a router, and let it go on believing the routers it has believed so far (accept_ra 2, ip-sysctl)."""
    if sysctl.read(_IPV6_FORWARD) == "1":
        return
    advertised = {route.link for route in kernel.routes() if route.advertised}
    advertised |= {each.link for each in kernel.addresses() if each.interface.version == 6 and not each.permanent}
    for link in kernel.links():
        path = f"{_IPV6}/{link.name}/accept_ra"
        if link.index in advertised and sysctl.read(path) == "1":
            sysctl.write(path, "2", missing_ok=True)
    sysctl.write(_IPV6_FORWARD, "1")
