"""`Status` of a network (since 1.52): how many addresses of its subnets are taken, and how many are left."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pouch.spec import network

Document = dict[str, object]

_MOST = 2**64 - 1
"""Docker's numbers end here."""


def status(pools: Iterable[network.Pool], taken: Iterable[str]) -> Document:
    """taken: the containers' addresses. IPsInUse are those and what is reserved: gateway, auxiliary ones, in IPv4 the first and the last."""
    addresses = [ipaddress.ip_address(one) for one in taken]
    subnets: Document = {}
    for pool in pools:
        subnet = ipaddress.ip_network(pool.subnet)
        chosen_from = ipaddress.ip_network(pool.ip_range or pool.subnet)
        used = {one for one in addresses if one in subnet}
        used |= {ipaddress.ip_address(one) for one in (pool.gateway, *pool.aux_addresses.values()) if one}
        used.add(subnet.network_address)  # in IPv6 it is every router's (RFC 4291, section 2.6.1)
        if subnet.version == 4:
            used.add(subnet.broadcast_address)
        free = chosen_from.num_addresses - sum(one in chosen_from for one in used)
        subnets[pool.subnet] = {"IPsInUse": min(len(used), _MOST), "DynamicIPsAvailable": min(free, _MOST)}
    return {"IPAM": {"Subnets": subnets}}
