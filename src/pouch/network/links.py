"""A container's places in networks, made and unmade: the devices of networks, and the interfaces in the container's namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import re
import threading
from collections.abc import Collection, Sequence

from pouch.kernel import netlink, rtnetlink
from pouch.network import bridges, firewall, foreign, inside
from pouch.spec import errors, network

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

device_name = bridges.device_name

Member = tuple[network.Network, network.Endpoint]


class Links:
    """All networks of one daemon. Blocking, safe for use by several threads; acts in the network namespace of the calling one."""

    def __init__(self, firewall: firewall.Firewall, *, mtu: int = 0) -> None:
        """mtu: of networks that do not say; 0: that of the link with the default route."""
        self._firewall = firewall
        self._wanted_mtu = mtu
        self._lock = threading.Lock()
        self._networks: dict[str, network.Network] = {}
        self._sizes: dict[str, int] = {}  # MTU of networks that are ensured

    # networks

    def ensure(self, one: network.Network) -> None:
        """Device, addresses, forwarding and rules are there afterwards, also where somebody removed them."""
        with self._lock, rtnetlink.RouteSocket() as kernel:
            self._claim(one)
            if one.driver == network.Driver.BRIDGE:
                self._ensure_bridge(kernel, one)

    def claim(self, one: network.Network) -> None:
        """Have the device with its addresses, and no more: from now on nobody who looks for a free subnet takes this one.

        Raises Conflict where another network has the device.
        """
        with self._lock, rtnetlink.RouteSocket() as kernel:
            self._claim(one)
            if one.driver == network.Driver.BRIDGE:
                bridges.addressed(kernel, one, bridges.mtu(one) or self._wanted_mtu or bridges.uplink_mtu(kernel))

    def remove(self, one: network.Network) -> None:
        """Device and rules are gone afterwards; containers on it lose that network. Forwarding stays on."""
        with self._lock, rtnetlink.RouteSocket() as kernel:
            self._networks.pop(one.id, None)
            self._sizes.pop(one.id, None)
            if one.driver == network.Driver.BRIDGE:
                foreign.close_way(one.link)
                self._firewall.remove_network(one.id)
                bridges.remove(kernel, one)

    def open_way(self) -> None:
        """Let all networks through other firewalls' chains, after somebody has changed these (`firewall.News.OTHERS`)."""
        with self._lock:
            for one in self._networks.values():
                if one.driver == network.Driver.BRIDGE and one.id in self._sizes:
                    foreign.open_way(one.link)

    # endpoints

    def connect(self, members: Sequence[Member], netns: int, container_id: str) -> tuple[network.Endpoint, ...]:
        """Give a network namespace these interfaces, default routes by the first with a gateway, and a loopback link that is up.

        All or nothing. netns: a descriptor. The endpoints have their mac and host_link in the answer. Also for one more of a
        running container: a default route that is there stays. Raises InvalidInput for an address that is not for a container,
        Conflict for the namespace we are in, KernelError EEXIST for an interface that is there.
        """
        inside.refuse_own(netns)
        with rtnetlink.RouteSocket() as kernel, contextlib.ExitStack() as undo:
            masters = self._ready(kernel, [one for one, _ in members])
            plugged, requests = [], []
            for one, member in members:
                if one.driver == network.Driver.BRIDGE:
                    filled = _filled(one, member)
                    index, size = masters[one.id]
                    requests += bridges.plug(one, filled, index, size, netns)
                    plugged.append(filled)
                elif one.driver in (network.Driver.HOST, network.Driver.NULL):
                    plugged.append(member)
                else:
                    raise errors.Unsupported(f"network {one.name}: driver {one.driver} is not supported")
            undo.callback(_unplug, kernel, plugged)
            self._plug(kernel, plugged, requests)
            inside.configure(netns, [each for each in plugged if each.host_link])
            undo.pop_all()
        return tuple(plugged)

    def disconnect(self, member: network.Endpoint, netns: int | None, container_id: str) -> None:
        """An endpoint's interface is gone afterwards; a missing one is fine. netns: None where the namespace is gone."""
        if member.host_link:
            with rtnetlink.RouteSocket() as kernel:
                kernel.delete_link(member.host_link)

    def set_default(self, netns: int, member: network.Endpoint) -> None:
        """Default routes by this endpoint, after the one that had them has gone. Raises NotFound where it has gone, too."""
        inside.set_default(netns, member)

    def loopback_up(self, netns: int) -> None:
        """Set the loopback link up: all that a container without a network needs. Raises Conflict for the namespace we are in."""
        inside.loopback_up(netns)

    def reconcile(self, keep: Collection[str]) -> list[str]:
        """Remove the ports of our bridges that are none of these host links; the names of those removed."""
        with self._lock:
            names = {one.link for one in self._networks.values() if one.driver == network.Driver.BRIDGE}
        with rtnetlink.RouteSocket() as kernel:
            links = kernel.links()
            ours = {link.index for link in links if link.kind == "bridge" and link.name in names}
            ports = [link.name for link in links if link.kind == "veth" and link.master in ours]
            leftover = [name for name in ports if name.startswith(bridges.PREFIX) and name not in keep]
            for name in leftover:
                kernel.delete_link(name)
        return leftover

    # within

    def _claim(self, one: network.Network) -> None:
        """Note the network. Raises Conflict where another one has its bridge."""
        if one.driver == network.Driver.BRIDGE:
            for other in self._networks.values():
                if other.link == one.link and other.id != one.id and other.driver == network.Driver.BRIDGE:
                    raise errors.Conflict(f"network {one.name}: bridge {one.link} belongs to network {other.name}")
        self._networks[one.id] = one

    def _ready(self, kernel: rtnetlink.RouteSocket, networks: Sequence[network.Network]) -> dict[str, tuple[int, int]]:
        """Index and MTU of the bridges of those that have one, each with all it needs in place; by network id."""
        found = {}
        with self._lock:
            for one in networks:
                if one.driver != network.Driver.BRIDGE:
                    continue
                if one.id in self._sizes:
                    size = self._sizes[one.id]
                    found[one.id] = (bridges.ready(kernel, one, size).index, size)
                else:
                    self._claim(one)
                    found[one.id] = (self._ensure_bridge(kernel, one).index, self._sizes[one.id])
            self._firewall.ensure()
        return found

    def _ensure_bridge(self, kernel: rtnetlink.RouteSocket, one: network.Network) -> rtnetlink.Link:
        size = bridges.mtu(one) or self._wanted_mtu or bridges.uplink_mtu(kernel)
        link = bridges.ready(kernel, one, size)
        self._firewall.add_network(one)
        self._firewall.ensure()
        foreign.open_way(one.link)
        foreign.open_legacy_way(one.link)
        self._sizes[one.id] = size
        return link

    def _plug(
        self, kernel: rtnetlink.RouteSocket, members: Sequence[network.Endpoint], requests: Sequence[netlink.Request]
    ) -> None:
        """Make the pairs, also where one of that name is left from an attempt that did not end."""
        try:
            kernel.run(*requests)
        except errors.KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            _unplug(kernel, members)
            kernel.run(*requests)


