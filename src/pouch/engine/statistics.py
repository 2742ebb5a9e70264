"""What containers use (see `facade.StatisticsFacade`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pouch.engine import equipment as tools
from pouch.engine import shelf, views
from pouch.spec import errors


class Statistics:
    """The facade's statistics."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers

    async def watch(self, ref: str, *, stream: bool = True, one_shot: bool = False) -> AsyncIterator[views.Sample]:
        """See the facade."""
        raise errors.Unsupported(f"what container {self._shelf.get(ref).id} uses cannot be read yet")
