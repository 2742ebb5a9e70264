"""Which networks a container belongs to and what it needs in each: decisions without acts."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from pouch.engine import interface_parameters, network_shelf, predefined
from pouch.engine import record as records
from pouch.spec import container, errors, ids, network
from pouch.store import db

_INTERFACE = "eth"
_ALIAS = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_ALIAS_LONGEST = 253
_NOTHING = network.EndpointConfig()


Member = tuple[network.Network, network.Endpoint]


# -- membership -------------------------------------------------------------------------------------------------------


def memberships(
    config: container.ContainerConfig, networks: network_shelf.NetworkShelf
) -> dict[str, network.EndpointConfig]:
    """The networks of a new container by their names, that of its mode first. Raises NotFound, InvalidInput."""
    kind, argument = network.mode(config.host.network_mode)
    if kind in (network.Mode.CONTAINER, network.Mode.NAMESPACE):
        if any(name != config.host.network_mode for name in config.networks):
            raise errors.InvalidInput(
                f"conflicting options: networks cannot be chosen with the network mode {config.host.network_mode}"
            )
        return {}
    first = config.host.network_mode if kind is network.Mode.CNI else networks.get(argument or kind).name
    found = {first: _NOTHING}
    for ref, wanted in config.networks.items():
        name = (
            ref
            if network.mode(ref)[0] is network.Mode.CNI
            else networks.get("bridge" if ref == "default" else ref).name
        )
        found[name] = wanted
    if len(found) > 1 and {predefined.HOST, predefined.NONE} & set(found):
        raise errors.InvalidInput(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        )
    return found


def check(one: network.Network, wanted: network.EndpointConfig) -> None:
    """What a network cannot give. Raises InvalidInput in Docker's sentences."""
    for alias in wanted.aliases:
        if not _ALIAS.fullmatch(alias) or len(alias) > _ALIAS_LONGEST:
            raise errors.InvalidInput(
                f"invalid network alias {errors.shown(alias)!r}", hint="letters, digits, _ . and -"
            )
    if one.predefined:
        if wanted.ipv4 or wanted.ipv6:
            raise errors.InvalidInput("user specified IP address is supported on user defined networks only")
        if wanted.aliases:
            raise errors.InvalidInput("network-scoped alias is supported only for containers in user defined networks")
        if wanted.mac and network.Driver(one.driver) is not network.Driver.BRIDGE:
            raise errors.InvalidInput(f"conflicting options: mac-address and the network mode {one.name}")
    given = interface_parameters.of(wanted)
    if given and one.driver not in (network.Driver.BRIDGE, network.Driver.MACVLAN):
        raise errors.InvalidInput(
            f"network {one.name}: {interface_parameters.OPTION} is for bridge and macvlan networks",
            hint="its interfaces are not made here",
        )
    for text, version in ((wanted.ipv4, 4), (wanted.ipv6, 6)):
        if not text:
            continue
        address = ipaddress.ip_address(text)
        fitting = [ipaddress.ip_network(pool.subnet) for pool in one.config.pools]
        if address.version != version or not any(address in subnet for subnet in fitting if subnet.version == version):
            raise errors.InvalidInput(
                f"invalid config for network {one.name}: invalid endpoint settings: "
                f"no configured subnet or pool contain IP address {text}"
            )


def named(one: network.Endpoint) -> bool:
    """Whether its network has a name service: the user-defined ones have."""
    return bool(one.names)


def in_order(names: Iterable[str], mode: str) -> list[str]:
    """That of the mode first, which gets the default route, then by name."""
    kind, argument = network.mode(mode)
    first = mode if kind is network.Mode.CNI else argument or kind
    return sorted(names, key=lambda name: (name != first, name))


# -- endpoints --------------------------------------------------------------------------------------------------------


def requests(one: network.Network, wanted: network.EndpointConfig) -> list[db.AddressRequest]:
    """The addresses that a place in it needs."""
    if one.driver not in (network.Driver.BRIDGE, network.Driver.MACVLAN):
        return []
    return [
        db.AddressRequest(
            one.id, pool.subnet, within=pool.ip_range, wanted=wanted.ipv6 if ":" in pool.subnet else wanted.ipv4
        )
        for pool in one.config.pools
    ]


