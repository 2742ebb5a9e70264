"""nfnetlink: elements of nftables' sets and maps, and news of whoever changes them.

What changes with each container goes this way: a batch is one transaction of some tens of microseconds, however many rules
others have. What rules say is written in nft's language (see nft.py), once. All in the network namespace of the thread
that opened the socket. Source: linux/netfilter/nfnetlink.h, nf_tables.h.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pouch.kernel import netlink
from pouch.spec import errors

INET, NETDEV = 1, 5
"""NFPROTO_*: the families of a table for both IPv4 and IPv6, and of one at links."""

_NETFILTER = 12
_GROUP_NFTABLES = 7
_HEADER = struct.Struct(">BBH")  # struct nfgenmsg: family, version, resource id
_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWSETELEM, _DELSETELEM, _NEWGEN = _SUBSYSTEM | 12, _SUBSYSTEM | 14, _SUBSYSTEM | 15
_TABLE_ATTRIBUTE = 1  # of every kind of message: the table's name
_GEN_ID = 1
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_LIST_ELEMENT = 1
_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_KEY_END, _DATA_VALUE = 1, 2, 10, 1
_MESSAGE_LIMIT = 60000  # an attribute's length has 16 bits
_MONITOR_BUFFER = 4 << 20


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a set or a map.

    key: its fields one after the other, each padded to four bytes, in the packet's order. end: the last key of an interval. value: a
    map's, laid out alike. text: the same in nft's language.
    """

    set: str
    text: str
    key: bytes
    end: bytes = b""
    value: bytes = b""


class Rules:
    """Changes the rules of one network namespace; not for use by two threads at a time."""

    def __init__(self) -> None:
        self._socket = netlink.Socket(_NETFILTER)

    def close(self) -> None:
        """Close it; idempotent."""
        self._socket.close()

    def change(self, table: str, remove: Sequence[Element], add: Sequence[Element]) -> None:
        """Take elements out of a table (family inet) and put others in, in one transaction: all or nothing.

        Raises KernelError: ENOENT where table, set or an element to be removed is missing, EEXIST for a key with another value.
        """
        requests = [
            *_element_requests(table, remove, _DELSETELEM, "NFT_MSG_DELSETELEM", 0),
            *_element_requests(table, add, _NEWSETELEM, "NFT_MSG_NEWSETELEM", netlink.CREATE),
        ]
        if requests:
            self._socket.transact(
                netlink.Request(_BATCH_BEGIN, "NFNL_MSG_BATCH_BEGIN", f"table {table}", _HEADER.pack(0, 0, 10)),
                requests,
                netlink.Request(_BATCH_END, "NFNL_MSG_BATCH_END", f"table {table}", _HEADER.pack(0, 0, 10)),
            )


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction did to one table. table: "" where news were lost: anything may have been changed."""

    generation: int
    family: int
    table: str
    elements_only: bool


class Monitor:
    """News of all changes in the namespace of the thread that made it, from then on. Safe for use by several threads."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        except OSError as error:
            raise errors.KernelError("socket", "AF_NETLINK nftables", error.errno or 0) from error
        self._socket.setblocking(False)
        with contextlib.suppress(PermissionError):  # outside a namespace of ours the usual size must do
            self._socket.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), _MONITOR_BUFFER)
        try:
            self._socket.bind((0, 1 << (_GROUP_NFTABLES - 1)))
        except OSError as error:
            self._socket.close()
            raise errors.KernelError("bind", "AF_NETLINK nftables", error.errno or 0) from error
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, str], bool] = {}  # tables of the transaction whose end was not read yet

    def fileno(self) -> int:
        """Readable when there are news."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it; idempotent."""
        self._socket.close()

    def read(self) -> list[Change]:
        """What has happened since the last call; never waits."""
        changes: list[Change] = []
        with self._lock:
            while True:
                try:
                    data, _, _, sender = self._socket.recvmsg(1 << 17)
                except BlockingIOError:
                    return changes
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise errors.KernelError("recvmsg", "AF_NETLINK nftables", error.errno or 0) from error
                    self._pending.clear()
                    changes.append(Change(0, 0, "", elements_only=False))
                    continue
                if sender[0] == 0:
                    for kind, payload in netlink.messages(data):
                        changes += self._take(kind, payload)

    def _take(self, kind: int, payload: bytes) -> list[Change]:
        """Note the table of a message; the changes of a transaction that ends with this one."""
        if kind == _NEWGEN:
            raw = netlink.attributes(payload, _HEADER.size).get(_GEN_ID, b"")
            generation = int.from_bytes(raw, "big")
            done = [Change(generation, *table, only) for table, only in self._pending.items()]
            self._pending.clear()
            return done
        if kind >> 8 == _SUBSYSTEM >> 8 and len(payload) >= _HEADER.size:
            table = payload[0], netlink.string(netlink.attributes(payload, _HEADER.size), _TABLE_ATTRIBUTE)
            self._pending[table] = kind in (_NEWSETELEM, _DELSETELEM) and self._pending.get(table, True)
        return []


def _element_requests(
    table: str, elements: Sequence[Element], kind: int, name: str, flags: int
) -> Iterator[netlink.Request]:
    """Requests with as many elements of one set each as a message can hold."""
    by_set: dict[str, list[Element]] = {}
    for element in elements:
        by_set.setdefault(element.set, []).append(element)
    for set_name, members in by_set.items():
        for part in _parts([_encoded(member, with_value=kind == _NEWSETELEM) for member in members]):
            payload = _HEADER.pack(INET, 0, 0) + netlink.text(_LIST_TABLE, table) + netlink.text(_LIST_SET, set_name)
            payload += netlink.nested(_LIST_ELEMENTS, *part)
            yield netlink.Request(kind, name, f"table {table} set {set_name}", payload, flags)


def _parts(encoded: Iterable[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for one in encoded:
        if part and size + len(one) > _MESSAGE_LIMIT:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one)
    yield part


def _encoded(element: Element, *, with_value: bool) -> bytes:
    members = netlink.nested(_ELEMENT_KEY, netlink.attribute(_DATA_VALUE, element.key))
    if element.end:
        members += netlink.nested(_ELEMENT_KEY_END, netlink.attribute(_DATA_VALUE, element.end))
    if with_value and element.value:
        members += netlink.nested(_ELEMENT_DATA, netlink.attribute(_DATA_VALUE, element.value))
    return netlink.nested(_LIST_ELEMENT, members)
