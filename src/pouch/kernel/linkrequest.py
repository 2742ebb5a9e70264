"""What rtnetlink is asked to change, as values: several of these travel in one datagram (`rtnetlink.RouteSocket.run`).

A link is known by its index or by its name. Source: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import ipaddress
import socket
import struct

from pouch.kernel import netlink
from pouch.spec import errors

LOOPBACK_INDEX = 1
NAME_MAX = 15

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26

LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
ADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst, src, tos, table, protocol, scope, type, flags

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
IFLA_IFALIAS, IFLA_AF_SPEC, IFLA_NET_NS_FD = 20, 26, 28
INFO_KIND, INFO_DATA, INFO_SLAVE_KIND, INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_PEER = 1
_BR_FORWARD_DELAY, _BR_STP_STATE = 1, 5
_BRPORT_MODE, _BRPORT_ISOLATED = 4, 33
_MACVLAN_MODE, _VLAN_ID = 1, 1
_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1
IFA_ADDRESS, IFA_LOCAL, _IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
_NO_DUPLICATE_DETECTION = 0x02
PERMANENT = 0x80
"""IFA_F_PERMANENT: an address that somebody set, rather than one that a router advertised."""
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
_RTA_PRIORITY = 6
TABLE_MAIN, _TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, TYPE_UNICAST, _TYPE_LOCAL = 254, 255, 3, 0, 1, 2
_AFTER_THE_KERNELS = 4096  # a metric: the kernel's own route to ::1 comes first
UP = 1

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Key = int | str
"""A link's index, or its name."""


class MacvlanMode(enum.IntEnum):
    """How links on one parent reach each other (MACVLAN_MODE_*)."""

    PRIVATE = 1
    VEPA = 2
    BRIDGE = 4
    PASSTHRU = 8


def bridge(name: str, *, mac: str, mtu: int) -> netlink.Request:
    """A new bridge that forwards at once (no spanning tree), down. EEXIST where the name is taken.

    With a MAC of its own: a bridge without one takes its lowest port's and changes it as ports come and go.
    """
    data = netlink.nested(INFO_DATA, netlink.u32(_BR_FORWARD_DELAY, 0), netlink.u32(_BR_STP_STATE, 0))
    return _create(name, "bridge", data, netlink.attribute(IFLA_ADDRESS, mac_bytes(mac)), netlink.u32(IFLA_MTU, mtu))


def veth(
    name: str, *, master: int, mtu: int, peer: str, peer_mac: str, peer_netns: int | None = None
) -> netlink.Request:
    """A new pair: `name` here, port of the bridge `master`; `peer` in the namespace of the descriptor; both down.

    In one request, so the peer never is in this namespace.
    """
    check_name(peer)
    inner = netlink.text(IFLA_IFNAME, peer) + netlink.attribute(IFLA_ADDRESS, mac_bytes(peer_mac))
    inner += netlink.u32(IFLA_MTU, mtu)
    if peer_netns is not None:
        inner += netlink.u32(IFLA_NET_NS_FD, peer_netns)
    data = netlink.nested(INFO_DATA, netlink.nested(_VETH_PEER, LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + inner))
    return _create(name, "veth", data, netlink.u32(IFLA_MTU, mtu), netlink.u32(IFLA_MASTER, master))


def macvlan(name: str, *, parent: int, mode: MacvlanMode, mac: str, mtu: int, netns: int) -> netlink.Request:
    """A new link on a parent of this namespace, made in the namespace of the descriptor at once; down. mtu 0: the parent's."""
    data = netlink.nested(INFO_DATA, netlink.u32(_MACVLAN_MODE, mode))
    attributes = [netlink.u32(IFLA_LINK, parent), netlink.attribute(IFLA_ADDRESS, mac_bytes(mac))]
    attributes += [netlink.u32(IFLA_MTU, mtu)] if mtu else []
    return _create(name, "macvlan", data, *attributes, netlink.u32(IFLA_NET_NS_FD, netns))


def vlan(name: str, *, parent: int, tag: int) -> netlink.Request:
    """A new link for the frames of a parent that carry this VLAN tag (802.1Q), down. EOPNOTSUPP where the kernel has none."""
    data = netlink.nested(INFO_DATA, netlink.attribute(_VLAN_ID, struct.pack("=H", tag)))
    return _create(name, "vlan", data, netlink.u32(IFLA_LINK, parent))


