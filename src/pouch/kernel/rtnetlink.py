"""Links, IPv4 addresses and routes (rtnetlink(7)): bridges, veth pairs, and what is set on them.

All in the network namespace of the thread that opened the socket. Nothing is spawned.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pouch.kernel import netlink
from pouch.spec import errors

LOOPBACK_INDEX = 1
NAME_MAX = 15

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _GETROUTE = 24, 26

_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst, src, tos, table, protocol, scope, type, flags

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_AF_SPEC, _IFLA_NET_NS_FD = 26, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_BR_FORWARD_DELAY, _BR_STP_STATE, _BR_MCAST_SNOOPING = 1, 5, 23
_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15
_TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _TYPE_UNICAST = 254, 3, 0, 1
_UP = 1


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. kind: `bridge`, `veth`, ... or "" for hardware; master: index of its bridge, 0 without."""

    index: int
    name: str
    kind: str
    master: int
    mtu: int
    mac: str
    up: bool


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast IPv4 route of the main table. gateway: "" where the destination is on the link."""

    destination: ipaddress.IPv4Network
    link: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 address with its network, on the link of that index."""

    link: int
    interface: ipaddress.IPv4Interface


class RouteSocket:
    """Reads and changes the links of one network namespace; a context manager."""

    def __init__(self) -> None:
        self._socket = netlink.Socket(netlink.ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; idempotent."""
        self._socket.close()

    # links

    def find_link(self, name: str) -> Link | None:
        """The link of that name, or None."""
        payload = _link_payload(0) + netlink.text(_IFLA_IFNAME, name)
        tolerated = frozenset({errno.ENODEV})
        answer = self._socket.get(netlink.Request(_GETLINK, "RTM_GETLINK", name, payload, tolerated=tolerated))
        return None if answer is None else _link(answer.payload)

    def get_link(self, name: str) -> Link:
        """The link of that name. Raises KernelError ENODEV."""
        link = self.find_link(name)
        if link is None:
            raise errors.KernelError("netlink RTM_GETLINK", name, errno.ENODEV)
        return link

    def links(self) -> list[Link]:
        """All links."""
        answers = self._socket.dump(netlink.Request(_GETLINK, "RTM_GETLINK", "all links", _link_payload(0)))
        return [_link(answer.payload) for answer in answers if answer.kind == _NEWLINK]

    def create_bridge(self, name: str, *, mac: str, mtu: int) -> None:
        """A bridge that forwards at once (no spanning tree), down. KernelError EEXIST where the name is taken.

        With a MAC of its own: a bridge without one takes its lowest port's and changes it as ports come and go.
        """
        data = netlink.nested(_INFO_DATA, netlink.u32(_BR_FORWARD_DELAY, 0), netlink.u32(_BR_STP_STATE, 0))
        self._create(name, "bridge", data, netlink.attribute(_IFLA_ADDRESS, _mac(mac)), netlink.u32(_IFLA_MTU, mtu))

    def create_veth(
        self, name: str, *, master: int, mtu: int, peer: str, peer_mac: str, peer_netns: int | None = None
    ) -> None:
        """A pair: `name` here, up, port of the bridge `master`; `peer`, down, in the namespace of the descriptor.

        In one request, so the peer never is in this namespace. Of the two requests sent with it, one keeps IPv6
        from giving our end an address nobody asked for, and one sets it up.
        """
        inner = netlink.text(_IFLA_IFNAME, peer) + netlink.attribute(_IFLA_ADDRESS, _mac(peer_mac))
        inner += netlink.u32(_IFLA_MTU, mtu)
        if peer_netns is not None:
            inner += netlink.u32(_IFLA_NET_NS_FD, peer_netns)
        data = netlink.nested(_INFO_DATA, netlink.nested(_VETH_PEER, _link_payload(0) + inner))
        create = _create_request(name, "veth", data, netlink.u32(_IFLA_MTU, mtu), netlink.u32(_IFLA_MASTER, master))
        self._socket.run(create)
        self._socket.run(
            _set_request(name, "no IPv6 address", 0, _no_ipv6_address(), by_name=True),
            _set_request(name, "up", _UP, b"", by_name=True),
        )

    def set_up(self, link: Link) -> None:
        """Set a link up."""
        self._socket.run(_set_request(link.name, "up", _UP, b"", index=link.index))

    def set_mtu(self, link: Link, mtu: int) -> None:
        """Change a link's MTU."""
        self._socket.run(_set_request(link.name, f"mtu {mtu}", 0, netlink.u32(_IFLA_MTU, mtu), index=link.index))

    def delete_link(self, name: str) -> None:
        """Delete a link, and with one end of a veth the other. A missing one is fine."""
        payload = _link_payload(0) + netlink.text(_IFLA_IFNAME, name)
        tolerated = frozenset({errno.ENODEV})
        self._socket.run(netlink.Request(_DELLINK, "RTM_DELLINK", name, payload, tolerated=tolerated))

    def _create(self, name: str, kind: str, data: bytes, *attributes: bytes) -> None:
        self._socket.run(_create_request(name, kind, data, *attributes))

    # addresses and routes

    def addresses(self) -> list[Address]:
        """All IPv4 addresses."""
        payload = _ADDR.pack(socket.AF_INET, 0, 0, 0, 0)
        answers = self._socket.dump(netlink.Request(_GETADDR, "RTM_GETADDR", "all addresses", payload))
        return [_address(answer.payload) for answer in answers if answer.kind == _NEWADDR]

    def add_address(self, link: Link, address: ipaddress.IPv4Interface) -> None:
        """Give a link an IPv4 address; one that it has already is fine."""
        self._socket.run(_address_request(_NEWADDR, link, address))

    def delete_address(self, link: Link, address: ipaddress.IPv4Interface) -> None:
        """Take an address from a link; a missing one is fine."""
        self._socket.run(_address_request(_DELADDR, link, address))

    def routes(self) -> list[Route]:
        """The unicast IPv4 routes of the main table; the default route has the destination 0.0.0.0/0."""
        payload = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        answers = self._socket.dump(netlink.Request(_GETROUTE, "RTM_GETROUTE", "all routes", payload))
        found = [_route(answer.payload) for answer in answers if answer.kind == _NEWROUTE]
        return [route for route in found if route is not None]

    def configure(self, name: str, address: ipaddress.IPv4Interface, gateway: ipaddress.IPv4Address) -> None:
        """Address, state and default route of a fresh link, and the loopback link up: a container's whole network."""
        link = self.get_link(name)
        route = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _TYPE_UNICAST, 0) + (
            netlink.attribute(_RTA_GATEWAY, gateway.packed) + netlink.u32(_RTA_OIF, link.index)
        )
        self._socket.run(
            _loopback_request(),
            _set_request(name, "no IPv6 address", 0, _no_ipv6_address(), index=link.index),
            _address_request(_NEWADDR, link, address),
            _set_request(name, "up", _UP, b"", index=link.index),
            netlink.Request(
                _NEWROUTE, "RTM_NEWROUTE", f"default via {gateway}", route, netlink.CREATE | netlink.REPLACE
            ),
        )

    def loopback_up(self) -> None:
        """Set the loopback link up; the kernel gives it 127.0.0.1 and ::1."""
        self._socket.run(_loopback_request())


