"""The devices of bridge networks: made, addressed, and looked after, in the calling thread's network namespace.

::

    container's namespace │ host's namespace
    lo, eth0 ─────────────│── veth<11 digits of the endpoint's id> ──┐
                          │                                          ├── <link>: the gateways of the network's pools
    lo, eth0, eth1 ───────│── veth... ───────────────────────────────┘
                     └────│── veth... ── <another network's link>

A bridge that pouchd has made carries a note (`ip link` shows it as alias); one that was there before belongs to somebody else:
it gets what addresses it lacks, keeps what it has, and is not deleted.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import ipaddress
import os

from pouch.kernel import linkrequest, netlink, rtnetlink
from pouch.network import ruleset, sysctl
from pouch.spec import errors, network

MTU = "com.docker.network.driver.mtu"
NAME = "com.docker.network.bridge.name"
DEFAULT_MTU = 1500
PREFIX = "veth"
_SMALLEST_MTU, _SMALLEST_MTU_6, _LARGEST_MTU = 68, 1280, 65535
_ID_DIGITS = rtnetlink.NAME_MAX - len(PREFIX)
_NOTE = "pouch network "
_FIRST_LINK_LOCAL = ipaddress.IPv6Interface("fe80::1/64")
_IPV4_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_IPV6 = "/proc/sys/net/ipv6/conf"


def device_name(network_id: str, config: network.NetworkConfig) -> str:
    """What a network's bridge is called: as the client wants, else `br-` and twelve digits of its id. Raises InvalidInput."""
    name = config.options.get(NAME) or f"br-{network_id[:12]}"
    ruleset.check_link(name)
    return name


def host_link(endpoint_id: str) -> str:
    """The name of our end of an endpoint's pair: as much of its id as fits."""
    return f"{PREFIX}{endpoint_id[:_ID_DIGITS]}"


def mac_address(address: linkrequest.Address) -> str:
    """A locally administered MAC that follows from the address, as Docker's does: no neighbour's cache goes stale at a restart."""
    tail = address.packed if address.version == 4 else hashlib.sha256(address.packed).digest()[:4]
    return f"02:42:{tail.hex(':')}"


def mtu(one: network.Network) -> int:
    """What the network asks for, 0 for nothing. Raises InvalidInput."""
    text = one.config.options.get(MTU, "")
    smallest = _SMALLEST_MTU_6 if has_ipv6(one) else _SMALLEST_MTU
    if not text or text == "0":
        return 0
    if not (text.isascii() and text.isdecimal() and smallest <= int(text[:9]) <= _LARGEST_MTU):
        raise errors.InvalidInput(
            f'network {one.name}: option {MTU} "{errors.shown(text)}": expected {smallest} to {_LARGEST_MTU} bytes'
        )
    return int(text)


def uplink_mtu(kernel: rtnetlink.RouteSocket) -> int:
    """The smallest MTU among the links with a default route: larger packets would only be cut there."""
    uplinks = {route.link for route in kernel.routes() if route.destination.prefixlen == 0}
    return min((link.mtu for link in kernel.links() if link.index in uplinks), default=DEFAULT_MTU)


def has_ipv6(one: network.Network) -> bool:
    """Whether any of its pools is one of IPv6."""
    return any(subnet.version == 6 for subnet in ruleset.subnets(one))


def gateways(one: network.Network) -> tuple[linkrequest.Interface, ...]:
    """The bridge's own addresses: each pool's gateway, or its first address. Raises InvalidInput."""
    found = []
    for pool, subnet in zip(one.config.pools, ruleset.subnets(one), strict=True):
        try:
            address = ipaddress.ip_address(pool.gateway) if pool.gateway else subnet.network_address + 1
        except ValueError as error:
            raise errors.InvalidInput(f'network {one.name}: gateway "{errors.shown(pool.gateway)}": {error}') from error
        if address.version != subnet.version or address not in subnet:
            raise errors.InvalidInput(f"network {one.name}: gateway {address} is not in its subnet {subnet}")
        found.append(ipaddress.ip_interface((address.packed, subnet.prefixlen)))
    return tuple(found)


def ready(kernel: rtnetlink.RouteSocket, one: network.Network, size: int) -> rtnetlink.Link:
    """The bridge with all it needs in place: made, addressed, up, forwarding. 0.3 ms where nothing is missing. size: its MTU."""
    link = addressed(kernel, one, size)
    if not link.up:
        kernel.set_up(link)
    sysctl.write(_IPV4_FORWARD, "1")
    if has_ipv6(one):
        _forward_ipv6(kernel)
    return link


def addressed(kernel: rtnetlink.RouteSocket, one: network.Network, size: int) -> rtnetlink.Link:
    """The bridge with its addresses. Raises Conflict where another kind of link has its name."""
    link = kernel.find_link(one.link) or _make(kernel, one, size)
    if link.kind != "bridge":
        raise errors.Conflict(
            f"network interface {one.link} is no bridge but {link.kind or 'hardware'}",
            hint="choose another name for the bridge",
        )
    wanted = {*gateways(one), *([_FIRST_LINK_LOCAL] if has_ipv6(one) else [])}
    present = {each.interface for each in kernel.addresses(link.index)}
    if present == wanted:
        return link
    others = {each for each in present - wanted if not each.is_link_local} if _ours(one, link) else set()
    kernel.run(
        # One of an earlier subnet would keep that subnet's route.
        *(linkrequest.delete_address(link.index, each, what=link.name) for each in others),
        *(linkrequest.add_address(link.index, each, what=link.name) for each in wanted - present),
    )
    return link


