"""A container's places in networks, made and unmade: the devices of networks, and the interfaces in the container's namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

from pouch.kernel import netlink, rtnetlink
from pouch.network import addressing, bridges, cni, firewall, foreign, inside, macvlan
from pouch.spec import errors, network

_log = logging.getLogger("pouch.network")

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

    def __init__(
        self, firewall: firewall.Firewall, *, mtu: int = 0, plugins: cni.Plugins = cni.DEFAULT_PLUGINS
    ) -> None:
        """mtu: of bridges whose networks do not say; 0: that of the link with the default route. plugins: of CNI networks."""
        self._firewall = firewall
        self._wanted_mtu = mtu
        self._plugins = plugins
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

    def connect(
        self,
        members: Sequence[Member],
        netns: int,
        container_id: str,
        ports: Sequence[network.PublishedPort] = (),
    ) -> tuple[network.Endpoint, ...]:
        """Give a network namespace these interfaces, default routes by the first with a gateway, and a loopback link that is up.

        All or nothing. netns: a descriptor. The endpoints have their mac and host_link in the answer, those of CNI networks
        their addresses too. Also for one more of a running container: a default route that is there stays. ports: for the
        first CNI network whose plugins publish them. Raises InvalidInput for an address that is not for a container, Conflict for the
        namespace we are in and for an interface that is there, Unavailable for what a CNI plugin says.
        """
        inside.refuse_own(netns)
        with rtnetlink.RouteSocket() as kernel, contextlib.ExitStack() as undo:
            devices, indices = self._ready(kernel, [one for one, _ in members])
            placed = {
                member.id: _filled(devices[one.id], member) if one.id in devices else member for one, member in members
            }
            own = [(devices[one.id], placed[member.id]) for one, member in members if one.id in devices]
            undo.callback(_unplug, kernel, placed.values())
            self._plug(kernel, own, indices, netns, undo)
            inside.configure(netns, [member for _, member in own])
            others = [(one, member) for one, member in members if network.Driver(one.driver) is network.Driver.CNI]
            publisher = next((one.id for one, _ in others if ports and self._plugins.publishes(one)), "")
            if ports and others and not publisher:
                _log.warning("container %s: no plugin of its CNI networks publishes ports", container_id[:12])
            for one, member in others:
                given = ports if one.id == publisher else ()
                placed[member.id] = self._plugins.add(one, member, netns, container_id, given)
                undo.callback(self._plugins.take_back, placed[member.id], netns, container_id)
            made = tuple(placed[member.id] for _, member in members)
            if own and others:
                inside.prefer_first(netns, made)
            undo.pop_all()
        return made

    def disconnect(self, member: network.Endpoint, netns: int | None, container_id: str) -> None:
        """An endpoint's interface is gone afterwards; a missing one is fine. netns: None where the namespace is gone."""
        if network.Driver(member.driver) is network.Driver.CNI:
            self._plugins.delete(member, netns, container_id)
        elif member.host_link:
            rtnetlink.discard(member.host_link)
        elif netns is not None and network.Driver(member.driver) is network.Driver.MACVLAN:
            macvlan.unplug(netns, member)

    def set_default(self, netns: int, member: network.Endpoint) -> None:
        """Default routes by this endpoint, after the one that had them has gone, unless the container has made others itself.

        Raises NotFound where the endpoint's interface has gone, too.
        """
        inside.set_default(netns, member)

    def prefer_first(self, netns: int, members: Sequence[network.Endpoint]) -> None:
        """Leave of the default routes by these only those by the first that has a gateway. Raises NotFound where an interface has gone."""
        inside.prefer_first(netns, members)

    def loopback_up(self, netns: int) -> None:
        """Set the loopback link up: all that a container without a network needs. Raises Conflict for the namespace we are in."""
        inside.loopback_up(netns)

    def reattach(self, members: Sequence[Member]) -> set[str]:
        """Make our ends ports of their bridges again, and up, where somebody took them away; the names of these.

        Whoever deletes a bridge does that, and host services that think every link theirs. What is gone stays gone; what
        the kernel refuses is logged.
        """
        done = set()
        with self._lock, rtnetlink.RouteSocket() as kernel:
            found = {link.name: link for link in kernel.links()}
            for one, member in members:
                device, bridge, link = self._devices.get(one.id), found.get(one.link), found.get(member.host_link)
                if not isinstance(device, bridges.Bridge) or bridge is None or link is None:
                    continue
                if link.master == bridge.index and link.up:
                    continue
                try:
                    kernel.run(*device.attach(link.name, bridge.index))
                except errors.KernelError as error:
                    _log.warning("network %s: %s", one.name, error)
                else:
                    done.add(link.name)
        return done

    def reconcile(self, keep: Collection[str]) -> list[str]:
        """Remove the ports of our bridges that are none of these host links; the names of those removed."""
        with self._lock:
            names = {one.link for one in self._networks.values() if network.Driver(one.driver) is network.Driver.BRIDGE}
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
        if device is None:
            return None
        self._networks[one.id] = one
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
                    if (
                        other.link == one.link
                        and other.id != one.id
                        and network.Driver(other.driver) is network.Driver.BRIDGE
                    ):
                        raise errors.Conflict(f"network {one.name}: bridge {one.link} belongs to network {other.name}")
                return bridges.Bridge.of(one, mtu=self._wanted_mtu or bridges.uplink_mtu(kernel))
            case network.Driver.MACVLAN:
                return macvlan.Macvlan.of(one)
            case network.Driver.CNI:
                self._plugins.check(one)
                return None
        if one.driver not in _WITHOUT_DEVICE:
            raise errors.Unsupported(f"network {one.name}: driver {one.driver} is not supported")
        return None

    def _plug(
        self,
        kernel: rtnetlink.RouteSocket,
        members: Sequence[tuple[Device, network.Endpoint]],
        indices: Mapping[str, int],
        netns: int,
        undo: contextlib.ExitStack,
    ) -> None:
        """Make the interfaces: all pairs at once, also where one of that name is left from an attempt that did not end."""
        requests: list[netlink.Request] = []
        for device, member in members:
            if isinstance(device, bridges.Bridge):
                requests += device.plug(member, indices[device.net.id], netns)
        try:
            kernel.run(*requests)
        except errors.KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            _unplug(kernel, [member for _, member in members])
            try:
                kernel.run(*requests)
            except errors.KernelError as again:
                if again.errno == errno.EEXIST:
                    names = ", ".join(member.interface for _, member in members)
                    raise errors.Conflict(
                        f"the container has an interface of its own with this name: {names}"
                    ) from again
                raise
        for device, member in members:
            if isinstance(device, macvlan.Macvlan):
                device.plug(kernel, member, indices[device.net.id], netns)
                undo.callback(macvlan.unplug, netns, member)


def _filled(device: Device, member: network.Endpoint) -> network.Endpoint:
    """The endpoint with what follows from its network. Raises InvalidInput."""
    host_link = bridges.host_link(member.id) if isinstance(device, bridges.Bridge) else ""
    return dataclasses.replace(addressing.filled(device.net, member), host_link=host_link)


def _unplug(kernel: rtnetlink.RouteSocket, members: Iterable[network.Endpoint]) -> None:
    for member in members:
        if member.host_link:
            kernel.delete_link(member.host_link)