def _link_payload(index: int, flags: int = 0, change: int = 0) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flags, change)


def _create_request(name: str, kind: str, data: bytes, *attributes: bytes) -> netlink.Request:
    """A request for a new link of that kind."""
    check_name(name)
    info = netlink.nested(_IFLA_LINKINFO, netlink.text(_INFO_KIND, kind), data)
    payload = _link_payload(0) + netlink.text(_IFLA_IFNAME, name) + b"".join(attributes) + info
    return netlink.Request(_NEWLINK, "RTM_NEWLINK", f"{kind} {name}", payload, netlink.CREATE | netlink.EXCLUSIVE)


def _set_request(
    name: str, what: str, flags: int, attributes: bytes, *, index: int = 0, by_name: bool = False
) -> netlink.Request:
    """A change of flags or attributes of one link, known by index or by name."""
    key = netlink.text(_IFLA_IFNAME, name) if by_name else b""
    return netlink.Request(
        _SETLINK, "RTM_SETLINK", f"{name} {what}", _link_payload(index, flags, flags) + key + attributes
    )


def _loopback_request() -> netlink.Request:
    return _set_request("lo", "up", _UP, b"", index=LOOPBACK_INDEX)


def _address_request(kind: int, link: Link, address: ipaddress.IPv4Interface) -> netlink.Request:
    """Add or delete; the tolerated errnos make both idempotent."""
    payload = _ADDR.pack(socket.AF_INET, address.network.prefixlen, 0, 0, link.index)
    payload += netlink.attribute(_IFA_LOCAL, address.packed) + netlink.attribute(_IFA_ADDRESS, address.packed)
    what = f"{link.name} {address}"
    if kind == _DELADDR:
        return netlink.Request(kind, "RTM_DELADDR", what, payload, tolerated=frozenset({errno.EADDRNOTAVAIL}))
    if address.network.prefixlen < 31:
        payload += netlink.attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    flags = netlink.CREATE | netlink.EXCLUSIVE
    return netlink.Request(kind, "RTM_NEWADDR", what, payload, flags, frozenset({errno.EEXIST}))


def _no_ipv6_address() -> bytes:
    """Attribute: no link-local address, so no duplicate detection and no router solicitation either."""
    mode = netlink.u8(_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE)
    return netlink.nested(_IFLA_AF_SPEC, netlink.nested(socket.AF_INET6, mode))


def _link(payload: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    found = netlink.attributes(payload, _LINK.size)
    info = netlink.attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=netlink.string(found, _IFLA_IFNAME),
        kind=netlink.string(info, _INFO_KIND),
        master=netlink.number(found, _IFLA_MASTER),
        mtu=netlink.number(found, _IFLA_MTU),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & _UP),
    )


def _address(payload: bytes) -> Address:
    _, prefix_length, _, _, index = _ADDR.unpack_from(payload)
    found = netlink.attributes(payload, _ADDR.size)
    raw = found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]
    return Address(index, ipaddress.IPv4Interface((raw, prefix_length)))


def _route(payload: bytes) -> Route | None:
    """None for local, broadcast and other tables' routes."""
    _, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(payload)
    found = netlink.attributes(payload, _ROUTE.size)
    if kind != _TYPE_UNICAST or (netlink.number(found, _RTA_TABLE) or table) != _TABLE_MAIN:
        return None
    destination = ipaddress.IPv4Network((found.get(_RTA_DST, b"\0\0\0\0"), length))
    gateway = found.get(_RTA_GATEWAY)
    return Route(destination, netlink.number(found, _RTA_OIF), str(ipaddress.IPv4Address(gateway)) if gateway else "")


def check_name(name: str) -> None:
    """A link's name as the kernel wants it (dev_valid_name). Raises InvalidInput."""
    if not name or len(name.encode()) > NAME_MAX or name in {".", ".."} or any(c in "/: \t\n" for c in name):
        raise errors.InvalidInput(
            f'"{name}" is no name for a network interface: expected 1 to {NAME_MAX} bytes without "/", ":" and spaces'
        )


def _mac(text: str) -> bytes:
    """Six bytes of `02:42:ac:1e:00:02`."""
    return bytes.fromhex(text.replace(":", ""))
