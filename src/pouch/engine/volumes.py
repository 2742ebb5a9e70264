"""Volumes as edges ask for them (see `facade.VolumesFacade`), and what containers need of them: making, mounting, removing.

Who has a volume is read off the containers' records: a container is noted, with the names of all its volumes, before they are made, and a
volume is removed in its name's turn. So one that a container names is never taken away under it.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from pouch.engine import equipment as tools
from pouch.engine import mounts, shelf, turns, views
from pouch.engine import record as records
from pouch.spec import container, errors, label, pattern, volume

log = logging.getLogger(__name__)

Users = Mapping[str, Sequence[str]]
"""Ids of containers by the name of a volume."""


class Volumes:
    """The facade's volumes."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._turns = turns.Turns()

    # -- for clients --------------------------------------------------------------------------------------------------

    async def create(self, config: volume.VolumeConfig) -> views.VolumeView:
        """See the facade."""
        made = await self._make(mounts.with_name(config))
        return self._view(made, users(self._shelf))

    async def list(
        self, filters: Mapping[str, builtins.list[str]]
    ) -> tuple[builtins.list[views.VolumeView], builtins.list[str]]:
        """See the facade."""
        wanted = _predicate(filters)
        found, warnings = await self._equipment.pools.streams(self._equipment.volumes.list)
        used = users(self._shelf)
        return [self._view(one, used) for one in found if wanted(one, used)], builtins.list(warnings)

    async def get(self, name: str) -> views.VolumeView:
        """See the facade."""
        room = self._equipment.volumes
        found = await self._equipment.pools.streams(room.get, name)
        known, scope = await self._equipment.pools.streams(room.details, found)
        view = self._view(found, users(self._shelf))
        return dataclasses.replace(
            view, scope=scope, status=known.status, mountpoint=known.mountpoint or view.mountpoint
        )

    async def remove(self, name: str, force: bool = False) -> None:
        """See the facade."""
        try:
            await self._remove(name, force=force)
        except errors.NotFound:
            if not force:
                raise

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> tuple[builtins.list[str], int]:
        """See the facade. As with Docker, volumes of other drivers stay, and so do those that stand for something else (`o`, `device`)."""
        wanted = _prunable(filters)
        found, _ = await self._equipment.pools.streams(self._equipment.volumes.list)
        used = users(self._shelf)
        removed, reclaimed = [], 0
        for one in found:
            if one.name in used or not wanted(one):
                continue
            size = await self._size(one.name)
            try:
                await self._remove(one.name)
            except (errors.NotFound, errors.Conflict):  # somebody was faster
                continue
            removed.append(one.name)
            reclaimed += max(size, 0)
        self._equipment.events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return removed, reclaimed

    async def usage(self) -> builtins.list[views.VolumeView]:
        """All volumes of this host with their sizes."""
        found, _ = await self._equipment.pools.streams(self._equipment.volumes.list)
        used = users(self._shelf)
        return [self._view(one, used, await self._size(one.name)) for one in found if one.driver == volume.LOCAL]

    # -- for containers -----------------------------------------------------------------------------------------------

    async def ensure(self, record: records.Record) -> records.Record:
        """Have all volumes of a container that is noted; the record with the driver of each.

        Raises what the drivers raise; what was made till then stays.
        """
        drivers = {
            name: await self._ensure(name, one.volume or volume.VolumeMount())
            for name, one in mounts.volumes(record.mounts).items()
        }
        return dataclasses.replace(record, mounts=mounts.with_drivers(record.mounts, drivers))

    async def _ensure(self, name: str, wish: volume.VolumeMount) -> str:
        """A mount takes the volume there is, whatever its options and labels are; only another driver than it asks for is refused."""
        if not wish.anonymous:
            try:
                found = await self._equipment.pools.streams(self._equipment.volumes.get, name)
            except errors.NotFound:
                pass
            else:
                if wish.driver in ("", found.driver):
                    return found.driver
        config = volume.VolumeConfig(
            name=name,
            driver=wish.driver or volume.LOCAL,
            options=wish.options,
            labels=wish.labels,
            anonymous=wish.anonymous,
        )
        return (await self._make(mounts.with_name(config))).driver

    async def mount(self, record: records.Record) -> dict[str, str]:
        """Have a container's volumes mounted for it: directories of this host, by name. What it has got is for `cleanup`."""
        found: dict[str, str] = {}
        for name, one in mounts.volumes(record.mounts).items():
            found[name] = await self._equipment.pools.streams(self._equipment.volumes.mount, name, record.id)
            attributes = {"container": record.id, "destination": one.target, "propagation": "", "driver": _driver(one)}
            attributes["read/write"] = "false" if one.read_only else "true"
            self._equipment.events.publish("volume", "mount", name, attributes)
        return found

    async def remove_anonymous(self, record: records.Record) -> None:
        """Remove what was made for a container and belongs to no other; one that cannot be removed is logged and stays."""
        for name in mounts.anonymous(record.mounts):
            try:
                await self._remove(name, but=record.id)
            except (errors.NotFound, errors.Conflict):
                continue
            except errors.PouchError as error:
                log.warning("volume %s: %s", name, error)

    # -- steps --------------------------------------------------------------------------------------------------------

    async def _make(self, config: volume.VolumeConfig) -> volume.Volume:
        async with self._turns.of(config.name):
            made, new = await self._equipment.pools.streams(self._equipment.volumes.create, config)
        if new:
            self._equipment.events.publish("volume", "create", made.name, {"driver": made.driver})
        return made

    async def _remove(self, name: str, *, but: str = "", force: bool = False) -> None:
        async with self._turns.of(name):
            holders = [id for id in users(self._shelf).get(name, ()) if id != but]
            if holders:
                raise errors.Conflict(f"remove {name}: volume is in use - [{', '.join(holders)}]")
            removed = await self._equipment.pools.streams(
                functools.partial(self._equipment.volumes.remove, name, force=force)
            )
        self._equipment.events.publish("volume", "destroy", name, {"driver": removed.driver})

    async def _size(self, name: str) -> int:
        try:
            return await self._equipment.pools.long(self._equipment.volumes.usage, name)
        except (errors.PouchError, OSError):  # it is being removed
            return -1

    def _view(self, found: volume.Volume, used: Users, size: int = -1) -> views.VolumeView:
        return views.VolumeView(
            volume=found,
            mountpoint=self._equipment.volumes.mountpoint(found),
            size=size,
            users=tuple(used.get(found.name, ())),
        )


