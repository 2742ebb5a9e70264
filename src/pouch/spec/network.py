"""Networks, endpoints and ports: what a client asks (config) and what became of it, as frozen values.

Addresses are texts in their canonical form (`ipaddress`), subnets CIDR texts without host bits.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Driver(enum.StrEnum):
    """What a network is made of; Docker's names, and `cni` for one that CNI plugins make."""

    BRIDGE = "bridge"
    MACVLAN = "macvlan"
    HOST = "host"
    NULL = "null"
    CNI = "cni"


class Mode(enum.StrEnum):
    """What a container's first network is, by the form of HostConfig.NetworkMode."""

    NETWORK = "network"
    """The name or id of a network; `bridge` (default) is one."""
    NONE = "none"
    HOST = "host"
    CONTAINER = "container"
    """`container:REF`: that container's namespace."""
    NAMESPACE = "ns"
    """`ns:PATH`: a namespace that somebody else made."""
    CNI = "cni"
    """`cni:NAME`: a network of /etc/cni/net.d."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One subnet of a network. ip_range: the part of it that addresses are taken from, "" for all."""

    subnet: str
    gateway: str = ""
    """"": the first address."""
    ip_range: str = ""
    aux_addresses: dict[str, str] = field(default_factory=dict)
    """Addresses that others have, by name: never given to a container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """What a client asks of a network."""

    name: str
    driver: str = Driver.BRIDGE
    pools: tuple[Pool, ...] = ()
    """Of both families; where one that is wanted is missing, the engine chooses."""
    ipv4: bool = True
    ipv6: bool = False
    internal: bool = False
    """No way out of this network, nor into it."""
    attachable: bool = False
    options: dict[str, str] = field(default_factory=dict)
    """Of the driver: `com.docker.network.bridge.name`, `.enable_icc`, `.enable_ip_masquerade`, `.host_binding_ipv4`,
    `com.docker.network.driver.mtu`; macvlan: `parent`, `macvlan_mode`."""
    labels: dict[str, str] = field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network. config: with everything filled in that the engine chose (pools with their gateways)."""

    id: str
    """64 hexadecimal digits."""
    created: str
    """RFC 3339, UTC."""
    config: NetworkConfig
    predefined: bool = False
    """`bridge`, `host` or `none`: there always, cannot be removed."""
    link: str = ""
    """The device on this host: a bridge, or a macvlan's parent; "" where there is none."""

    @property
    def name(self) -> str:
        """The client's name for it."""
        return self.config.name

    @property
    def driver(self) -> str:
        """See `Driver`."""
        return self.config.driver


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """How a container shall be in one network. Empty members are the engine's choice."""

    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    driver_options: dict[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    """Docker's legacy links: kept to be shown."""
    gateway_priority: int = 0
    """The default route is by the network with the highest; among equal ones, by the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A running container's place in one network."""

    id: str
    """64 hexadecimal digits, new at each start."""
    network_id: str
    network_name: str
    driver: str
    interface: str
    """Its name inside: eth0, eth1 ..."""
    host_link: str = ""
    """Our end of it on this host; "" where there is none."""
    mac: str = ""
    ipv4: str = ""
    ipv4_prefix: int = 0
    ipv4_gateway: str = ""
    """"": no way out by it (an internal network)."""
    ipv6: str = ""
    ipv6_prefix: int = 0
    ipv6_gateway: str = ""
    names: tuple[str, ...] = ()
    """What the network's name service calls it: name, aliases, short id."""
    gateway_priority: int = 0
    """See `EndpointConfig`."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Kernel parameters of its interface: `ipv4/conf/IFNAME/log_martians`, below /proc/sys/net."""
    driver_state: str = ""
    """What its driver needs to take it away again (of CNI plugins: configuration and result, JSON)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """One port to be published. protocol: tcp, udp, sctp."""

    port: int
    """Inside the container."""
    protocol: str = "tcp"
    host_ip: str = ""
    """"": all addresses of this host, of both families."""
    host_port: str = ""
    """`8080`; `8000-8010`: a free one of these; "": any free one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """One published port as it is; of a binding to all addresses one for 0.0.0.0 and one for `::`."""

    port: int
    protocol: str
    host_ip: str
    host_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Bits per second that a container may receive (ingress) and send (egress), over all its networks each; 0: no limit."""

    ingress: int = 0
    egress: int = 0


UNLIMITED = Rate()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """Whom a container may talk with, in either direction. network: CIDR of either family.

    The first that matches decides; what none matches is denied where there is any `allow` rule, else allowed.
    """

    action: str
    """allow or deny."""
    network: str


def mode(text: str) -> tuple[Mode, str]:
    """What a NetworkMode asks, and its argument: a network's name, a container's ref, a path."""
    if text in ("none", "host"):
        return Mode(text), ""
    kind, colon, rest = text.partition(":")
    if colon and kind in ("container", "ns", "cni"):
        return Mode(kind), rest
    return Mode.NETWORK, "bridge" if text in ("", "default") else text
