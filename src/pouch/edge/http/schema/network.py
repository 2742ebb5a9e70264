"""Networks and containers' places in them (API 1.43): NetworkingConfig, `/networks/...`."""
# Attributes have the wire's names: what is decoded is read off one to one against Docker's documentation.

from __future__ import annotations

from msgspec import Struct, field


class IPAMConfig(Struct):
    """EndpointSettings.IPAMConfig: the addresses a client wants."""

    IPv4Address: str = ""
    IPv6Address: str = ""
    LinkLocalIPs: list[str] = field(default_factory=list)


class EndpointSettings(Struct):
    """How a container shall be in one network. What a daemon reports in this document (IPAddress ...) is no wish and left aside."""

    IPAMConfig: IPAMConfig = field(default_factory=IPAMConfig)
    Links: list[str] = field(default_factory=list)
    Aliases: list[str] = field(default_factory=list)
    MacAddress: str = ""
    DriverOpts: dict[str, str] = field(default_factory=dict)
    GwPriority: int = 0


class NetworkingConfig(Struct):
    """NetworkingConfig of a create document: by a network's name or id."""

    EndpointsConfig: dict[str, EndpointSettings] = field(default_factory=dict)


class Rate(Struct):
    """HostConfig.NetworkRate, Pouch's own: bits per second, 0 for no limit."""

    Ingress: int = 0
    Egress: int = 0


class PolicyRule(Struct):
    """HostConfig.NetworkPolicy[], Pouch's own. Action: allow or deny; Network: CIDR."""

    Action: str = ""
    Network: str = ""


class IPAMPool(Struct):
    """IPAM.Config[] of `POST /networks/create`."""

    Subnet: str = ""
    IPRange: str = ""
    Gateway: str = ""
    AuxiliaryAddresses: dict[str, str] = field(default_factory=dict)


class IPAM(Struct):
    """IPAM: where a network's addresses come from."""

    Driver: str = ""
    Config: list[IPAMPool] = field(default_factory=list)
    Options: dict[str, str] = field(default_factory=dict)


class ConfigReference(Struct):
    """ConfigFrom: another network, by name."""

    Network: str = ""


class Create(Struct):
    """`POST /networks/create`. CheckDuplicate is left aside: a name is always taken once only."""

    Name: str = ""
    Driver: str = ""
    Scope: str = ""
    Internal: bool = False
    Attachable: bool = False
    Ingress: bool = False
    ConfigOnly: bool = False
    ConfigFrom: ConfigReference = field(default_factory=ConfigReference)
    EnableIPv4: bool = True
    EnableIPv6: bool = False
    IPAM: IPAM = field(default_factory=IPAM)
    Options: dict[str, str] = field(default_factory=dict)
    Labels: dict[str, str] = field(default_factory=dict)


class Connect(Struct):
    """`POST /networks/{id}/connect`."""

    Container: str = ""
    EndpointConfig: EndpointSettings = field(default_factory=EndpointSettings)


class Disconnect(Struct):
    """`POST /networks/{id}/disconnect`."""

    Container: str = ""
    Force: bool = False