def endpoint(
    record: records.Record,
    one: network.Network,
    wanted: network.EndpointConfig,
    addresses: Sequence[str],
    interface: str,
) -> network.Endpoint:
    """A new place. addresses: one for each of the network's pools."""
    given = dict(zip((pool.subnet for pool in one.config.pools), addresses, strict=False))
    gateways = {pool.subnet: "" if one.config.internal else pool.gateway for pool in one.config.pools}
    four, six = next((s for s in given if ":" not in s), ""), next((s for s in given if ":" in s), "")
    plugged = one.driver not in (network.Driver.HOST, network.Driver.NULL)
    return network.Endpoint(
        id=ids.new_id(),
        network_id=one.id,
        network_name=one.name,
        driver=one.driver,
        interface=interface if plugged else "",
        mac=wanted.mac,
        ipv4=given.get(four, ""),
        ipv4_prefix=int(four.partition("/")[2] or 0),
        ipv4_gateway=gateways.get(four, ""),
        ipv6=given.get(six, ""),
        ipv6_prefix=int(six.partition("/")[2] or 0),
        ipv6_gateway=gateways.get(six, ""),
        gateway_priority=wanted.gateway_priority,
        parameters=interface_parameters.of(wanted) if plugged else {},
        names=() if one.predefined or network.Driver(one.driver) is network.Driver.CNI else names(record, wanted),
    )


def names(record: records.Record, wanted: network.EndpointConfig) -> tuple[str, ...]:
    """What a network calls the container: its name, aliases, short id, and a hostname that the client chose."""
    chosen = (record.config.hostname,) if record.config.hostname else ()
    return tuple(dict.fromkeys((record.name, *wanted.aliases, record.id[:12], *chosen)))


def aliases(record: records.Record, wanted: network.EndpointConfig) -> tuple[str, ...]:
    """What inspect shows as aliases: the client's, and the short id."""
    return tuple(dict.fromkeys((*wanted.aliases, record.id[:12])))


def free_interface(taken: Collection[str]) -> str:
    """The first name inside that no other place has."""
    return next(name for name in _interfaces() if name not in taken)


def _interfaces() -> Iterator[str]:
    number = 0
    while True:
        yield f"{_INTERFACE}{number}"
        number += 1


def routed(places: Sequence[network.Endpoint]) -> list[network.Endpoint]:
    """With those that have a way out first, of these those of highest priority: the first of all has the default route."""
    return sorted(places, key=_preference)


def members_routed(members: Iterable[Member]) -> tuple[Member, ...]:
    """The same order for places with their networks: who makes the interfaces gives the default route to the first."""
    return tuple(sorted(members, key=lambda member: _preference(member[1])))


def _preference(one: network.Endpoint) -> tuple[bool, int]:
    return not (one.ipv4_gateway or one.ipv6_gateway), -one.gateway_priority


def published_at(endpoints: Iterable[network.Endpoint]) -> network.Endpoint | None:
    """The place where published ports are: the first in a bridge network that has a way out."""
    for one in endpoints:
        if network.Driver(one.driver) is network.Driver.BRIDGE and (one.ipv4_gateway or one.ipv6_gateway):
            return one
    return None


# -- ports ------------------------------------------------------------------------------------------------------------


def bindings(record: records.Record) -> tuple[network.PortBinding, ...]:
    """What is to be published: what the client names, and with `-P` each other exposed port at a free one."""
    host = record.config.host
    asked = list(host.ports)
    if host.publish_all:
        named = {(one.port, one.protocol) for one in asked}
        for text in record.exposed:
            port, _, protocol = text.partition("/")
            if (int(port), protocol or "tcp") not in named:
                asked.append(network.PortBinding(port=int(port), protocol=protocol or "tcp"))
    return tuple(asked)


def bound_to(bindings: Iterable[network.PortBinding], address: str) -> tuple[network.PortBinding, ...]:
    """With this host address, where there is one, in those that name none."""
    return tuple(dataclasses.replace(one, host_ip=one.host_ip or address) for one in bindings)


def exposed(config: container.ContainerConfig, image: object) -> tuple[str, ...]:
    """`80/tcp`, of image, client and published ports, in the order of their numbers. image: `ExposedPorts` of its configuration."""
    found = set(config.exposed_ports) | {f"{one.port}/{one.protocol}" for one in config.host.ports}
    for text in image if isinstance(image, dict) else ():
        port, _, protocol = str(text).partition("/")
        if (
            port.isascii()
            and port.isdecimal()
            and 0 < int(port[:6]) < 1 << 16
            and protocol in ("", "tcp", "udp", "sctp")
        ):
            found.add(f"{int(port)}/{protocol or 'tcp'}")
    return tuple(sorted(found, key=lambda text: (int(text.partition("/")[0]), text)))