def _unplug(kernel: rtnetlink.RouteSocket, members: Sequence[network.Endpoint]) -> None:
    for member in members:
        if member.host_link:
            kernel.delete_link(member.host_link)


def _filled(one: network.Network, member: network.Endpoint) -> network.Endpoint:
    """The endpoint with what follows from its network and address. Raises InvalidInput."""
    rtnetlink.check_name(member.interface)
    ipv4 = bridges.check_address(one, member.ipv4) if member.ipv4 else None
    ipv6 = bridges.check_address(one, member.ipv6) if member.ipv6 else None
    if (ipv4 is not None and ipv4.version != 4) or (ipv6 is not None and ipv6.version != 6):
        raise errors.InvalidInput(f"endpoint in {one.name}: addresses {member.ipv4} and {member.ipv6} are mixed up")
    own = ipv4 or ipv6
    if own is None:
        raise errors.InvalidInput(f"endpoint in {one.name}: has no address")
    return dataclasses.replace(
        member,
        mac=check_mac(member.mac) if member.mac else bridges.mac_address(own.ip),
        host_link=bridges.host_link(member.id),
        ipv4_prefix=ipv4.network.prefixlen if ipv4 else 0,
        ipv6_prefix=ipv6.network.prefixlen if ipv6 else 0,
    )


def check_mac(text: str) -> str:
    """A MAC address of one station, in small letters and with colons. Raises InvalidInput."""
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise errors.InvalidInput(
            f'"{errors.shown(text)}" is no MAC address for a container: expected six bytes such as 02:42:ac:1e:00:02, '
            f"the first one even"
        )
    return mac
