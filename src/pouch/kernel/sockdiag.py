"""Who holds a port of this network namespace: the kernel's list of sockets (sock_diag(7)) and the processes that have them open."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from dataclasses import dataclass

from pouch.kernel import netlink

TIME_WAIT = 6
"""The state of a TCP connection that is over and only remembered."""

_PROTOCOL = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20
_REQUEST = struct.Struct(
    ">BBBxIHH44x"
)  # struct inet_diag_req_v2, its states put in by hand: they are in the machine's order
_ANSWER = struct.Struct("=BBBB48xIIIII")  # struct inet_diag_msg: family, state, ..., uid and inode last
_SOURCE = 8
_ALL_STATES = (1 << 14) - 1  # also sockets that are bound and nothing else (TCP_BOUND_INACTIVE, Linux 6.8)


@dataclass(frozen=True, slots=True)
class Holder:
    """A socket. inode 0: no process has it any more."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    state: int
    uid: int
    inode: int


def holders(family: int, protocol: int, port: int) -> list[Holder]:
    """The sockets of a family (AF_INET, AF_INET6) and protocol whose local port this is."""
    payload = bytearray(_REQUEST.pack(family, protocol, 0, 0, port, 0))
    struct.pack_into("=I", payload, 4, _ALL_STATES)
    with netlink.Socket(_PROTOCOL) as kernel:
        answers = kernel.dump(netlink.Request(_BY_FAMILY, "SOCK_DIAG_BY_FAMILY", f"port {port}", bytes(payload)))
    found = [_holder(answer.payload) for answer in answers]
    return [holder for number, holder in found if number == port]


def process_of(inode: int) -> tuple[int, str] | None:
    """Pid and name of a process that has a socket open; None where it is not found. Reads all of /proc: for an error's text."""
    wanted = f"socket:[{inode}]"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        folder = f"/proc/{pid}/fd"
        with contextlib.suppress(OSError):  # it ended meanwhile
            for name in os.listdir(folder):
                if os.readlink(f"{folder}/{name}") == wanted:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                        return int(pid), file.read().strip()
    return None


def _holder(payload: bytes) -> tuple[int, Holder]:
    """The local port, and the socket."""
    family, state, _, _, _, _, _, uid, inode = _ANSWER.unpack_from(payload)
    (port,) = struct.unpack_from(">H", payload, 4)
    raw = payload[_SOURCE : _SOURCE + (4 if family == socket.AF_INET else 16)]
    return port, Holder(ipaddress.ip_address(raw), state, uid, inode)
