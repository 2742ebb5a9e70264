"""Links, addresses and routes of both families (rtnetlink(7)): bridges, veth pairs, and what is set on them.

All in the network namespace of the thread that opened the socket. Nothing is spawned. What can be asked is in linkrequest.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from concurrent import futures
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pouch.kernel import linkrequest, netlink
from pouch.spec import errors

NAME_MAX = linkrequest.NAME_MAX
check_name = linkrequest.check_name

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOOK_AGAIN = 0.0003
"""Seconds."""
_ADVERTISED = 9
"""RTPROT_RA: a route that a router advertised."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. kind: `bridge`, `veth`, ... or "" for hardware; master: index of its bridge, 0 without.

    parent: index of what it stands on, in the namespace where that is: a macvlan's parent, a veth's other end.
    """

    index: int
    name: str
    kind: str
    master: int
    mtu: int
    mac: str
    up: bool
    parent: int = 0
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route of the main table. gateway: "" where the destination is on the link; advertised: by a router."""

    destination: IPNetwork
    link: int
    gateway: str
    advertised: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """An address with its network, on the link of that index. permanent: no router advertised it."""

    link: int
    interface: linkrequest.Interface
    permanent: bool = True


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

    def run(self, *requests: netlink.Request) -> None:
        """Carry out all of them, sent at once. Raises KernelError for the first that failed; those after it were tried."""
        if requests:
            self._socket.run(*requests)

    # links

    def find_link(self, name: str) -> Link | None:
        """The link of that name, or None."""
        payload = linkrequest.link_payload() + netlink.text(linkrequest.IFLA_IFNAME, name)
        request = netlink.Request(
            linkrequest.GETLINK, "RTM_GETLINK", name, payload, tolerated=frozenset({errno.ENODEV})
        )
        answer = self._socket.get(request)
        return None if answer is None else _link(answer.payload)

    def get_link(self, name: str) -> Link:
        """The link of that name. Raises KernelError ENODEV."""
        link = self.find_link(name)
        if link is None:
            raise errors.KernelError("netlink RTM_GETLINK", name, errno.ENODEV)
        return link

    def links(self) -> list[Link]:
        """All links."""
        request = netlink.Request(linkrequest.GETLINK, "RTM_GETLINK", "all links", linkrequest.link_payload())
        return [_link(each.payload) for each in self._socket.dump(request) if each.kind == linkrequest.NEWLINK]

    def create_bridge(self, name: str, *, mac: str, mtu: int) -> None:
        """See `linkrequest.bridge`."""
        self._socket.run(linkrequest.bridge(name, mac=mac, mtu=mtu))

    def create_veth(
        self, name: str, *, master: int, mtu: int, peer: str, peer_mac: str, peer_netns: int | None = None
    ) -> None:
        """See `linkrequest.veth`; our end is up afterwards, and has no IPv6 address that nobody asked for."""
        self._socket.run(
            linkrequest.veth(name, master=master, mtu=mtu, peer=peer, peer_mac=peer_mac, peer_netns=peer_netns)
        )
        self._socket.run(linkrequest.no_ipv6_address(name), linkrequest.up(name))

    def set_up(self, link: Link) -> None:
        """Set a link up."""
        self._socket.run(linkrequest.up(link.index))

    def set_mtu(self, link: Link, mtu: int) -> None:
        """Change a link's MTU."""
        self._socket.run(linkrequest.mtu(link.index, mtu))

    def delete_link(self, name: str) -> None:
        """See `linkrequest.delete`."""
        self._socket.run(linkrequest.delete(name))

    # addresses and routes

    def addresses(self, link: int = 0) -> list[Address]:
        """All addresses of both families; of one link where its index is given."""
        payload = linkrequest.ADDR.pack(socket.AF_UNSPEC, 0, 0, 0, link)
        request = netlink.Request(linkrequest.GETADDR, "RTM_GETADDR", "all addresses", payload)
        found = [_address(each.payload) for each in self._socket.dump(request) if each.kind == linkrequest.NEWADDR]
        return [each for each in found if link in (0, each.link)]

    def add_address(self, link: Link, address: linkrequest.Interface) -> None:
        """Give a link an address; one that it has already is fine."""
        self._socket.run(linkrequest.add_address(link.index, address, what=link.name))

    def delete_address(self, link: Link, address: linkrequest.Interface) -> None:
        """Take an address from a link; a missing one is fine."""
        self._socket.run(linkrequest.delete_address(link.index, address, what=link.name))

    def routes(self) -> list[Route]:
        """The unicast routes of the main table, of both families; a default route has a prefix length of 0."""
        found: list[Route | None] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            payload = linkrequest.ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            request = netlink.Request(linkrequest.GETROUTE, "RTM_GETROUTE", "all routes", payload)
            found += [_route(each.payload) for each in self._socket.dump(request) if each.kind == linkrequest.NEWROUTE]
        return [route for route in found if route is not None]

    def configure(self, name: str, address: ipaddress.IPv4Interface, gateway: ipaddress.IPv4Address) -> None:
        """Address, state and default route of a fresh link, and the loopback link up: a container's whole network."""
        index = self.get_link(name).index
        self._socket.run(
            linkrequest.loopback_up(),
            linkrequest.no_ipv6_address(index),
            linkrequest.add_address(index, address, what=name),
            linkrequest.up(index),
            linkrequest.default_route(index, gateway, replace=True),
        )

    def loopback_up(self) -> None:
        """Set the loopback link up; the kernel gives it 127.0.0.1 and ::1."""
        self._socket.run(linkrequest.loopback_up())


