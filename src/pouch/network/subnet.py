"""Which IPv4 network the bridge gets: none that the host already reaches some other way."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pouch.kernel import rtnetlink
from pouch.spec import errors

KEY = "bridge_subnet"
SHORTEST_PREFIX, LONGEST_PREFIX = 8, 29

CANDIDATES: tuple[ipaddress.IPv4Network, ...] = (
    *(ipaddress.IPv4Network(f"172.{second}.0.0/16") for second in range(30, 19, -1)),
    *(ipaddress.IPv4Network(f"10.{second}.0.0/16") for second in range(213, 218)),
    *(ipaddress.IPv4Network(f"192.168.{third}.0/20") for third in range(224, 159, -16)),
)
"""Tried in this order: the end of 172.16.0.0/12 that Docker fills last, then two rarer corners of private space."""


@dataclass(frozen=True, slots=True)
class Occupied:
    """A network that is taken, and by what (`route through eth0`)."""

    network: ipaddress.IPv4Network
    by: str


def parse(text: str) -> ipaddress.IPv4Network:
    """The configured network. Raises InvalidInput naming the configuration key."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise errors.InvalidInput(
            f'{KEY} "{text}": {error}', hint="expected an IPv4 network, for example 172.30.0.0/16"
        ) from error
    if not SHORTEST_PREFIX <= network.prefixlen <= LONGEST_PREFIX:
        raise errors.InvalidInput(
            f"{KEY} {network}: expected a prefix length from {SHORTEST_PREFIX} to {LONGEST_PREFIX}"
        )
    if network.is_loopback or network.is_multicast or network.is_link_local or network.is_reserved:
        raise errors.InvalidInput(f"{KEY} {network}: expected a network for ordinary hosts, best a private one")
    return network


def occupied(bridge: str, nameservers: Sequence[str] = ()) -> list[Occupied]:
    """What this host reaches without `bridge`: routes, addresses of links, and its name servers."""
    with rtnetlink.RouteSocket() as kernel:
        names = {link.index: link.name for link in kernel.links()}
        routes, addresses = kernel.routes(), kernel.addresses()
    found = [
        Occupied(route.destination, f"a route through {names.get(route.link, '?')}")
        for route in routes
        if route.destination.prefixlen and names.get(route.link) != bridge
    ]
    found += [
        Occupied(address.interface.network, f"the address {address.interface.ip} of {names.get(address.link, '?')}")
        for address in addresses
        if names.get(address.link) != bridge
    ]
    return found + [Occupied(network, f"the name server {network.network_address}") for network in _hosts(nameservers)]


def choose(
    taken: Sequence[Occupied],
    *,
    configured: str = "",
    current: str = "",
    candidates: Sequence[ipaddress.IPv4Network] = CANDIDATES,
) -> ipaddress.IPv4Network:
    """The configured network; else the current one, if still free (containers know it); else the first free candidate.

    `current`: what the bridge has, or had before the reboot. Raises Conflict naming what a configured network overlaps,
    Unavailable where nothing is free.
    """
    if configured:
        network = parse(configured)
        for other in _overlapping(network, taken):
            raise errors.Conflict(
                f"{KEY} {network} overlaps {other.network}: {other.by}",
                hint=f"set {KEY} to a network that this host does not use, or leave it out to let pouchd choose",
            )
        return network
    for network in (*([ipaddress.IPv4Network(current)] if current else []), *candidates):
        if not any(_overlapping(network, taken)):
            return network
    overlaps = "; ".join(f"{one.network} ({one.by})" for one in taken)
    raise errors.Unavailable(
        f"no private network is left for the bridge: this host uses {overlaps}", hint=f"set {KEY} to a free network"
    )


def _overlapping(network: ipaddress.IPv4Network, taken: Sequence[Occupied]) -> Iterator[Occupied]:
    return (other for other in taken if network.overlaps(other.network))


def _hosts(texts: Sequence[str]) -> Iterator[ipaddress.IPv4Network]:
    """The IPv4 addresses among these, as networks of one."""
    for text in texts:
        try:
            yield ipaddress.IPv4Network(text)
        except ValueError:  # IPv6, or nonsense in resolv.conf: nothing that could overlap
            continue
