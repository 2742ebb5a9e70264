"""What an endpoint's addresses must be to be one in its network, checked once more before they reach the kernel."""

from __future__ import annotations

import dataclasses
import ipaddress
import re

from pouch.kernel import linkrequest
from pouch.network import bridges, ruleset
from pouch.spec import errors, network

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def filled(one: network.Network, member: network.Endpoint) -> network.Endpoint:
    """The endpoint with MAC and prefix lengths, which follow from its network and addresses. Raises InvalidInput."""
    linkrequest.check_name(member.interface)
    ipv4 = check_address(one, member.ipv4, 4) if member.ipv4 else None
    ipv6 = check_address(one, member.ipv6, 6) if member.ipv6 else None
    own = ipv4 or ipv6
    if own is None:
        raise errors.InvalidInput(f"endpoint in {one.name}: has no address")
    return dataclasses.replace(
        member,
        mac=check_mac(member.mac) if member.mac else bridges.mac_address(own.ip),
        ipv4_prefix=ipv4.network.prefixlen if ipv4 else 0,
        ipv6_prefix=ipv6.network.prefixlen if ipv6 else 0,
    )


def check_address(one: network.Network, text: str, version: int) -> linkrequest.Interface:
    """An endpoint's address with its network's prefix length. Raises InvalidInput for one that is not for a container."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise errors.InvalidInput(f'address "{errors.shown(text)}" is no IP address') from error
    subnets = list(ruleset.subnets(one))
    for pool, subnet in zip(one.config.pools, subnets, strict=True):
        if address.version != version or subnet.version != version or address not in subnet:
            continue
        if address in _reserved(subnet, pool.gateway):
            raise errors.InvalidInput(
                f"address {address} is not for a container of {one.name}: {subnet} has it for itself"
            )
        return ipaddress.ip_interface((address.packed, subnet.prefixlen))
    expected = ", ".join(str(subnet) for subnet in subnets if subnet.version == version) or "none of this family"
    raise errors.InvalidInput(f"address {address} is not for a container of {one.name}: expected one of {expected}")


def check_mac(text: str) -> str:
    """A MAC address of one station, in small letters and with colons. Raises InvalidInput."""
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise errors.InvalidInput(
            f'"{errors.shown(text)}" is no MAC address for a container: expected six bytes such as 02:42:ac:1e:00:02, '
            f"the first one even"
        )
    return mac


def _reserved(subnet: ipaddress.IPv4Network | ipaddress.IPv6Network, gateway: str) -> set[linkrequest.Address]:
    """Of a subnet: the gateway, the network's own address (in IPv6 that of its routers), the broadcast address."""
    found: set[linkrequest.Address] = {ipaddress.ip_address(gateway) if gateway else subnet.network_address + 1}
    if subnet.prefixlen < subnet.max_prefixlen - 1:
        found.add(subnet.network_address)
        if subnet.version == 4:
            found.add(subnet.broadcast_address)
    return found