def users(containers: Iterable[shelf.Container]) -> dict[str, builtins.list[str]]:
    """The containers, running or not, by the volumes they have."""
    found: dict[str, list[str]] = {}
    for one in containers:
        for name in mounts.volumes(one.record.mounts):
            found.setdefault(name, []).append(one.id)
    return found


async def unmount(equipment: tools.Equipment, record: records.Record) -> None:
    """A container's run has ended: its volumes are mounted no more for it. Those that were not are fine."""
    for name, one in mounts.volumes(record.mounts).items():
        if await equipment.pools.streams(equipment.volumes.unmount, name, record.id):
            attributes = {"container": record.id, "driver": _driver(one)}
            equipment.events.publish("volume", "unmount", name, attributes)


async def restore(equipment: tools.Equipment, containers: shelf.Shelf) -> None:
    """At the daemon's start: what the last one had begun with volumes is finished; what containers need no more, they are about to let go."""
    begun = (records.Intent.START, records.Intent.REMOVE)
    holders = users(one for one in containers if one.record.run is not None or one.record.intent in begun)
    for trouble in await equipment.pools.streams(equipment.volumes.restore, holders):
        log.warning("%s", trouble)


def _driver(one: container.Mount) -> str:
    return (one.volume.driver if one.volume is not None else "") or volume.LOCAL


def _predicate(filters: Mapping[str, list[str]]) -> Callable[[volume.Volume, Users], bool]:
    """Docker's: values of one key are alternatives, keys must all match, and so must each label."""
    dangling = [_truth("dangling", text) for text in filters.get("dangling", ())]
    names, drivers = [_name(text) for text in filters.get("name", ())], filters.get("driver", ())
    labels = filters.get("label", ())

    def wanted(one: volume.Volume, used: Users) -> bool:
        return (
            (not dangling or (one.name not in used) in dangling)
            and (not drivers or one.driver in drivers)
            and (not names or any(each.search(one.name) for each in names))
            and label.fit(one.labels, labels)
        )

    return wanted


def _name(text: str) -> re.Pattern[str]:
    """What is no expression is a name, with Docker's volumes."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError):
        return re.compile(f"^{re.escape(text)}$")
    return pattern.compiled(text, "name")


def _truth(key: str, text: str) -> bool:
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise errors.InvalidInput(f"invalid filter '{key}={text}'", hint="true or false")


def _prunable(filters: Mapping[str, list[str]]) -> Callable[[volume.Volume], bool]:
    everything = any(_truth("all", text) for text in filters.get("all", ()))
    labels, without = filters.get("label", ()), filters.get("label!", ())

    def wanted(one: volume.Volume) -> bool:
        return (
            one.driver == volume.LOCAL
            and not one.options.keys() - {"size"}
            and (everything or one.anonymous)
            and label.fit(one.labels, labels, without)
        )

    return wanted
