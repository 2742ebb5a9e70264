"""All networks in memory, by id and name; changes go to the database first."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator

import msgspec

from pouch.engine import pools as thread_pools
from pouch.spec import errors, network
from pouch.store import db

log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(network.Network)


class NetworkShelf:
    """The networks. Reading is for the event loop's thread; `open_` is called before there is one."""

    def __init__(self, database: db.Database, pools: thread_pools.Pools) -> None:
        self._database = database
        self._pools = pools
        self._by_id: dict[str, network.Network] = {}
        self._by_name: dict[str, network.Network] = {}
        self._doomed: set[str] = set()

    def open_(self) -> None:
        """Read all, once. Blocking. Raises CorruptData."""
        for row in self._database.networks():
            try:
                self._add(_decoder.decode(row.record))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise errors.CorruptData(f"network {row.name}: its record cannot be read: {error}") from error
            if row.doomed:
                self._doomed.add(row.id)

    def __iter__(self) -> Iterator[network.Network]:
        return iter(sorted(self._by_id.values(), key=lambda one: one.name))

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, name: str) -> network.Network | None:
        """By name alone."""
        return self._by_name.get(name)

    def get(self, ref: str) -> network.Network:
        """By id, name or unique prefix of an id. Raises NotFound in Docker's sentence."""
        found = self._by_id.get(ref) or self._by_name.get(ref)
        if found is not None:
            return found
        if ref and all(digit in "0123456789abcdef" for digit in ref):
            matches = [one for id_, one in self._by_id.items() if id_.startswith(ref)]
            if len(matches) == 1:
                return matches[0]
            if len(matches) > 1:
                raise errors.InvalidInput(f"network {ref} is ambiguous ({len(matches)} matches found on ID prefix)")
        raise errors.NotFound(f"network {ref} not found")

    def member(self, name: str) -> network.Network:
        """The network of this name that a container belongs to. NotFound in Docker's sentence where it is gone."""
        kind, argument = network.mode(name)
        if kind is network.Mode.CNI:
            id_ = hashlib.sha256(name.encode()).hexdigest()
            config = network.NetworkConfig(name=name, driver=network.Driver.CNI)
            return network.Network(id=id_, created="", config=config, link=argument)
        found = self._by_name.get(name)
        if found is None or found.id in self._doomed:
            raise errors.NotFound(f"network {name} not found")
        return found

    def doomed(self) -> list[network.Network]:
        """Those whose removal was begun."""
        return [self._by_id[id_] for id_ in sorted(self._doomed)]

    def lay_down(self, one: network.Network, created_ns: int) -> network.Network:
        """Have a predefined network as it is to be now; the one that is there keeps its id and its time. Blocking, at the start."""
        before = self._by_name.get(one.name)
        if before is None:
            self._database.insert_network(one.id, one.name, created_ns, _encode(one), pools=pool_rows(one))
        else:
            one = network.Network(
                id=before.id, created=before.created, config=one.config, predefined=one.predefined, link=one.link
            )
            if one != before:
                self._database.change_network(one.id, _encode(one), pools=pool_rows(one))
        self._add(one)
        return one

    def note(self, one: network.Network, created_ns: int) -> None:
        """Write down a new one, which nobody finds before it is added. Blocking. Conflict in Docker's sentence when the name is taken."""
        self._database.insert_network(one.id, one.name, created_ns, _encode(one), pools=pool_rows(one))

    def add(self, one: network.Network) -> None:
        """Have it found from now on."""
        self._add(one)

    async def doom(self, one: network.Network) -> tuple[str, ...]:
        """From now on no container gets an address in it; those that have one, for which it is spared."""
        having = await self._pools.db(self._database.doom_network, one.id)
        if not having:
            self._doomed.add(one.id)
        return having

    async def spare(self, one: network.Network) -> None:
        """Its removal failed: it stays."""
        await self._pools.db(self._database.spare_network, one.id)
        self._doomed.discard(one.id)

    async def delete(self, one: network.Network) -> None:
        """Forget it."""
        await self._pools.db(self._database.delete_network, one.id)
        self._by_id.pop(one.id, None)
        self._by_name.pop(one.name, None)
        self._doomed.discard(one.id)

    def _add(self, one: network.Network) -> None:
        self._by_id[one.id] = one
        self._by_name[one.name] = one


def pool_rows(one: network.Network) -> list[db.PoolRow]:
    """What of its pools no container gets."""
    return [
        db.PoolRow(pool.subnet, tuple(address for address in (pool.gateway, *pool.aux_addresses.values()) if address))
        for pool in one.config.pools
    ]


def _encode(one: network.Network) -> bytes:
    return msgspec.json.encode(one)
