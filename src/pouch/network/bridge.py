"""The default network alone, as the engine used it before there were others. Goes with the engine's change to `links`."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Collection
from dataclasses import dataclass

from pouch.kernel import namespace
from pouch.network import bridges, firewall, inside, links, subnet
from pouch.spec import network

CONTAINER_LINK = "eth0"
host_link = bridges.host_link
mac_address = bridges.mac_address
current_subnet = bridges.current_subnet
choosing = subnet.choosing


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A connected container: what it has inside, and the name of our end."""

    ip_address: str
    prefix_length: int
    gateway: str
    mac_address: str
    host_link: str


class Bridge:
    """One bridge network. Safe for use by several threads; acts in the network namespace of the calling one."""

    def __init__(self, name: str, subnet: ipaddress.IPv4Network, *, mtu: int = 0, table: str = "") -> None:
        """mtu 0: that of the link with the default route. table: "" for the bridge's name. Raises InvalidInput for a bad name."""
        self._firewall = firewall.Firewall(table or name)
        self.name = bridges.device_name("", network.NetworkConfig(name=name, options={bridges.NAME: name}))
        self.subnet = subnet
        self.gateway = subnet.network_address + 1
        self._network = network.Network(
            id=hashlib.sha256(name.encode()).hexdigest(),
            created="",
            config=network.NetworkConfig(
                name=name, pools=(network.Pool(subnet=str(subnet), gateway=str(self.gateway)),)
            ),
            predefined=True,
            link=name,
        )
        self._links = links.Links(self._firewall, mtu=mtu)

    def ensure(self) -> None:
        """See `links.Links.ensure`."""
        self._links.ensure(self._network)

    def claim(self) -> None:
        """See `links.Links.claim`."""
        self._links.claim(self._network)

    def connect(self, container_id: str, pid: int, address: str) -> Endpoint:
        """See `links.Links.connect`. Raises NotFound for a process that is gone."""
        member = network.Endpoint(
            id=container_id,
            network_id=self._network.id,
            network_name=self.name,
            driver=network.Driver.BRIDGE,
            interface=CONTAINER_LINK,
            ipv4=address,
            ipv4_gateway=str(self.gateway),
        )
        netns = namespace.open_namespace(pid, namespace.Kind.NETWORK)
        try:
            (made,) = self._links.connect([(self._network, member)], netns, container_id)
        finally:
            os.close(netns)
        return Endpoint(made.ipv4, made.ipv4_prefix, made.ipv4_gateway, made.mac, made.host_link)

    def disconnect(self, container_id: str) -> None:
        """Remove a container's link; a missing one is fine. 20 ms in the kernel where its namespace still lives."""
        member = network.Endpoint(
            id=container_id,
            network_id=self._network.id,
            network_name=self.name,
            driver=network.Driver.BRIDGE,
            interface=CONTAINER_LINK,
            host_link=host_link(container_id),
        )
        self._links.disconnect(member, None, container_id)

    def reconcile(self, keep: Collection[str]) -> list[str]:
        """Remove the links of this bridge that belong to none of these containers; the names of those removed."""
        return self._links.reconcile({host_link(container_id) for container_id in keep})

    def remove(self) -> None:
        """Delete bridge and rules, ours and those among others'; containers on it lose their network. Forwarding stays on."""
        self._links.remove(self._network)
        self._firewall.remove()

    def close(self) -> None:
        """Close the sockets of its firewall; everything stays. Idempotent."""
        self._firewall.close()


def loopback_up(pid: int) -> None:
    """Set the loopback link up in a process's network namespace: all that a container without a network needs."""
    netns = namespace.open_namespace(pid, namespace.Kind.NETWORK)
    try:
        inside.loopback_up(netns)
    finally:
        os.close(netns)
