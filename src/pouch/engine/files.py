"""Files of containers (see `facade.FilesFacade`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pouch.engine import equipment as tools
from pouch.engine import shelf, views
from pouch.spec import errors
from pouch.store import measure


class Files:
    """The facade's files."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers

    async def stat(self, ref: str, path: str) -> views.PathStat:
        """See the facade."""
        raise errors.Unsupported(f"files of container {self._shelf.get(ref).id} cannot be looked at yet")

    async def get(self, ref: str, path: str) -> tuple[views.PathStat, AsyncIterator[bytes]]:
        """See the facade."""
        raise errors.Unsupported(f"files of container {self._shelf.get(ref).id} cannot be read yet")

    async def put(
        self,
        ref: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        """See the facade."""
        raise errors.Unsupported(f"files of container {self._shelf.get(ref).id} cannot be written yet")

    async def sizes(self, ref: str) -> tuple[int, int]:
        """See the facade."""
        one = self._shelf.get(ref)
        written = await self._equipment.pools.long(self._written, one.id)
        return written, written + await self._equipment.pools.db(self._image_size, one.record.image_id)

    def _written(self, id: str) -> int:
        try:
            return measure.used(self._equipment.snapshots.tree(id))
        except (OSError, errors.PouchError):  # it is being removed
            return 0

    def _image_size(self, image_id: str) -> int:
        try:
            return self._equipment.images.get(image_id).size
        except errors.NotFound:  # removed by force
            return 0
