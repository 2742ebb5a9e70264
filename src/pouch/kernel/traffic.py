"""Traffic control (tc(8), rtnetlink(7)): how fast a link may send and receive.

Links share one allowance by being led through one intermediate device (ifb): what goes out by them, or comes in, passes its queue, a
token bucket, and then goes where it would have gone. In the network namespace of the thread that opened the socket.
Source: linux/pkt_sched.h, pkt_cls.h, tc_act/tc_mirred.h.
"""

from __future__ import annotations

import enum
import errno
import struct

from pouch.kernel import linkrequest, netlink, rtnetlink

_NEWQDISC, _NEWFILTER, _DELFILTER = 36, 44, 45
_NONE = frozenset({errno.ENOENT, errno.EINVAL})  # nothing to be deleted
_TCMSG = struct.Struct("=BxxxiIII")  # struct tcmsg: family, index, handle, parent, info
_KIND, _OPTIONS = 1, 2
_ROOT, _CLSACT, _CLSACT_HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000
_PRIORITY_ALL = 1 << 16 | 0x0300  # the first filter, for frames of every kind (ETH_P_ALL in the network's order)

_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_RATE = struct.Struct("=BBHhHI")  # struct tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate
_ETHERNET = 1
_PACKET = 65536
_U32_SELECTOR, _U32_ACTIONS = 5, 7
_SELECTOR = struct.Struct("=BBBxHHhhI")  # struct tc_u32_sel, with one key after it
_KEY = struct.Struct("=IIii")  # struct tc_u32_key: mask, value, offset, offset mask
_TERMINAL = 1
_ACTION_KIND, _ACTION_OPTIONS, _MIRRED_PARMS = 1, 2, 2
_MIRRED = struct.Struct(
    "=IIiiiiI"
)  # struct tc_mirred: index, capabilities, action, references, bindings, what, to which link
_STOLEN, _REDIRECT = 4, 1


class Direction(enum.IntEnum):
    """Which packets of a link: the parents of its filters."""

    IN = 0xFFFFFFF2
    OUT = 0xFFFFFFF3


def add_device(kernel: rtnetlink.RouteSocket, name: str, bits_per_second: int) -> int:
    """An intermediate device with that allowance, up; its index. One of that name gets the allowance. Raises KernelError EOPNOTSUPP.

    It lets through bursts of a hundredth of a second's worth, at least the largest packet there is, and keeps what waits up to a
    twentieth of a second; what is more is dropped, and tells the sender to slow down.
    """
    if kernel.find_link(name) is None:
        kernel.run(linkrequest.ifb(name))
    index = kernel.get_link(name).index
    rate = max(1, bits_per_second // 8)
    burst = max(rate // 100, _PACKET)
    limit = min(burst + max(rate // 20, 2 * _PACKET), 0xFFFFFFFF)
    spec = _RATE.pack(0, _ETHERNET, 0, 0, 0, min(rate, 0xFFFFFFFF))
    parameters = spec + bytes(_RATE.size) + struct.pack("=III", limit, 0, 0)
    options = netlink.attribute(_TBF_PARMS, parameters) + netlink.u32(_TBF_BURST, min(burst, 0xFFFFFFFF))
    if rate > 0xFFFFFFFF:
        options += netlink.attribute(_TBF_RATE64, struct.pack("=Q", rate))
    payload = _TCMSG.pack(0, index, 0x10000, _ROOT, 0) + netlink.text(_KIND, "tbf")
    payload += netlink.nested(_OPTIONS, options)
    flags = netlink.CREATE | netlink.REPLACE
    kernel.run(netlink.Request(_NEWQDISC, "RTM_NEWQDISC", f"{name} tbf", payload, flags), linkrequest.up(index))
    return index


def lead(kernel: rtnetlink.RouteSocket, link: str, direction: Direction, device: int) -> None:
    """Lead what a link receives (IN) or sends (OUT) through an intermediate device; goes with the link. Again is fine."""
    index = kernel.get_link(link).index
    qdisc = _TCMSG.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0) + netlink.text(_KIND, "clsact")
    target = _MIRRED.pack(0, 0, _STOLEN, 0, 0, _REDIRECT, device)
    action = netlink.text(_ACTION_KIND, "mirred")
    action += netlink.nested(_ACTION_OPTIONS, netlink.attribute(_MIRRED_PARMS, target))
    everything = _SELECTOR.pack(_TERMINAL, 0, 1, 0, 0, 0, 0, 0) + _KEY.pack(0, 0, 0, 0)
    options = netlink.attribute(_U32_SELECTOR, everything) + netlink.nested(_U32_ACTIONS, netlink.nested(1, action))
    payload = _TCMSG.pack(0, index, 0, direction, _PRIORITY_ALL) + netlink.text(_KIND, "u32")
    payload += netlink.nested(_OPTIONS, options)
    exclusive = netlink.CREATE | netlink.EXCLUSIVE
    there = frozenset({errno.EEXIST})
    kernel.run(netlink.Request(_NEWQDISC, "RTM_NEWQDISC", f"{link} clsact", qdisc, exclusive, there))
    kernel.run(_release(link, index, direction))
    kernel.run(netlink.Request(_NEWFILTER, "RTM_NEWTFILTER", f"{link} {direction.name}", payload, exclusive))


def release(kernel: rtnetlink.RouteSocket, link: str, direction: Direction) -> None:
    """Undo `lead`; fine where there is nothing to undo. Before the device is deleted: what is led to none is lost."""
    found = kernel.find_link(link)
    if found is not None:
        kernel.run(_release(link, found.index, direction))


def _release(link: str, index: int, direction: Direction) -> netlink.Request:
    payload = _TCMSG.pack(0, index, 0, direction, _PRIORITY_ALL)
    return netlink.Request(_DELFILTER, "RTM_DELTFILTER", f"{link} {direction.name}", payload, 0, _NONE)
