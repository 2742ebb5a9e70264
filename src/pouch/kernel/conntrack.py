"""Connections that the kernel remembers, of protocols that have none of their own (ctnetlink).

A datagram of a known flow goes where the first one went, whatever the rules say by now: who changes where a port leads makes the
kernel forget the flows to it. In the network namespace of the calling thread. Source: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pouch.kernel import netlink
from pouch.spec import errors

_NETFILTER = 12
_HEADER = struct.Struct(">BBH")  # struct nfgenmsg: family, version, resource id
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_ORIGINAL, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCE = {socket.AF_INET: 1, socket.AF_INET6: 3}
_NUMBER, _DESTINATION_PORT = 1, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_BY_SOURCE, _BY_NUMBER, _BY_DESTINATION_PORT = 1 << 0, 1 << 3, 1 << 5
_FEW = 8  # ports for which one look each at all flows costs less than reading them
_NO_FILTER = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction each: the port that was called, and who answers."""

    called_port: int
    answers: ipaddress.IPv4Address | ipaddress.IPv6Address
    key: bytes
    """What names it to the kernel."""


def forget(family: int, protocol: int, ports: Collection[int], *, answers: str = "", answers_not: str = "") -> int:
    """Drop the flows of a family (AF_INET, AF_INET6) and protocol that called one of these ports; how many.

    answers: only those that this address answers; answers_not: only those that it does not. What can be is picked by the kernel (Linux
    5.8): that costs a look at each of its flows, but not the reading of them.
    """
    with netlink.Socket(_NETFILTER) as kernel:
        dropped = 0
        for port in ports if len(ports) <= _FEW else [0]:
            for flow in list(_flows(kernel, family, protocol, port, answers)):
                if flow.called_port not in ports or str(flow.answers) == answers_not:
                    continue
                payload = _HEADER.pack(family, 0, 0) + flow.key
                tolerated = frozenset({errno.ENOENT})  # over by itself
                kernel.run(netlink.Request(_DELETE, "IPCTNL_MSG_CT_DELETE", "a flow", payload, tolerated=tolerated))
                dropped += 1
    return dropped


def _flows(kernel: netlink.Socket, family: int, protocol: int, port: int, answers: str) -> Iterator[Flow]:
    head = _HEADER.pack(family, 0, 0)
    number = netlink.u8(_NUMBER, protocol)
    original_flags, reply_flags = _BY_NUMBER, 0
    called, answering = number, b""
    if port:
        original_flags |= _BY_DESTINATION_PORT
        called += netlink.attribute(_DESTINATION_PORT, struct.pack(">H", port))
    if answers:
        reply_flags = _BY_SOURCE
        address = netlink.attribute(_SOURCE[socket.AddressFamily(family)], ipaddress.ip_address(answers).packed)
        answering = netlink.nested(_REPLY, netlink.nested(_TUPLE_IP, address))
    picked = netlink.nested(_ORIGINAL, netlink.nested(_TUPLE_PROTOCOL, called)) + answering
    picked += netlink.nested(
        _FILTER, netlink.u32(_FILTER_ORIGINAL, original_flags), netlink.u32(_FILTER_REPLY, reply_flags)
    )
    try:
        messages = kernel.dump(netlink.Request(_GET, "IPCTNL_MSG_CT_GET", "flows", head + picked))
    except errors.KernelError as error:
        if error.errno not in _NO_FILTER:
            raise
        messages = kernel.dump(netlink.Request(_GET, "IPCTNL_MSG_CT_GET", "flows", head))
    for message in messages:
        flow = _flow(message.payload, protocol)
        if flow is not None and port in (0, flow.called_port) and answers in ("", str(flow.answers)):
            yield flow


def _flow(payload: bytes, protocol: int) -> Flow | None:
    """None for another protocol's, which an old kernel gives too."""
    found = netlink.attributes(payload, _HEADER.size)
    original = netlink.attributes(netlink.attributes(found.get(_ORIGINAL, b"")).get(_TUPLE_PROTOCOL, b""))
    addresses = netlink.attributes(netlink.attributes(found.get(_REPLY, b"")).get(_TUPLE_IP, b""))
    source = addresses.get(_SOURCE[socket.AF_INET]) or addresses.get(_SOURCE[socket.AF_INET6])
    if netlink.number(original, _NUMBER) != protocol or source is None:
        return None
    (port,) = struct.unpack(">H", original.get(_DESTINATION_PORT, b"\0\0"))
    key = b"".join(
        netlink.attribute(kind | (0x8000 if kind == _ORIGINAL else 0), found[kind])
        for kind in (_ORIGINAL, _ID, _ZONE)
        if kind in found
    )
    return Flow(port, ipaddress.ip_address(source), key)
