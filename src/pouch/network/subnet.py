"""Which subnets networks get: none that the host already reaches some other way."""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import hashlib
import ipaddress
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pouch.kernel import rtnetlink
from pouch.spec import errors

KEY = "bridge_subnet"
POOLS_KEY = "default-address-pools"
SHORTEST_PREFIX, LONGEST_PREFIX = 8, 29
_SHORTEST_PREFIX_6, _LONGEST_PREFIX_6 = 16, 126
_ALL_LINKS = "/sys/class/net"

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class AddressPool:
    """Where subnets are taken from: all of prefix length `size` within base."""

    base: IPNetwork
    size: int


CANDIDATES: tuple[ipaddress.IPv4Network, ...] = (
    *(ipaddress.IPv4Network(f"172.{second}.0.0/16") for second in range(30, 19, -1)),
    *(ipaddress.IPv4Network(f"10.{second}.0.0/16") for second in range(213, 218)),
    *(ipaddress.IPv4Network(f"192.168.{third}.0/20") for third in range(224, 159, -16)),
)
"""Tried in this order: the end of 172.16.0.0/12 that Docker fills last, then two rarer corners of private space."""

DEFAULT_POOLS: tuple[AddressPool, ...] = (
    *(AddressPool(network, network.prefixlen) for network in CANDIDATES),
    AddressPool(ipaddress.IPv4Network("10.232.0.0/13"), 24),
)
"""CANDIDATES, and smaller ones for hosts with many networks: 2,048 more."""


@dataclass(frozen=True, slots=True)
class Occupied:
    """A network that is taken, and by what (`route through eth0`)."""

    network: IPNetwork
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


def parse_pool(base: str, size: int) -> AddressPool:
    """One entry of default-address-pools. Raises InvalidInput naming the key."""
    try:
        network = ipaddress.ip_network(base)
    except ValueError as error:
        raise errors.InvalidInput(
            f'{POOLS_KEY}: base "{base}": {error}', hint='expected a network, for example base = "10.10.0.0/16"'
        ) from error
    shortest, longest = (
        (SHORTEST_PREFIX, LONGEST_PREFIX) if network.version == 4 else (_SHORTEST_PREFIX_6, _LONGEST_PREFIX_6)
    )
    if not max(network.prefixlen, shortest) <= size <= longest:
        raise errors.InvalidInput(
            f"{POOLS_KEY}: size {size} of base {network}: expected the prefix length of a network within it, "
            f"from {max(network.prefixlen, shortest)} to {longest}"
        )
    if network.is_loopback or network.is_multicast or network.is_link_local:
        raise errors.InvalidInput(f"{POOLS_KEY}: base {network}: expected networks for ordinary hosts")
    return AddressPool(network, size)