def dummy(name: str) -> netlink.Request:
    """A new link that leads nowhere, down. EOPNOTSUPP where the kernel has none."""
    return _create(name, "dummy", b"")


def ifb(name: str) -> netlink.Request:
    """A new intermediate device, through which other links' packets can be led, down. EOPNOTSUPP where the kernel has none."""
    return _create(name, "ifb", b"")


def up(link: Key) -> netlink.Request:
    """Set a link up."""
    return _set(link, "up", b"", UP)


def loopback_up() -> netlink.Request:
    """Set the loopback link up; the kernel gives it 127.0.0.1 and ::1."""
    return _set(LOOPBACK_INDEX, "up", b"", UP)


def rename(index: int, name: str) -> netlink.Request:
    """Give a link that is down another name. EEXIST where one of its namespace has that."""
    check_name(name)
    return _set(index, f"name {name}", netlink.text(IFLA_IFNAME, name))


def mtu(link: Key, size: int) -> netlink.Request:
    """Change a link's MTU."""
    return _set(link, f"mtu {size}", netlink.u32(IFLA_MTU, size))


def alias(link: Key, words: str) -> netlink.Request:
    """Give a link a note of up to 255 bytes that programs show and nothing acts on."""
    return _set(link, "alias", netlink.attribute(IFLA_IFALIAS, words.encode()))


def no_ipv6_address(link: Key) -> netlink.Request:
    """Let the kernel give the link no link-local address: no duplicate detection and no router solicitation either.

    Fine where the kernel has no IPv6.
    """
    mode = netlink.nested(socket.AF_INET6, netlink.u8(_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE))
    request = _set(link, "no IPv6 address", netlink.nested(IFLA_AF_SPEC, mode))
    return dataclasses.replace(request, tolerated=frozenset({errno.EAFNOSUPPORT}))


def port(link: Key, bridge: int) -> netlink.Request:
    """Make a link a port of the bridge with that index."""
    return _set(link, "port of a bridge", netlink.u32(IFLA_MASTER, bridge))


def isolate(port: Key) -> netlink.Request:
    """Let a bridge's port reach no other isolated port, only the bridge itself (IFLA_BRPORT_ISOLATED)."""
    return _set_port(port, "isolated", netlink.u8(_BRPORT_ISOLATED, 1))


def reflect(port: Key) -> netlink.Request:
    """Let a bridge's port send out what came in by it (hairpin mode, IFLA_BRPORT_MODE)."""
    return _set_port(port, "hairpin", netlink.u8(_BRPORT_MODE, 1))


def delete(name: str) -> netlink.Request:
    """Delete a link, and with one end of a veth the other. A missing one is fine."""
    payload = link_payload() + netlink.text(IFLA_IFNAME, name)
    return netlink.Request(DELLINK, "RTM_DELLINK", name, payload, tolerated=frozenset({errno.ENODEV}))


def add_address(index: int, address: Interface, *, what: str = "") -> netlink.Request:
    """Give a link an address; one that it has already is fine. IPv6 at once, without waiting for others to object."""
    payload = _address_payload(index, address)
    if address.version == 6:
        payload += netlink.u32(IFA_FLAGS, _NO_DUPLICATE_DETECTION)
    elif address.network.prefixlen < 31:
        payload += netlink.attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    flags = netlink.CREATE | netlink.EXCLUSIVE
    return netlink.Request(
        NEWADDR, "RTM_NEWADDR", f"{what or index} {address}", payload, flags, frozenset({errno.EEXIST})
    )


def delete_address(index: int, address: Interface, *, what: str = "") -> netlink.Request:
    """Take an address from a link; a missing one is fine."""
    payload = _address_payload(index, address)
    tolerated = frozenset({errno.EADDRNOTAVAIL})
    return netlink.Request(DELADDR, "RTM_DELADDR", f"{what or index} {address}", payload, tolerated=tolerated)


