"""Who is called what in which network, and which of it a container may know. Pure; names are keys as in `names.message`."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from pouch.names import message


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A container's place in one network. names: the first is shown for its address; addresses: 4 or 16 bytes each."""

    network_id: str
    network_name: str
    names: tuple[str, ...]
    addresses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One container. servers: who is asked for names that are not ours, None: those of the host."""

    id: str
    members: tuple[Member, ...] = ()
    servers: tuple[str, ...] | None = None
    internal: bool = False
    """Whether nobody may be asked for it: it is in internal networks only."""


class _Network:
    """What one network knows."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.members = 0
        self.names: dict[bytes, dict[str, tuple[bytes, ...]]] = {}
        """Addresses by container by name."""
        self.owners: dict[bytes, tuple[str, Member]] = {}
        """Container and member by address."""

    def add(self, owner: str, member: Member) -> None:
        self.members += 1
        for name in member.names:
            self.names.setdefault(key(name), {})[owner] = member.addresses
        for address in member.addresses:
            self.owners[address] = (owner, member)

    def remove(self, owner: str, member: Member) -> None:
        self.members -= 1
        for name in member.names:
            owners = self.names.get(key(name), {})
            owners.pop(owner, None)
            if not owners:
                self.names.pop(key(name), None)
        for address in member.addresses:
            if self.owners.get(address, ("",))[0] == owner:
                del self.owners[address]


class Book:
    """All containers. A change costs as much as the container has names, a question as much as the asker has networks."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._networks: dict[str, _Network] = {}
        self._turn = 0

    def put(self, entry: Entry) -> None:
        """Write it down, in place of what is there of this container."""
        self.drop(entry.id)
        self.entries[entry.id] = entry
        for member in entry.members:
            network = self._networks.setdefault(member.network_id, _Network(key(member.network_name)))
            network.add(entry.id, member)

    def drop(self, owner: str) -> None:
        """Forget a container; idempotent."""
        entry = self.entries.pop(owner, None)
        for member in entry.members if entry else ():
            network = self._networks[member.network_id]
            network.remove(owner, member)
            if not network.members:
                del self._networks[member.network_id]

    def addresses(self, asker: Entry, name: bytes, kinds: Sequence[int]) -> list[bytes] | None:
        """The addresses of these sizes (4, 16) that `asker` finds under a name, its networks in their order, the first that has some.

        []: the name is known, without such addresses. None: it is not known. Where several containers share a name, each comes first
        in its turn. `name.network` is found as well, as with Docker.
        """
        known = False
        for owners in self._owners(asker, name):
            known = True
            found = [one for addresses in owners.values() for one in addresses if len(one) in kinds]
            if found:
                self._turn += 1
                start = self._turn % len(found)
                return found[start:] + found[:start]
        return [] if known else None

    def _owners(self, asker: Entry, name: bytes) -> list[dict[str, tuple[bytes, ...]]]:
        networks = [self._networks[member.network_id] for member in asker.members]
        plain = [network.names[name] for network in networks if name in network.names]
        if plain:
            return plain
        first, dot, last = name.rpartition(b".")
        return [network.names[first] for network in networks if dot and network.name == last and first in network.names]

    def names(self, asker: Entry, address: bytes) -> list[str] | None:
        """What a container is called that has this address in one of the asker's networks: name and network; None where nobody has it.

        All of its names, the first one first.
        """
        for member in asker.members:
            owner = self._networks[member.network_id].owners.get(address)
            if owner is not None:
                suffix = f".{member.network_name}" if member.network_name else ""
                return [f"{name}{suffix}" for name in owner[1].names]
        return None


def key(name: str) -> bytes:
    """A name as it is looked up."""
    return name.encode("utf-8", "replace").lower().rstrip(b".")


def member(network_id: str, network_name: str, names: Sequence[str], addresses: Sequence[str]) -> Member:
    """A member from texts. Raises ValueError for what is no address."""
    return Member(
        network_id=network_id,
        network_name=network_name,
        names=tuple(names),
        addresses=tuple(ipaddress.ip_address(one).packed for one in addresses if one),
    )


def answer(book: Book, asker: Entry, query: message.Query, *, stream: bool) -> bytes | None:
    """Our own answer to a query; None where the name is not ours. stream: it goes by TCP."""
    if query.version:
        return message.failed(query, message.BAD_VERSION)
    if query.kind != message.INTERNET:
        return None
    if query.type == message.PTR:
        address = message.reverse(query.name)
        names = book.names(asker, address) if address else None
        return None if names is None else message.pointed(query, names)
    kinds = {message.A: (4,), message.AAAA: (16,), message.ANY: (4, 16)}.get(query.type, ())
    found = book.addresses(asker, query.name, kinds)
    return None if found is None else message.addressed(query, found, stream=stream)