@contextlib.contextmanager
def choosing() -> Iterator[None]:
    """Hold off others who look for a free subnet on this host: between their look and their claim ours would be missed."""
    descriptor = os.open(_ALL_LINKS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def occupied(bridge: str, nameservers: Sequence[str] = ()) -> list[Occupied]:
    """What this host reaches without `bridge` ("": by any link): routes, addresses, and its name servers; both families."""
    with rtnetlink.RouteSocket() as kernel:
        names = {link.index: link.name for link in kernel.links()}
        routes, addresses = kernel.routes(), kernel.addresses()
    found = [
        Occupied(route.destination, f"a route through {names.get(route.link, '?')}")
        for route in routes
        if route.destination.prefixlen and not route.destination.is_link_local and names.get(route.link) != bridge
    ]
    found += [
        Occupied(address.interface.network, f"the address {address.interface.ip} of {names.get(address.link, '?')}")
        for address in addresses
        if not address.interface.is_link_local and names.get(address.link) != bridge
    ]
    return found + [Occupied(network, f"the name server {network.network_address}") for network in _hosts(nameservers)]


def overlapping(network: IPNetwork, taken: Sequence[Occupied]) -> Iterator[Occupied]:
    """Those that share addresses with it."""
    return (other for other in taken if other.network.version == network.version and _overlap(network, other.network))


def choose(
    taken: Sequence[Occupied],
    *,
    configured: str = "",
    current: str = "",
    pools: Sequence[AddressPool] = (),
) -> ipaddress.IPv4Network:
    """The configured network; else the current one, if still free (containers know it); else the first free one of the pools.

    `current`: what the bridge has, or had before the reboot; no IPv4 pools: the default ones. Raises Conflict naming
    what a configured network overlaps, Unavailable where nothing is free.
    """
    if configured:
        network = parse(configured)
        for other in overlapping(network, taken):
            raise errors.Conflict(
                f"{KEY} {network} overlaps {other.network}: {other.by}",
                hint=f"set {KEY} to a network that this host does not use, or leave it out to let pouchd choose",
            )
        return network
    if current:
        network = ipaddress.IPv4Network(current)
        if not any(overlapping(network, taken)):
            return network
    usable = [pool for pool in pools if pool.base.version == 4] or DEFAULT_POOLS
    found = _first_free(usable, taken)
    if found is not None:
        return ipaddress.IPv4Network(found)
    overlaps = "; ".join(f"{one.network} ({one.by})" for one in taken if one.network.version == 4)
    raise errors.Unavailable(
        f"no private network is left for the bridge: this host uses {overlaps}",
        hint=f"set {KEY} or {POOLS_KEY} to free networks",
    )


def choose6(
    taken: Sequence[Occupied],
    *,
    seed: str,
    current: str = "",
    pools: Sequence[AddressPool] = (),
) -> ipaddress.IPv6Network:
    """The current network, if still free; else the first free one of the IPv6 pools, or without one of our own /48.

    seed: what only this daemon has (its id): the /48 follows from it, as RFC 4193 wants it (fd00::/8 and 40 random bits).
    Raises Unavailable where nothing is free.
    """
    if current:
        network = ipaddress.IPv6Network(current)
        if not any(overlapping(network, taken)):
            return network
    usable = [pool for pool in pools if pool.base.version == 6] or [AddressPool(site(seed), 64)]
    found = _first_free(usable, taken)
    if found is None:
        asked = ", ".join(str(pool.base) for pool in usable)
        raise errors.Unavailable(f"no IPv6 network is left: all of {asked} are used", hint=f"add a base to {POOLS_KEY}")
    return ipaddress.IPv6Network(found)


def site(seed: str) -> ipaddress.IPv6Network:
    """The unique local /48 of a daemon (RFC 4193 section 3.2.2)."""
    chosen = b"\xfd" + hashlib.sha256(b"pouch site " + seed.encode()).digest()[:5]
    return ipaddress.IPv6Network((chosen + bytes(10), 48))


def _first_free(pools: Sequence[AddressPool], taken: Sequence[Occupied]) -> IPNetwork | None:
    """The first network of the pools that nothing overlaps; a pool of millions costs no more than what is taken in it."""
    for pool in pools:
        blocks = _merged(other.network for other in taken if other.network.version == pool.base.version)
        starts = [first for first, _ in blocks]
        step = 1 << (pool.base.max_prefixlen - pool.size)
        at, end = int(pool.base.network_address), int(pool.base.broadcast_address)
        while at <= end:
            before = bisect.bisect_right(starts, at + step - 1) - 1
            if before < 0 or blocks[before][1] < at:
                return ipaddress.ip_network((_address(at, pool.base), pool.size))
            at = (blocks[before][1] // step + 1) * step
    return None


def _merged(networks: Iterator[IPNetwork]) -> list[tuple[int, int]]:
    """First and last addresses of the blocks that these cover, in order, none overlapping another."""
    found: list[tuple[int, int]] = []
    for first, last in sorted((int(each.network_address), int(each.broadcast_address)) for each in networks):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _address(number: int, like: IPNetwork) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(number) if like.version == 4 else ipaddress.IPv6Address(number)


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.network_address <= other.broadcast_address and other.network_address <= one.broadcast_address  # type: ignore[operator]


def _hosts(texts: Sequence[str]) -> Iterator[IPNetwork]:
    """The addresses among these, as networks of one."""
    for text in texts:
        try:
            yield ipaddress.ip_network(text)
        except ValueError:  # nonsense in resolv.conf: nothing that could overlap
            continue
