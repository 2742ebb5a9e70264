"""The default network: a bridge on this host, and a veth pair from it into each container's network namespace."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
import re
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pouch.kernel import namespace, rtnetlink
from pouch.network import firewall, foreign
from pouch.spec import errors, network

CONTAINER_LINK = "eth0"
DEFAULT_MTU = 1500
_PREFIX = "veth"
_ID_DIGITS = rtnetlink.NAME_MAX - len(_PREFIX)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_IPV4_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_ALL_LINKS = "/sys/class/net"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A connected container: what it has inside, and the name of our end."""

    ip_address: str
    prefix_length: int
    gateway: str
    mac_address: str
    host_link: str


class Bridge:
    """One bridge network. Safe for use by several threads; acts in the network namespace of the calling one.

    ::

        container's namespace │ host's namespace
        lo, eth0 ─────────────│── veth<11 digits of the id> ──┐
                              │                               ├── <name>: gateway, first address of the subnet
        lo, eth0 ─────────────│── veth... ────────────────────┘        └── table inet <table>: forward, masquerade
    """

    def __init__(self, name: str, subnet: ipaddress.IPv4Network, *, mtu: int = 0, table: str = "") -> None:
        """mtu 0: that of the link with the default route. table: "" for the bridge's name. Raises InvalidInput for a bad name."""
        for word in (name, table or name):
            _check_name(word)
        self.name = name
        self.subnet = subnet
        self.gateway = subnet.network_address + 1
        self._wanted_mtu = mtu
        self._mtu = mtu or DEFAULT_MTU
        self._firewall = firewall.Firewall(table or name)
        pool = network.Pool(subnet=str(subnet), gateway=str(self.gateway))
        config = network.NetworkConfig(name=name, pools=(pool,))
        self._network = network.Network(id=name, created="", config=config, link=name)
        self._lock = threading.Lock()
        self._ensured = False

    def ensure(self) -> None:
        """Bridge, gateway address, forwarding and rules are there afterwards, also where somebody removed them."""
        with self._lock, rtnetlink.RouteSocket() as kernel:
            self._ensure(kernel)

    def claim(self) -> None:
        """Have the bridge with its address, and no more: from now on nobody who looks for a free subnet takes this one."""
        with self._lock, rtnetlink.RouteSocket() as kernel:
            link = kernel.find_link(self.name) or self._make(kernel)
            if link.kind == "bridge":
                self._address(kernel, link)

    def connect(self, container_id: str, pid: int, address: str) -> Endpoint:
        """Give the network namespace of a process an eth0 with this address, a default route and a loopback link that is up.

        Before anything of the container's runs there. Raises InvalidInput for an address outside the subnet, NotFound
        for a process that is gone, Conflict for one that shares this namespace. After an error nothing is left here.
        """
        interface = self._interface(address)
        netns = namespace.open_namespace(pid, namespace.Kind.NETWORK)
        try:
            _refuse_own(netns, pid)
            with rtnetlink.RouteSocket() as kernel:
                with self._lock:
                    master = self._ready(kernel) if self._ensured else self._ensure(kernel)
                return self._plug(kernel, master, container_id, interface, netns)
        finally:
            os.close(netns)

    def disconnect(self, container_id: str) -> None:
        """Remove a container's link; a missing one is fine. 20 ms in the kernel where its namespace still lives."""
        with rtnetlink.RouteSocket() as kernel:
            kernel.delete_link(host_link(container_id))

    def reconcile(self, keep: Collection[str]) -> list[str]:
        """Remove the links of this bridge that belong to none of these containers; the names of those removed."""
        wanted = {host_link(container_id) for container_id in keep}
        with rtnetlink.RouteSocket() as kernel:
            bridge = kernel.find_link(self.name)
            if bridge is None:
                return []
            ours = [link.name for link in kernel.links() if link.master == bridge.index and link.kind == "veth"]
            leftover = [name for name in ours if name.startswith(_PREFIX) and name not in wanted]
            for name in leftover:
                kernel.delete_link(name)
        return leftover

    def remove(self) -> None:
        """Delete bridge and rules, ours and those among others'; containers on it lose their network. Forwarding stays on."""
        with self._lock, rtnetlink.RouteSocket() as kernel:
            self._ensured = False
            foreign.close_way(self.name)
            self._firewall.remove()
            kernel.delete_link(self.name)

    def close(self) -> None:
        """Close what waits for news of the rules; bridge and rules stay. Idempotent."""
        self._firewall.close()

    def _interface(self, address: str) -> ipaddress.IPv4Interface:
        """The address in its network. Raises InvalidInput."""
        try:
            interface = ipaddress.IPv4Interface(f"{address}/{self.subnet.prefixlen}")
        except ValueError as error:
            raise errors.InvalidInput(f'"{address}" is no IPv4 address') from error
        reserved = {self.subnet.network_address, self.gateway, self.subnet.broadcast_address}
        if interface.ip not in self.subnet or interface.ip in reserved:
            raise errors.InvalidInput(
                f"address {address} is not for a container of {self.name}: expected one of {self.subnet} "
                f"other than the first two and the last"
            )
        return interface

    def _ensure(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        """What is needed once; the rest may go missing at any time, and `_ready` looks for it each time."""
        self._mtu = self._wanted_mtu or _uplink_mtu(kernel)
        link = self._ready(kernel)
        foreign.open_legacy_way(self.name)
        self._ensured = True
        return link

    def _ready(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        """The bridge, with all it needs in place. About a millisecond where nothing is missing."""
        link = kernel.find_link(self.name) or self._make(kernel)
        if link.kind != "bridge":
            raise errors.Conflict(
                f"network interface {self.name} is no bridge but {link.kind or 'hardware'}",
                hint="choose another name for the bridge in pouchd's configuration",
            )
        self._address(kernel, link)
        if not link.up:
            kernel.set_up(link)
        _write_sysctl(_IPV4_FORWARD, "1")
        self._firewall.add_network(self._network)
        foreign.open_way(self.name)
        return link

    def _make(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        """A new bridge, without IPv6: the host would believe router advertisements that a container sends (CVE-2020-13401)."""
        kernel.create_bridge(self.name, mac=mac_address(self.gateway), mtu=self._mtu)
        _write_sysctl(f"/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6", "1", missing_ok=True)
        return kernel.get_link(self.name)

    def _address(self, kernel: rtnetlink.RouteSocket, link: rtnetlink.Link) -> None:
        """The gateway's address and no other: one of an earlier subnet would keep that subnet's route."""
        wanted = ipaddress.IPv4Interface(f"{self.gateway}/{self.subnet.prefixlen}")
        present = {each.interface for each in kernel.addresses(link.index) if each.interface.version == 4}
        for other in present - {wanted}:
            kernel.delete_address(link, other)
        if wanted not in present:
            kernel.add_address(link, wanted)

    def _plug(
        self,
        kernel: rtnetlink.RouteSocket,
        master: rtnetlink.Link,
        container_id: str,
        interface: ipaddress.IPv4Interface,
        netns: int,
    ) -> Endpoint:
        """The veth pair, and its far end configured; the near end is removed again where that fails."""
        name, mac = host_link(container_id), mac_address(interface.ip)
        with contextlib.ExitStack() as undo:
            undo.callback(kernel.delete_link, name)
            for attempt in (1, 2):
                try:
                    kernel.create_veth(
                        name, master=master.index, mtu=self._mtu, peer=CONTAINER_LINK, peer_mac=mac, peer_netns=netns
                    )
                    break
                except errors.KernelError as error:
                    if error.errno != errno.EEXIST or attempt == 2:
                        raise
                    kernel.delete_link(
                        name
                    )  # of the container's last run, whose namespace the kernel is still taking apart
            with namespace.run_in_namespace(netns, rtnetlink.RouteSocket) as inside:
                inside.configure(CONTAINER_LINK, interface, self.gateway)
            undo.pop_all()
        return Endpoint(str(interface.ip), self.subnet.prefixlen, str(self.gateway), mac, name)


@contextlib.contextmanager
def choosing() -> Iterator[None]:
    """Hold off others who look for a free subnet on this host: between their look and their claim ours would be missed."""
    descriptor = os.open(_ALL_LINKS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def loopback_up(pid: int) -> None:
    """Set the loopback link up in a process's network namespace: all that a container without a network needs."""
    netns = namespace.open_namespace(pid, namespace.Kind.NETWORK)
    try:
        _refuse_own(netns, pid)
        with namespace.run_in_namespace(netns, rtnetlink.RouteSocket) as inside:
            inside.loopback_up()
    finally:
        os.close(netns)


def current_subnet(name: str) -> str:
    """The network that the bridge of that name has now (`172.30.0.0/16`); "" without one."""
    with rtnetlink.RouteSocket() as kernel:
        link = kernel.find_link(name)
        found = [a.interface for a in kernel.addresses() if link is not None and a.link == link.index]
        networks = [each.network for each in found if each.version == 4]
    return str(networks[0]) if networks else ""


def host_link(container_id: str) -> str:
    """The name of our end of a container's pair: as much of its id as fits."""
    return f"{_PREFIX}{container_id[:_ID_DIGITS]}"


def mac_address(address: ipaddress.IPv4Address) -> str:
    """A locally administered MAC that follows from the address, as Docker's does: no neighbour's cache goes stale at a restart."""
    return f"02:42:{address.packed.hex(':')}"


def _check_name(name: str) -> None:
    """A name that is one for an interface and one word in nft's language, in which scripts are written with it."""
    rtnetlink.check_name(name)
    if not _NAME.fullmatch(name):
        raise errors.InvalidInput(
            f'"{name}" is no name for a bridge: expected a letter, then letters, digits, "_", "." and "-"'
        )


def _uplink_mtu(kernel: rtnetlink.RouteSocket) -> int:
    """The smallest MTU among the links with a default route: larger packets would only be cut there."""
    uplinks = {route.link for route in kernel.routes() if route.destination.prefixlen == 0}
    return min((link.mtu for link in kernel.links() if link.index in uplinks), default=DEFAULT_MTU)


def _refuse_own(netns: int, pid: int) -> None:
    """Never configure the namespace we are in: its eth0 is the host's."""
    theirs, ours = os.fstat(netns), os.stat("/proc/thread-self/ns/net")
    if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
        raise errors.Conflict(f"process {pid} is in the host's network namespace: it cannot be connected to a bridge")


def _write_sysctl(path: str, value: str, *, missing_ok: bool = False) -> None:
    """Set a kernel parameter unless it is so already: writing forwarding resets others (ip-sysctl)."""
    try:
        with open(path, "r+", encoding="ascii") as file:
            if file.read().strip() != value:
                file.seek(0)
                file.write(value)
    except FileNotFoundError:
        if not missing_ok:
            raise errors.KernelError("open", path, errno.ENOENT) from None
    except OSError as error:
        hint = "is /proc/sys mounted read-only? then set it on the host before pouchd starts"
        raise errors.KernelError("write", path, error.errno or 0, hint=hint) from error
