"""Networks as edges ask for them (see `facade.NetworksFacade`)."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence

from pouch.engine import clock, endpoints, events, network_plan, predefined, shelf, views, wiring
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.network import files as network_files
from pouch.network import firewall, policy
from pouch.network import subnet as subnets
from pouch.spec import container, errors, ids, label, moment, network

log = logging.getLogger(__name__)

_FILTERS = frozenset(("until", "label", "label!"))


class Networks:
    """The facade's networks."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._networks = equipment.networks
        self._shelf = containers
        self._lock = asyncio.Lock()
        """Held by whoever changes the list of networks."""

    # -- the networks -------------------------------------------------------------------------------------------------

    async def create(self, config: network.NetworkConfig) -> tuple[str, builtins.list[str]]:
        """See the facade."""
        config = network_plan.check(config)
        async with self._lock:
            if self._networks.find(config.name) is not None:
                raise errors.Conflict(f"network with name {config.name} already exists")
            made = await self._equipment.pools.fs(self._make, config, tuple(self._networks))
            self._networks.add(made)
        events.of_network(self._equipment.events, made, "create")
        return made.id, []

    def _make(self, config: network.NetworkConfig, others: tuple[network.Network, ...]) -> network.Network:
        """Choose, note, and then make; what a killed daemon has noted, the next one makes."""
        equipment, now = self._equipment, self._equipment.clock.now_ns()
        id_ = ids.new_id()
        link = network_plan.link(config, id_)
        for other in others:
            if link == other.link and network.Driver.BRIDGE in (config.driver, other.driver):
                raise errors.Conflict(f"network {config.name}: {link} belongs to network {other.name}")
        with subnets.choosing():
            taken = subnets.occupied(link, network_files.host_servers())
            config = network_plan.complete(config, others, taken, self._choose)
            made = network.Network(id=id_, created=clock.rfc3339(now), config=config, link=link)
            self._networks.note(made, now)
            try:
                equipment.links.claim(made)
            except BaseException:
                self._unmake(made)
                raise
        try:
            equipment.links.ensure(made)
        except BaseException:
            self._unmake(made)
            raise
        return made

    def _unmake(self, one: network.Network) -> None:
        with contextlib.suppress(errors.PouchError):
            self._equipment.links.remove(one)
        self._equipment.database.delete_network(one.id)

    def _choose(self, version: int, taken: Sequence[subnets.Occupied]) -> str:
        pools = self._equipment.settings.address_pools
        if version == 4:
            return str(subnets.choose(taken, pools=pools))
        return str(subnets.choose6(taken, seed=self._equipment.daemon_id, pools=pools))

    async def list(self) -> builtins.list[views.NetworkView]:
        """See the facade."""
        return [views.NetworkView(network=one) for one in self._networks]

    async def get(self, ref: str) -> views.NetworkView:
        """See the facade."""
        one = self._networks.get(ref)
        members = [
            views.Member(container_id=other.id, container_name=other.record.name, endpoint=place)
            for other in self._shelf
            if other.running
            for place in other.record.state.endpoints
            if place.network_id == one.id
        ]
        equipment = self._equipment
        taken = [row.address for row in await equipment.pools.db(equipment.database.addresses, one.id)]
        return views.NetworkView(network=one, members=tuple(members), taken=tuple(taken))

    async def remove(self, ref: str) -> None:
        """See the facade."""
        async with self._lock:
            one = self._networks.get(ref)
            if one.predefined:
                raise errors.Forbidden(f"{one.name} is a pre-defined network and cannot be removed")
            await self._remove(one)

    async def _remove(self, one: network.Network) -> None:
        if await self._networks.doom(one):
            raise errors.Forbidden(
                f"error while removing network: network {one.name} has active endpoints{self._endpoints(one)}",
                hint="stop or disconnect its containers: pouch network inspect names them",
            )
        try:
            await self._equipment.pools.fs(self._equipment.links.remove, one)
        except errors.PouchError:
            await self._networks.spare(one)
            raise
        await self._networks.delete(one)
        events.of_network(self._equipment.events, one, "destroy")

    def _endpoints(self, one: network.Network) -> str:
        """Who is in it, as Docker lists them; "" where they have left meanwhile."""
        found = sorted(
            (other.record.name, place.id[:12])
            for other in self._shelf
            for place in other.record.state.endpoints
            if place.network_id == one.id
        )
        told = ", ".join(f'name:"{name}" id:"{id}"' for name, id in found)
        return f" ({told})" if told else ""

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> builtins.list[str]:
        """See the facade."""
        unknown = filters.keys() - _FILTERS
        if unknown:
            raise errors.InvalidInput(f"invalid filter '{min(unknown)}'", hint=", ".join(sorted(_FILTERS)))
        now = self._equipment.clock.now_ns()
        until = min((moment.seconds(text, now / 1e9) for text in filters.get("until", ())), default=now / 1e9)
        limit = clock.rfc3339(int(until * 1e9))
        removed = []
        async with self._lock:
            used = {name for one in self._shelf for name in one.record.networks}
            for one in builtins.list(self._networks):
                wanted = label.fit(one.config.labels, filters.get("label", ()), filters.get("label!", ()))
                if one.predefined or one.name in used or one.created > limit or not wanted:
                    continue
                with contextlib.suppress(errors.Forbidden):  # somebody has just begun to use it
                    await self._remove(one)
                    removed.append(one.name)
        self._equipment.events.publish("network", "prune", "", {"reclaimed": "0"})
        return removed

    # -- membership ---------------------------------------------------------------------------------------------------

    async def connect(self, ref: str, container_ref: str, config: network.EndpointConfig) -> None:
        """See the facade."""
        one, other = self._networks.get(ref), self._shelf.get(container_ref)
        async with other.lock:
            _require(other)
            self._check_connect(one, other.record)
            endpoints.check(one, config)
            if other.running:
                await self._connect_running(one, other, config)
                return
            self._networks.member(one.name)
            await self._shelf.save(other, _with_network(other.record, one.name, config))

    def _check_connect(self, one: network.Network, record: records.Record) -> None:
        kind, _ = network.mode(record.config.host.network_mode)
        if kind in (network.Mode.CONTAINER, network.Mode.NAMESPACE):
            raise errors.InvalidInput(
                "container sharing network namespace with another container or host cannot be connected to any other network"
            )
        if kind is network.Mode.HOST or network.Driver(one.driver) is network.Driver.HOST:
            raise errors.InvalidInput("container cannot be disconnected from host network or connected to host network")
        if predefined.NONE in (*record.networks, one.name) and record.networks:
            raise errors.InvalidInput(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )
        if one.name in record.networks:
            raise errors.Forbidden(f"endpoint with name {record.name} already exists in network {one.name}")

    async def _connect_running(
        self, one: network.Network, other: shelf.Container, config: network.EndpointConfig
    ) -> None:
        """What is wanted is noted before it is done; an error takes it back, and so does the next daemon where this one ends."""
        equipment, run = self._equipment, other.require_running()
        given = await equipment.pools.db(
            equipment.database.reserve_addresses, other.id, endpoints.requests(one, config)
        )
        interface = endpoints.free_interface([place.interface for place in other.record.state.endpoints])
        wanted = endpoints.endpoint(other.record, one, config, given, interface)
        try:
            record = dataclasses.replace(_with_network(other.record, one.name, config), connecting=one.name)
            record = record.with_state(endpoints=(*record.state.endpoints, wanted))
            await self._shelf.save(other, record)
            done = await equipment.pools.fs(wiring.extend, equipment, record, (one, wanted))
        except Exception:
            await self._leave(other, one.name, one.id)
            raise
        if other.record.run is not run:  # it has ended meanwhile, and was cleaned up before all of it was there
            await self._after_end(done)
            return
        now = dataclasses.replace(other.record, connecting="")
        await self._shelf.note(other, now.with_state(endpoints=done.state.endpoints))
        placed = next(place for place in done.state.endpoints if place.id == wanted.id)
        events.of_membership(equipment.events, placed, "connect", other.id)

    async def disconnect(self, ref: str, container_ref: str, force: bool = False) -> None:
        """See the facade."""
        other = self._shelf.get(container_ref)
        async with other.lock:
            _require(other)
            record = other.record
            name = ref if ref in record.networks else self._networks.get(ref).name
            if predefined.HOST in record.networks or name == predefined.HOST:
                raise errors.InvalidInput(
                    "container cannot be disconnected from host network or connected to host network"
                )
            place = next((one for one in record.state.endpoints if one.network_name == name), None)
            if name not in record.networks and place is None:
                raise errors.Forbidden(f"container {other.id} is not connected to network {name}")
            await self._shelf.save(other, _without_network(record, name))
            if place is not None and other.running:
                await self._disconnect_running(other, place, force=force)

    async def _disconnect_running(self, other: shelf.Container, place: network.Endpoint, *, force: bool) -> None:
        equipment, run = self._equipment, other.require_running()
        try:
            done = await equipment.pools.fs(wiring.retract, equipment, other.record, place)
        except errors.PouchError as error:
            if other.record.run is run and not force:
                raise
            log.warning("container %s: leaving network %s: %s", other.id[:12], place.network_name, error)
            done = None
        if other.record.run is not run:
            if done is not None:
                await self._after_end(done)
            return
        await self._leave(other, place.network_name, place.network_id)
        events.of_membership(equipment.events, place, "disconnect", other.id)

    async def _leave(self, other: shelf.Container, name: str, network_id: str) -> None:
        """Note that a container is not in a network, and give its address back."""
        record = _without_network(other.record, name)
        left = tuple(endpoints.routed([one for one in record.state.endpoints if one.network_name != name]))
        record = dataclasses.replace(record, connecting="").with_state(endpoints=left)
        await self._shelf.note(other, record)
        await self._equipment.pools.db(self._equipment.database.release_addresses, other.id, network_id)

    async def _after_end(self, record: records.Record) -> None:
        """Once more what `cleanup` does: a change that was under way when the container ended may have come after it."""
        equipment = self._equipment
        await equipment.pools.fs(wiring.take_away, equipment, record)
        await equipment.pools.db(equipment.database.release_addresses, record.id)

    # -- at the daemon's start ----------------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Have the networks that were there, before any container is started. What is missing of them costs only those that need it."""
        pools, links = self._equipment.pools, self._equipment.links
        for one in self._networks.doomed():
            log.info("network %s: its removal was interrupted and is carried on", one.name)
            await pools.fs(links.remove, one)
            await self._networks.delete(one)
        for container_ in self._shelf:  # of before there were networks
            places = container_.record.state.endpoints
            if any(not place.network_id for place in places):
                bridge = self._networks.get(predefined.BRIDGE)
                known = tuple(
                    place if place.network_id else dataclasses.replace(place, network_id=bridge.id) for place in places
                )
                await self._shelf.note(container_, container_.record.with_state(endpoints=known))
        self._load()
        for one in self._networks:
            if one.predefined or one.driver not in (network.Driver.BRIDGE, network.Driver.MACVLAN):
                continue
            try:
                await pools.fs(links.claim, one)
            except errors.PouchError as error:
                log.warning("network %s: %s", one.name, error)

    async def put_right(self) -> None:
        """After the containers are found again: finish what was begun of their joining and leaving, and let nothing be left of others.

        An interrupted `connect` is taken back: nobody was told that it was done.
        """
        equipment = self._equipment
        running = [one for one in self._shelf if one.running]
        for one in running:
            await self._put_right(one)
        if any(not one.predefined for one in self._networks) or any(one.record.state.endpoints for one in running):
            await equipment.pools.fs(self._ensure_all)
            await equipment.pools.fs(self._reattach, [one.record for one in running])
        keep = {place.host_link for one in running for place in one.record.state.endpoints}
        await equipment.pools.fs(equipment.links.reconcile, keep)
        await self._give_back_lost()

    def _load(self) -> None:
        """Tell the firewall what is wanted of it."""
        restricted = {}
        for one in self._shelf:
            found = policy.restriction(one.id, wiring.host_links(one.record), one.record.config.host.network_policy)
            if one.running and found is not None:
                restricted[one.id] = found
        self._equipment.firewall.load(self._networks, self._published(), restricted)

    def _published(self) -> dict[str, firewall.Published]:
        """What is published of containers that run, or did when the last daemon ended."""
        found: dict[str, firewall.Published] = {}
        for one in self._shelf:
            at = endpoints.published_at(one.record.state.endpoints)
            if one.running and at is not None and one.record.state.ports:
                found[one.id] = (one.record.state.ports, at.ipv4, at.ipv6)
        return found

    def _ensure_all(self) -> None:
        for one in self._networks:
            try:
                self._equipment.links.ensure(one)
            except errors.PouchError as error:
                log.warning("network %s: %s", one.name, error)

    def _reattach(self, running: Sequence[records.Record]) -> None:
        """Plug in again what somebody unplugged from our bridges, whose ports then are told anew what is published."""
        known = {one.id: one for one in self._networks}
        places = [place for record in running for place in record.state.endpoints if place.network_id in known]
        done = self._equipment.links.reattach([(known[place.network_id], place) for place in places])
        for record in running:
            if done.isdisjoint(wiring.host_links(record)):
                continue
            log.warning("container %s: its links were taken from their bridges, and are put back", record.id[:12])
            try:
                wiring.publish(self._equipment, record)
            except errors.PouchError as error:
                log.warning("container %s: %s", record.id[:12], error)

    async def _put_right(self, one: shelf.Container) -> None:
        async with one.lock:
            record = one.record
            if record.connecting:
                record = _without_network(record, record.connecting)
                await self._shelf.note(one, dataclasses.replace(record, connecting=""))
            for place in one.record.state.endpoints:
                if place.network_name not in one.record.networks and one.running:
                    log.info("container %s: it leaves network %s, as was begun", one.id[:12], place.network_name)
                    await self._disconnect_running(one, place, force=True)

    async def _give_back_lost(self) -> None:
        """Addresses that were taken for a place that never came to be, or is no more."""
        database, pools = self._equipment.database, self._equipment.pools
        having = {
            (one.id, place.network_id)
            for one in self._shelf
            if one.record.run is not None or one.record.intent is records.Intent.START
            for place in one.record.state.endpoints
        }
        for row in await pools.db(database.addresses):
            if (row.container, row.network) not in having:
                await pools.db(database.release_addresses, row.container, row.network)


def _require(one: shelf.Container) -> None:
    if one.removed or one.record.state.status in (container.Status.REMOVING, container.Status.DEAD):
        raise errors.Conflict(
            f"container {one.id} is marked for removal and cannot be connected or disconnected to the network"
        )


def _with_network(record: records.Record, name: str, config: network.EndpointConfig) -> records.Record:
    return dataclasses.replace(record, networks={**record.networks, name: config})


def _without_network(record: records.Record, name: str) -> records.Record:
    return dataclasses.replace(record, networks={key: value for key, value in record.networks.items() if key != name})
