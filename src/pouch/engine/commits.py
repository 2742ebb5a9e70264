"""Containers' files as images and tars (see `facade.CommitsFacade`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from pouch.engine import equipment as tools
from pouch.engine import progress, shelf
from pouch.spec import errors


class Commits:
    """The facade's commits."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, jobs: progress.Jobs) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._jobs = jobs

    async def commit(
        self,
        ref: str,
        name: str = "",
        *,
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        config: Mapping[str, object] | None = None,
        pause: bool = True,
    ) -> str:
        """See the facade."""
        raise errors.Unsupported(f"{ref}: this version does not commit")

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """See the facade."""
        raise errors.Unsupported(f"{ref}: this version does not export")