def discard(name: str) -> None:
    """Delete a link as `RouteSocket.delete_link` does, and wait only until nobody can see it any more.

    That takes 1 ms; until the kernel has taken the link apart, and answers, it is 20 ms (it waits for every processor to have
    forgotten it), which a thread of its own waits for.
    """
    done: futures.Future[None] = futures.Future()
    deleting = RouteSocket()  # of the caller's namespace

    def delete() -> None:
        try:
            with deleting:
                deleting.delete_link(name)
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller's thread
            done.set_exception(error)

    with RouteSocket() as kernel:
        if kernel.find_link(name) is None:
            deleting.close()
            return None
        threading.Thread(target=delete, name="discard", daemon=True).start()
        while True:
            try:
                return done.result(timeout=_LOOK_AGAIN)
            except TimeoutError:
                if kernel.find_link(name) is None:
                    return None


def _link(payload: bytes) -> Link:
    _, _, index, flags, _ = linkrequest.LINK.unpack_from(payload)
    found = netlink.attributes(payload, linkrequest.LINK.size)
    info = netlink.attributes(found.get(linkrequest.IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=netlink.string(found, linkrequest.IFLA_IFNAME),
        kind=netlink.string(info, linkrequest.INFO_KIND),
        master=netlink.number(found, linkrequest.IFLA_MASTER),
        mtu=netlink.number(found, linkrequest.IFLA_MTU),
        mac=found.get(linkrequest.IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & linkrequest.UP),
        parent=netlink.number(found, linkrequest.IFLA_LINK),
        alias=netlink.string(found, linkrequest.IFLA_IFALIAS),
    )


def _address(payload: bytes) -> Address:
    _, prefix_length, short_flags, _, index = linkrequest.ADDR.unpack_from(payload)
    found = netlink.attributes(payload, linkrequest.ADDR.size)
    raw = found.get(linkrequest.IFA_LOCAL) or found[linkrequest.IFA_ADDRESS]
    flags = netlink.number(found, linkrequest.IFA_FLAGS) or short_flags
    return Address(index, ipaddress.ip_interface((raw, prefix_length)), bool(flags & linkrequest.PERMANENT))


def _route(payload: bytes) -> Route | None:
    """None for local, broadcast and other tables' routes."""
    family, length, _, _, table, protocol, _, kind, _ = linkrequest.ROUTE.unpack_from(payload)
    found = netlink.attributes(payload, linkrequest.ROUTE.size)
    if kind != linkrequest.TYPE_UNICAST or (netlink.number(found, linkrequest.RTA_TABLE) or table) != (
        linkrequest.TABLE_MAIN
    ):
        return None
    everything = bytes(4 if family == socket.AF_INET else 16)
    destination = ipaddress.ip_network((found.get(linkrequest.RTA_DST, everything), length))
    gateway = found.get(linkrequest.RTA_GATEWAY)
    return Route(
        destination,
        netlink.number(found, linkrequest.RTA_OIF),
        str(ipaddress.ip_address(gateway)) if gateway else "",
        protocol == _ADVERTISED,
    )
