"""A container's places in networks, made and unmade: the devices of networks, and the interfaces in the container's namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import threading
from collections.abc import Collection, Sequence

from pouch.kernel import netlink, rtnetlink
from pouch.network import addressing, bridges, firewall, foreign, inside, macvlan
from pouch.spec import errors, network

Member = tuple[network.Network, network.Endpoint]
Device = bridges.Bridge | macvlan.Macvlan

_WITHOUT_DEVICE = (network.Driver.HOST, network.Driver.NULL)


def device_name(network_id: str, config: network.NetworkConfig) -> str:
    """What a network's device is called (`Network.link`), "" for drivers without one. Raises InvalidInput."""
    match config.driver:
        case network.Driver.BRIDGE:
            return bridges.device_name(network_id, config)
        case network.Driver.MACVLAN:
            return macvlan.device_name(network_id, config)
    return ""


class Links:
    """All networks of one daemon. Blocking, safe for use by several threads; acts in the network namespace of the calling one."""

    def __init__(self, firewall: firewall.Firewall, *, mtu: int = 0) -> None:
        """mtu: of bridges whose networks do not say; 0: that of the link with the default route."""
        self._firewall = firewall
        self._wanted_mtu = mtu
        self._lock = threading.Lock()
        self._networks: dict[str, network.Network] = {}
        self._devices: dict[str, Device] = {}  # of networks that are ensured

    # networks

    def ensure(self, one: network.Network) -> None:
        """Device, addresses, forwarding and rules are there afterwards, also where somebody removed them.

        Raises InvalidInput for options that cannot be, Conflict where the device is another's, NotFound or Unsupported for a parent.
        """
        with self._lock, rtnetlink.RouteSocket() as kernel:
            self._ensure(kernel, one)

    def claim(self, one: network.Network) -> None:
        """Have the device with its addresses, and no more: from now on nobody who looks for a free subnet takes this one.

        Raises Conflict where another network has the device.
        """
        with self._lock, rtnetlink.RouteSocket() as kernel:
            device = self._device(kernel, one)
            if isinstance(device, bridges.Bridge):
                device.addressed(kernel)
            self._networks[one.id] = one

    def remove(self, one: network.Network) -> None:
        """What was made for the network is gone afterwards; containers in it lose it. Forwarding stays on."""
        with self._lock, rtnetlink.RouteSocket() as kernel:
            device = self._devices.pop(one.id, None) or self._device(kernel, one)
            self._networks.pop(one.id, None)
            if isinstance(device, bridges.Bridge):
                foreign.close_way(one.link)
                self._firewall.remove_network(one.id)
            if device is not None:
                device.remove(kernel)

    def open_way(self) -> None:
        """Let all bridges through other firewalls' chains, after somebody has changed these (`firewall.News.OTHERS`)."""
        with self._lock:
            for device in self._devices.values():
                if isinstance(device, bridges.Bridge):
                    foreign.open_way(device.net.link)

    # endpoints

    def connect(self, members: Sequence[Member], netns: int, container_id: str) -> tuple[network.Endpoint, ...]:
        """Give a network namespace these interfaces, default routes by the first with a gateway, and a loopback link that is up.

        All or nothing. netns: a descriptor. The endpoints have their mac and host_link in the answer. Also for one more of a
        running container: a default route that is there stays. Raises InvalidInput for an address that is not for a container,
        Conflict for the namespace we are in, KernelError EEXIST for an interface that is there.
        """
        inside.refuse_own(netns)
        with rtnetlink.RouteSocket() as kernel, contextlib.ExitStack() as undo:
            devices, indices = self._ready(kernel, [one for one, _ in members])
            made: list[network.Endpoint] = []
            requests: list[netlink.Request] = []
            for one, member in members:
                device = devices.get(one.id)
                filled = member if device is None else addressing.filled(one, member)
                if isinstance(device, bridges.Bridge):
                    filled = dataclasses.replace(filled, host_link=bridges.host_link(member.id))
                    requests += device.plug(filled, indices[one.id], netns)
                made.append(filled)
            undo.callback(_unplug, kernel, made)
            self._plug(kernel, made, requests)
            for (one, _), filled in zip(members, made, strict=True):
                device = devices.get(one.id)
                if isinstance(device, macvlan.Macvlan):
                    device.plug(kernel, filled, indices[one.id], netns)
                    undo.callback(macvlan.unplug, netns, filled)
            inside.configure(netns, [each for (one, _), each in zip(members, made, strict=True) if one.id in devices])
            undo.pop_all()
        return tuple(made)

    def disconnect(self, member: network.Endpoint, netns: int | None, container_id: str) -> None:
        """An endpoint's interface is gone afterwards; a missing one is fine. netns: None where the namespace is gone."""
        if member.host_link:
            rtnetlink.discard(member.host_link)
        elif netns is not None and member.driver == network.Driver.MACVLAN:
            macvlan.unplug(netns, member)

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
        leftover = [name for name in ports if bridges.is_host_link(name) and name not in keep]
        for name in leftover:
            rtnetlink.discard(name)
        return leftover

    # within, with the lock held

    def _ready(
        self, kernel: rtnetlink.RouteSocket, networks: Sequence[network.Network]
    ) -> tuple[dict[str, Device], dict[str, int]]:
        """The devices of those that have one, each with all it needs in place, and the links' indices; by network id."""
        found: dict[str, Device] = {}
        indices: dict[str, int] = {}
        with self._lock:
            for one in networks:
                device = self._devices.get(one.id)
                if device is None or (device.net is not one and device.net != one):
                    device = self._ensure(kernel, one)
                if device is not None:
                    found[one.id], indices[one.id] = device, device.ready(kernel).index
            self._firewall.ensure()
        return found, indices

    def _ensure(self, kernel: rtnetlink.RouteSocket, one: network.Network) -> Device | None:
        device = self._device(kernel, one)
        self._networks[one.id] = one
        if device is None:
            return None
        device.ready(kernel)
        self._devices[one.id] = device
        if isinstance(device, bridges.Bridge):
            self._firewall.add_network(one)
            self._firewall.ensure()
            foreign.open_way(one.link)
            foreign.open_legacy_way(one.link)
        return device

    def _device(self, kernel: rtnetlink.RouteSocket, one: network.Network) -> Device | None:
        """What the network stands on. Raises Conflict where another network has its bridge, Unsupported, InvalidInput."""
        match one.driver:
            case network.Driver.BRIDGE:
                for other in self._networks.values():
                    if other.link == one.link and other.id != one.id and other.driver == network.Driver.BRIDGE:
                        raise errors.Conflict(f"network {one.name}: bridge {one.link} belongs to network {other.name}")
                return bridges.Bridge.of(one, mtu=self._wanted_mtu or bridges.uplink_mtu(kernel))
            case network.Driver.MACVLAN:
                return macvlan.Macvlan.of(one)
        if one.driver not in _WITHOUT_DEVICE:
            raise errors.Unsupported(f"network {one.name}: driver {one.driver} is not supported")
        return None

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