def default_route(index: int, gateway: Address, *, replace: bool) -> netlink.Request:
    """The default route of the gateway's family. replace: also where there is one, which otherwise stays and is no error."""
    flags = netlink.CREATE | (netlink.REPLACE if replace else netlink.EXCLUSIVE)
    tolerated = frozenset() if replace else frozenset({errno.EEXIST})
    payload = _default_route(index, gateway)
    return netlink.Request(NEWROUTE, "RTM_NEWROUTE", f"default via {gateway}", payload, flags, tolerated)


def no_default_route(index: int, gateway: Address) -> netlink.Request:
    """Take away a default route; a missing one is fine."""
    payload = _default_route(index, gateway)
    tolerated = frozenset({errno.ESRCH})
    return netlink.Request(DELROUTE, "RTM_DELROUTE", f"default via {gateway}", payload, tolerated=tolerated)


def loopback_route(index: int) -> netlink.Request:
    """Let packets to ::1 be for this host also where they come in by this link; goes with the link.

    Only those whose address was translated to it on arrival: others to ::1 the kernel drops before.
    """
    payload = ROUTE.pack(socket.AF_INET6, 128, 0, 0, _TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _TYPE_LOCAL, 0)
    payload += netlink.attribute(RTA_DST, ipaddress.IPv6Address("::1").packed) + netlink.u32(RTA_OIF, index)
    payload += netlink.u32(_RTA_PRIORITY, _AFTER_THE_KERNELS)
    flags = netlink.CREATE | netlink.EXCLUSIVE
    return netlink.Request(NEWROUTE, "RTM_NEWROUTE", f"::1 by link {index}", payload, flags, frozenset({errno.EEXIST}))


def check_name(name: str) -> None:
    """A link's name as the kernel wants it (dev_valid_name). Raises InvalidInput."""
    if not name or len(name.encode()) > NAME_MAX or name in {".", ".."} or any(c in "/: \t\n\0" for c in name):
        raise errors.InvalidInput(
            f'"{name}" is no name for a network interface: expected 1 to {NAME_MAX} bytes without "/", ":" and spaces'
        )


def mac_bytes(text: str) -> bytes:
    """Six bytes of `02:42:ac:1e:00:02`."""
    return bytes.fromhex(text.replace(":", ""))


def link_payload(index: int = 0, flags: int = 0) -> bytes:
    """What begins each message about a link; the flags are both those to be set and those to be changed."""
    return LINK.pack(socket.AF_UNSPEC, 0, index, flags, flags)


def _create(name: str, kind: str, data: bytes, *attributes: bytes) -> netlink.Request:
    """A request for a new link of that kind."""
    check_name(name)
    info = netlink.nested(IFLA_LINKINFO, netlink.text(INFO_KIND, kind), data)
    payload = link_payload() + netlink.text(IFLA_IFNAME, name) + b"".join(attributes) + info
    return netlink.Request(NEWLINK, "RTM_NEWLINK", f"{kind} {name}", payload, netlink.CREATE | netlink.EXCLUSIVE)


def _set(link: Key, what: str, attributes: bytes, flags: int = 0) -> netlink.Request:
    """A change of flags or attributes of one link."""
    index, name = (link, b"") if isinstance(link, int) else (0, netlink.text(IFLA_IFNAME, link))
    return netlink.Request(SETLINK, "RTM_SETLINK", f"{link} {what}", link_payload(index, flags) + name + attributes)


def _set_port(port: Key, what: str, attributes: bytes) -> netlink.Request:
    """A change of what a bridge's port does. By RTM_NEWLINK: RTM_SETLINK takes no notice of a port's attributes."""
    data = netlink.nested(INFO_SLAVE_DATA, attributes)
    request = _set(port, what, netlink.nested(IFLA_LINKINFO, netlink.text(INFO_SLAVE_KIND, "bridge"), data))
    return dataclasses.replace(request, kind=NEWLINK, name="RTM_NEWLINK")


def _address_payload(index: int, address: Interface) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    payload = ADDR.pack(family, address.network.prefixlen, 0, 0, index)
    return payload + netlink.attribute(IFA_LOCAL, address.packed) + netlink.attribute(IFA_ADDRESS, address.packed)


def _default_route(index: int, gateway: Address) -> bytes:
    family = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
    payload = ROUTE.pack(family, 0, 0, 0, TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, TYPE_UNICAST, 0)
    return payload + netlink.attribute(RTA_GATEWAY, gateway.packed) + netlink.u32(RTA_OIF, index)