def current_subnet(name: str) -> str:
    """The IPv4 network that the bridge of that name has now (`172.30.0.0/16`); "" without one."""
    with rtnetlink.RouteSocket() as kernel:
        link = kernel.find_link(name)
        found = [] if link is None else [each.interface for each in kernel.addresses(link.index)]
    return next((str(each.network) for each in found if each.version == 4), "")


def remove(kernel: rtnetlink.RouteSocket, one: network.Network) -> None:
    """Delete the network's bridge, if it is there and was made for it."""
    link = kernel.find_link(one.link)
    if link is not None and link.kind == "bridge" and _ours(one, link):
        kernel.delete_link(one.link)


def plug(one: network.Network, member: network.Endpoint, master: int, size: int, netns: int) -> list[netlink.Request]:
    """What makes an endpoint's pair: our end up and a port of the bridge, the other in the namespace of the descriptor."""
    name = member.host_link
    requests = [
        linkrequest.veth(name, master=master, mtu=size, peer=member.interface, peer_mac=member.mac, peer_netns=netns),
        linkrequest.no_ipv6_address(name),
    ]
    if not ruleset.enabled(one.config.options.get(ruleset.ICC, "true")):
        requests.append(linkrequest.isolate(name))
    return [*requests, linkrequest.up(name)]


def check_address(one: network.Network, text: str) -> linkrequest.Interface:
    """An endpoint's address with its network's prefix length. Raises InvalidInput for one that is not for a container."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise errors.InvalidInput(f'"{errors.shown(text)}" is no IP address') from error
    for gateway in gateways(one):
        subnet = gateway.network
        if subnet.version != address.version or address not in subnet:
            continue
        reserved = {gateway.ip}
        if subnet.prefixlen < subnet.max_prefixlen - 1:
            reserved.add(subnet.network_address)
            if subnet.version == 4:
                reserved.add(subnet.broadcast_address)
        if address not in reserved:
            return ipaddress.ip_interface((address.packed, subnet.prefixlen))
        raise errors.InvalidInput(f"address {address} is not for a container of {one.name}: {subnet} has it for itself")
    subnets = ", ".join(str(subnet) for subnet in ruleset.subnets(one)) or "no subnet"
    raise errors.InvalidInput(f"address {address} is not for a container of {one.name}: expected one of {subnets}")


def _make(kernel: rtnetlink.RouteSocket, one: network.Network, size: int) -> rtnetlink.Link:
    """A new bridge, which has IPv6 only where the network has, and never believes a router advertisement (CVE-2020-13401)."""
    own = gateways(one)
    mac = mac_address(own[0].ip) if own else mac_address(ipaddress.IPv6Address(int(one.id[:32] or "0", 16)))
    kernel.run(
        linkrequest.bridge(one.link, mac=mac, mtu=size),
        linkrequest.alias(one.link, _NOTE + one.id),
        linkrequest.no_ipv6_address(one.link),
    )
    if has_ipv6(one):
        if not os.path.isdir(_IPV6):
            kernel.delete_link(one.link)
            raise errors.Unsupported(f"network {one.name}: this kernel has no IPv6")
        sysctl.write(f"{_IPV6}/{one.link}/accept_ra", "0")
        sysctl.write(f"{_IPV6}/{one.link}/disable_ipv6", "0")
    else:
        sysctl.write(f"{_IPV6}/{one.link}/disable_ipv6", "1", missing_ok=True)
    return kernel.get_link(one.link)


def _ours(one: network.Network, link: rtnetlink.Link) -> bool:
    """The default bridge's name is the administrator's word that it is pouchd's."""
    return one.predefined or link.alias == _NOTE + one.id


def _forward_ipv6(kernel: rtnetlink.RouteSocket) -> None:
    """Make the host a router, and let it go on believing the routers it has believed so far (accept_ra 2, ip-sysctl)."""
    everywhere = f"{_IPV6}/all/forwarding"
    with open(everywhere, encoding="ascii") as file:
        if file.read().strip() == "1":
            return
    advertised = {route.link for route in kernel.routes() if route.advertised}
    advertised |= {each.link for each in kernel.addresses() if each.interface.version == 6 and not each.permanent}
    for link in kernel.links():
        if link.index in advertised:
            path = f"{_IPV6}/{link.name}/accept_ra"
            with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
                if file.read().strip() == "1":
                    sysctl.write(path, "2", missing_ok=True)
    try:
        sysctl.write(everywhere, "1")
    except errors.KernelError as error:
        if error.errno != errno.EROFS:
            raise
        raise errors.KernelError("write", everywhere, error.errno, hint=error.hint) from error
