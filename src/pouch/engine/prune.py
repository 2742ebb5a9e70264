"""Which containers a prune takes, and what that frees."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from pouch.engine import clock, shelf, usage
from pouch.engine import equipment as tools
from pouch.spec import container, errors, label, moment

log = logging.getLogger(__name__)

_FILTERS = ("until", "label", "label!")
_STANDING = (container.Status.CREATED, container.Status.EXITED, container.Status.DEAD)


class Pruning:
    """Prunes, one at a time."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._runs = False

    async def containers(
        self, filters: Mapping[str, Sequence[str]], remove: Callable[[str], Awaitable[None]]
    ) -> tuple[list[str], int]:
        """See `facade.ContainersFacade.prune`. remove: of one, by id; one that it refuses stays."""
        limit = self._limit(filters)
        if self._runs:
            raise errors.Conflict("a prune operation is already running")
        self._runs = True
        try:
            removed, freed = [], 0
            for one in sorted(self._shelf, key=lambda one: one.record.created, reverse=True):
                if not _wanted(one, filters, limit):
                    continue
                size = await self._equipment.pools.long(usage.size, self._equipment, one.id)
                try:
                    await remove(one.id)
                except errors.PouchError as error:  # somebody has just started or removed it
                    log.warning("container %s is not pruned: %s", one.id[:12], error)
                    continue
                removed.append(one.id)
                freed += size
        finally:
            self._runs = False
        self._equipment.events.publish("container", "prune", "", {"reclaimed": str(freed)})
        return removed, freed

    def _limit(self, filters: Mapping[str, Sequence[str]]) -> str:
        """The moment (RFC 3339) that they must be as old as; "" for no matter when."""
        unknown = filters.keys() - set(_FILTERS)
        if unknown:
            raise errors.InvalidInput(f"invalid filter '{min(unknown)}'", hint=", ".join(_FILTERS))
        until = filters.get("until", ())
        if len(until) > 1:
            raise errors.InvalidInput("more than one until filter specified")
        if not until:
            return ""
        now = self._equipment.clock.now_ns()
        return clock.rfc3339(int(min(max(moment.seconds(until[0], now / 1e9), 0) * 1e9, now)))


def _wanted(one: shelf.Container, filters: Mapping[str, Sequence[str]], limit: str) -> bool:
    record = one.record
    if record.state.status not in _STANDING or one.supervisor is not None or one.starting is not None:
        return False
    if limit and record.created > limit:
        return False
    return label.fit(record.labels, filters.get("label", ()), filters.get("label!", ()))
