"""What a container's network namespace has: loopback, interfaces with their addresses, default routes.

The namespace belongs to the container: a process of it may have renamed, moved or deleted what we made, and whatever is
found there is taken as a guess, never as an instruction.
"""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pouch.kernel import linkrequest, namespace, netlink, rtnetlink
from pouch.network import sysctl
from pouch.spec import errors, network

T = TypeVar("T")

_NET = "/proc/sys/net"
_IPV6 = f"{_NET}/ipv6/conf"


def refuse_own(netns: int) -> None:
    """Never configure the namespace we are in: its eth0 is the host's. Raises Conflict."""
    theirs, ours = os.fstat(netns), os.stat("/proc/thread-self/ns/net")
    if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
        raise errors.Conflict("the container is in the host's network namespace: it cannot be connected to a network")


def loopback_up(netns: int) -> None:
    """Set the loopback link up: all that a container without a network needs."""
    with _opened(netns, ()) as inside:
        inside.loopback_up()


def configure(netns: int, members: Sequence[network.Endpoint]) -> None:
    """Addresses and state of fresh interfaces, loopback up; a default route by the first that has a gateway, if there is none yet.

    Everything in one datagram. Raises KernelError; what was done till then stays.
    """
    with _opened(netns, members) as inside:
        indices = {link.name: link.index for link in inside.links()}
        requests = [linkrequest.loopback_up()]
        for member in members:
            index = indices.get(member.interface)
            if index is None:
                raise errors.KernelError("netlink RTM_GETLINK", member.interface, errno.ENODEV)
            requests += _interface(member, index)
        for member in members:
            requests += _routes(member, indices[member.interface])
        inside.run(*requests)


def set_default(netns: int, member: network.Endpoint) -> None:
    """Default routes by this endpoint, where there are none: one that a container has made itself stays.

    Raises NotFound where the container has the interface no more.
    """
    with _opened(netns, ()) as inside:
        inside.run(*_routes(member, _index(inside.links(), member)))


def prefer_first(netns: int, members: Sequence[network.Endpoint]) -> None:
    """Leave of these endpoints' default routes only those by the first that has a gateway, for each family. Raises NotFound."""
    with _opened(netns, ()) as inside:
        links = inside.links()
        indices = [_index(links, member) for member in members]
        present = [route for route in inside.routes() if route.destination.prefixlen == 0 and route.gateway]
        for version in (4, 6):
            first = next((n for n, member in enumerate(members) if _gateway(member, version)), None)
            if first is None:
                continue
            others = [
                route
                for route in present
                if route.destination.version == version and route.link in indices and route.link != indices[first]
            ]
            gateway = ipaddress.ip_address(_gateway(members[first], version))
            inside.run(
                *(linkrequest.no_default_route(each.link, ipaddress.ip_address(each.gateway)) for each in others),
                linkrequest.default_route(indices[first], gateway, replace=False),
            )


def find(links: Iterable[rtnetlink.Link], member: network.Endpoint, kind: str = "") -> rtnetlink.Link | None:
    """An endpoint's interface: that with its name and MAC, else with one of them, which containers may change."""
    candidates = [link for link in links if link.index != linkrequest.LOOPBACK_INDEX and kind in ("", link.kind)]
    marked = [link for link in candidates if link.mac == member.mac] or candidates
    return next((link for link in marked if link.name == member.interface), None) or next(
        (link for link in marked if link.mac == member.mac), None
    )


def run(netns: int, action: Callable[[rtnetlink.RouteSocket], T]) -> T:
    """Run something on a socket of the container's namespace."""
    with _opened(netns, ()) as inside:
        return action(inside)


def _opened(netns: int, members: Sequence[network.Endpoint]) -> rtnetlink.RouteSocket:
    """A socket of the namespace; on the way, in the one thread that enters it, what no netlink message can set."""
    refuse_own(netns)

    def enter() -> rtnetlink.RouteSocket:
        for member in members:
            _kernel_parameters(member)
        return rtnetlink.RouteSocket()

    return namespace.run_in_namespace(netns, enter)


def _kernel_parameters(member: network.Endpoint) -> None:
    """IPv6 only where the network has it, and no belief in what a neighbour says about routers."""
    linkrequest.check_name(member.interface)
    place = f"{_IPV6}/{member.interface}"
    if member.ipv6:
        sysctl.write(f"{place}/accept_ra", "0", missing_ok=True)
    sysctl.write(f"{place}/disable_ipv6", "0" if member.ipv6 else "1", missing_ok=True)
    for path, value in member.parameters.items():
        _wanted_parameter(path, path.replace("IFNAME", member.interface), value)


def _wanted_parameter(asked: str, path: str, value: str) -> None:
    """One that the client wants. Raises InvalidInput, by the name it was asked by, for one that there is not and for a value that cannot be."""
    try:
        sysctl.write(f"{_NET}/{path}", value)
    except errors.KernelError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.ERANGE):
            raise
        wrong = "no such parameter" if error.errno == errno.ENOENT else f"invalid value {errors.shown(value)!r}"
        raise errors.InvalidInput(f"sysctl net.{asked.replace('/', '.')}: {wrong}") from None


def _interface(member: network.Endpoint, index: int) -> list[netlink.Request]:
    name = member.interface
    requests = [linkrequest.no_ipv6_address(index)]
    if member.ipv4:
        address = ipaddress.IPv4Interface(f"{member.ipv4}/{member.ipv4_prefix}")
        requests.append(linkrequest.add_address(index, address, what=name))
    requests.append(linkrequest.up(index))
    if member.ipv6:
        own = ipaddress.IPv6Interface(f"{member.ipv6}/{member.ipv6_prefix}")
        requests.append(linkrequest.add_address(index, link_local(member.mac), what=name))
        requests.append(linkrequest.add_address(index, own, what=name))
    return requests


def link_local(mac: str) -> ipaddress.IPv6Interface:
    """The address of a link's own (RFC 4291 appendix A); given by us, so that it is usable at once."""
    raw = linkrequest.mac_bytes(mac)
    return ipaddress.IPv6Interface(
        (b"\xfe\x80" + bytes(6) + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:], 64)
    )


def _routes(member: network.Endpoint, index: int) -> list[netlink.Request]:
    gateways = [ipaddress.ip_address(text) for version in (4, 6) if (text := _gateway(member, version))]
    return [linkrequest.default_route(index, gateway, replace=False) for gateway in gateways]


def _gateway(member: network.Endpoint, version: int) -> str:
    return member.ipv4_gateway if version == 4 else member.ipv6_gateway


def _index(links: Iterable[rtnetlink.Link], member: network.Endpoint) -> int:
    link = find(links, member)
    if link is None:
        raise errors.NotFound(f"the container has no interface {member.interface} any more")
    return link.index
