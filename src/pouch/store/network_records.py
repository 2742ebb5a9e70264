"""Records of networks and of who has which address in them: the part of `store.db` that gives no address twice and loses none.

The lowest free address is found, taken and given back in time that grows with the logarithm of what is given: free addresses are kept as
ranges that neither overlap nor touch, and each change of the list of owners changes them in the same transaction (decision 0034).
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pouch.spec import errors

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Range = tuple[int, int]
"""First and last."""


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One network as noted. created: nanoseconds since 1970; record: the engine's own document; doomed: its removal was begun."""

    id: str
    name: str
    created: int
    record: bytes
    doomed: bool = False


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One subnet (CIDR) of a network. reserved: addresses that no container gets: gateway, auxiliary ones."""

    subnet: str
    reserved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddressRequest:
    """One address that a container needs. within: CIDR, "" for all of the subnet; wanted: this one and no other."""

    network: str
    subnet: str
    within: str = ""
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class AddressRow:
    """An address and who has it."""

    network: str
    address: str
    container: str


class NetworkRecords:
    """See `db.Database`, whose part it is. Every method is one transaction."""

    def _transaction(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    # -- networks -----------------------------------------------------------------------------------------------------

    def insert_network(
        self, id: str, name: str, created_ns: int, record: bytes, *, pools: Sequence[PoolRow] = ()
    ) -> None:
        """Note a new one with its addresses, all free. Conflict in Docker's sentence when the name is taken."""
        with self._transaction() as run:
            if run.execute("SELECT 1 FROM networks WHERE name = ?", (name,)).fetchone() is not None:
                raise errors.Conflict(f"network with name {name} already exists")
            run.execute(
                "INSERT INTO networks (id, name, created, record) VALUES (?, ?, ?, ?)", (id, name, created_ns, record)
            )
            for pool in pools:
                _lay_out(run, id, pool)

    def change_network(self, id: str, record: bytes, *, pools: Sequence[PoolRow]) -> None:
        """Replace the record and the pools; addresses that are in none of these any more are forgotten, the others keep their owners."""
        with self._transaction() as run:
            if run.execute("UPDATE networks SET record = ? WHERE id = ?", (record, id)).rowcount != 1:
                raise errors.NotFound(f"network {id} not found")
            run.execute("DELETE FROM free_addresses WHERE network = ?", (id,))
            kept = [pool.subnet for pool in pools]
            marks = ", ".join("?" * len(kept))
            run.execute(f"DELETE FROM addresses WHERE network = ? AND subnet NOT IN ({marks})", (id, *kept))  # noqa: S608
            for pool in pools:
                _lay_out(run, id, pool)

    def doom_network(self, id: str) -> tuple[str, ...]:
        """Let nobody have an address in it from now on; the containers that have one already, which keep it from being doomed."""
        with self._transaction() as run:
            rows = run.execute("SELECT DISTINCT container FROM addresses WHERE network = ?", (id,)).fetchall()
            if not rows:
                run.execute("UPDATE networks SET doomed = 1 WHERE id = ?", (id,))
        return tuple(str(row[0]) for row in rows)

    def spare_network(self, id: str) -> None:
        """Take a doom back."""
        with self._transaction() as run:
            run.execute("UPDATE networks SET doomed = 0 WHERE id = ?", (id,))

    def delete_network(self, id: str) -> None:
        """Forget it; an unknown one is fine. Conflict where a container has an address in it."""
        with self._transaction() as run:
            if run.execute("SELECT 1 FROM addresses WHERE network = ? LIMIT 1", (id,)).fetchone() is not None:
                raise errors.Conflict(f"network {id} has active endpoints")
            run.execute("DELETE FROM networks WHERE id = ?", (id,))

    def networks(self) -> list[NetworkRow]:
        """All, oldest first."""
        with self._transaction() as run:
            rows = run.execute("SELECT id, name, created, record, doomed FROM networks ORDER BY created, id").fetchall()
        return [NetworkRow(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows]

    # -- addresses ----------------------------------------------------------------------------------------------------

    def reserve_addresses(self, container: str, requests: Sequence[AddressRequest]) -> tuple[str, ...]:
        """An address for each request, the lowest free one; that which the container has in the subnet already, where it fits. All or none.

        Raises NotFound for a network that is gone, Unavailable where a subnet is full, Forbidden for a wanted one that is taken.
        """
        with self._transaction() as run:
            return tuple(_reserve(run, container, one) for one in requests)

    def release_addresses(self, container: str, network: str | None = None) -> None:
        """Give back the addresses of a container, in one network or in all."""
        with self._transaction() as run:
            release(run, container, network)

    def addresses(self, network: str | None = None) -> list[AddressRow]:
        """Who has which, in one network or in all, in their order."""
        where, arguments = ("WHERE network = ?", (network,)) if network is not None else ("", ())
        with self._transaction() as run:
            rows = run.execute(
                f"SELECT network, address, container FROM addresses {where} ORDER BY network, subnet, address",  # noqa: S608
                arguments,
            ).fetchall()
        return [AddressRow(row[0], str(ipaddress.ip_address(row[1])), row[2]) for row in rows]

    def adopt_addresses(self, bridge: str, network: str, subnet: str) -> None:
        """Take over what an earlier version noted under the bridge's name; addresses that do not fit any more are forgotten."""
        with self._transaction() as run:
            rows = run.execute(
                "SELECT address, container FROM bridge_addresses WHERE network = ?", (bridge,)
            ).fetchall()
            for address, container in rows:
                with contextlib.suppress(errors.PouchError):
                    _reserve(run, container, AddressRequest(network, subnet, wanted=address))
            run.execute("DELETE FROM bridge_addresses WHERE network = ?", (bridge,))


def release(run: Any, container: str, network: str | None = None) -> None:
    """See `NetworkRecords.release_addresses`; inside a transaction."""
    where, arguments = ("AND network = ?", (container, network)) if network is not None else ("", (container,))
    rows = run.execute(
        f"SELECT network, subnet, address FROM addresses WHERE container = ? {where}",  # noqa: S608
        arguments,
    ).fetchall()
    for one, subnet, address in rows:
        run.execute("DELETE FROM addresses WHERE network = ? AND subnet = ? AND address = ?", (one, subnet, address))
        _give_back(run, one, subnet, address)


def _reserve(run: Any, container: str, request: AddressRequest) -> str:
    key = (request.network, request.subnet)
    row = run.execute("SELECT name, doomed FROM networks WHERE id = ?", (request.network,)).fetchone()
    if row is None or row[1]:
        raise errors.NotFound(f"network {row[0] if row else request.network} not found")
    within = ipaddress.ip_network(request.within or request.subnet)
    low, high = within.network_address.packed, within.broadcast_address.packed
    if request.wanted:
        low = high = ipaddress.ip_address(request.wanted).packed
    own = run.execute(
        "SELECT address FROM addresses WHERE container = ? AND network = ? AND subnet = ?", (container, *key)
    ).fetchone()
    if own is not None:
        if low <= own[0] <= high:
            return str(ipaddress.ip_address(own[0]))
        run.execute("DELETE FROM addresses WHERE network = ? AND subnet = ? AND address = ?", (*key, own[0]))
        _give_back(run, *key, own[0])
    found = _lowest(run, key, low, high)
    if found is None:
        raise _none_left(row[0], request)
    first, last, address = found
    run.execute("DELETE FROM free_addresses WHERE network = ? AND subnet = ? AND first = ?", (*key, first))
    _insert_free(run, key, ((first, _moved(address, -1)),) if first < address else ())
    _insert_free(run, key, ((_moved(address, 1), last),) if address < last else ())
    run.execute("INSERT INTO addresses VALUES (?, ?, ?, ?)", (*key, address, container))
    return str(ipaddress.ip_address(address))


def _none_left(name: str, request: AddressRequest) -> errors.PouchError:
    if request.wanted:
        return errors.Forbidden(f"Address already in use: {request.wanted} in network {name}")
    family = "IPv6" if ":" in request.subnet else "IPv4"
    return errors.Unavailable(
        f"no available {family} addresses on this network's address pools: {name} ({request.within or request.subnet})",
        hint="remove containers that are no longer needed",
    )


def _lowest(run: Any, key: tuple[str, str], low: bytes, high: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The range that has the lowest free address from low to high, and that address."""
    around = run.execute(
        "SELECT first, last FROM free_addresses WHERE network = ? AND subnet = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (*key, low),
    ).fetchone()
    if around is not None and around[1] >= low:
        return around[0], around[1], low
    above = run.execute(
        "SELECT first, last FROM free_addresses WHERE network = ? AND subnet = ? AND first > ? AND first <= ? ORDER BY first LIMIT 1",
        (*key, low, high),
    ).fetchone()
    return None if above is None else (above[0], above[1], above[0])


def _give_back(run: Any, network: str, subnet: str, address: bytes) -> None:
    """Add an address to the free ones: its own range, or part of those that it touches."""
    first = last = address
    key = (network, subnet)
    below = run.execute(
        "SELECT first, last FROM free_addresses WHERE network = ? AND subnet = ? AND first < ? ORDER BY first DESC LIMIT 1",
        (*key, address),
    ).fetchone()
    if below is not None and below[1] == _moved(address, -1):
        first = below[0]
    above = run.execute(
        "SELECT first, last FROM free_addresses WHERE network = ? AND subnet = ? AND first = ?",
        (*key, _moved(address, 1)),
    ).fetchone()
    if above is not None:
        last = above[1]
        run.execute("DELETE FROM free_addresses WHERE network = ? AND subnet = ? AND first = ?", (*key, above[0]))
    run.execute("DELETE FROM free_addresses WHERE network = ? AND subnet = ? AND first = ?", (*key, first))
    _insert_free(run, key, ((first, last),))


def _insert_free(run: Any, key: tuple[str, str], ranges: Iterable[tuple[bytes, bytes]]) -> None:
    run.executemany("INSERT INTO free_addresses VALUES (?, ?, ?, ?)", [(*key, *one) for one in ranges])


def _moved(address: bytes, by: int) -> bytes:
    """The neighbour of a packed address; a pool never begins or ends at the end of its family's addresses."""
    return (int.from_bytes(address, "big") + by).to_bytes(len(address), "big")


def _lay_out(run: Any, network: str, pool: PoolRow) -> None:
    """Free is what of the subnet is neither reserved nor somebody's."""
    subnet = ipaddress.ip_network(pool.subnet)
    rows = run.execute(
        "SELECT address FROM addresses WHERE network = ? AND subnet = ?", (network, pool.subnet)
    ).fetchall()
    taken = {int.from_bytes(row[0], "big") for row in rows} | {int(ipaddress.ip_address(one)) for one in pool.reserved}
    length = subnet.max_prefixlen // 8
    ranges = ((first.to_bytes(length, "big"), last.to_bytes(length, "big")) for first, last in _gaps(subnet, taken))
    _insert_free(run, (network, pool.subnet), ranges)


def _gaps(subnet: Network, taken: Collection[int]) -> Iterator[Range]:
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    if last - first > 1:  # the network's own address is nobody's, nor is the broadcast address of IPv4
        first, last = first + 1, last - (subnet.version == 4)
    for address in sorted(one for one in taken if first <= one <= last):
        if first < address:
            yield first, address - 1
        first = address + 1
    if first <= last:
        yield first, last
