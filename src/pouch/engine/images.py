"""Images as edges ask for them (see `facade.ImagesFacade`): look, name, remove."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence

from pouch.engine import create, shelf, views
from pouch.engine import equipment as tools
from pouch.image import images as image_room
from pouch.spec import errors


class Images:
    """The facade's images."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers

    async def template(self, ref: str) -> create.Template:
        """What a new container needs of an image. Raises NotFound with Docker's sentence."""
        found = await self._equipment.pools.db(self._equipment.images.get, ref)
        return create.Template(id=found.id, layers=found.layers, config=found.config.config or {})

    async def list(self) -> builtins.list[views.ImageView]:
        """See the facade."""
        found = await self._equipment.pools.db(self._equipment.images.list)
        return sorted((view(image) for image in found), key=lambda view: view.created, reverse=True)

    async def get(self, ref: str) -> views.ImageView:
        """See the facade."""
        return view(await self._equipment.pools.db(self._equipment.images.get, ref))

    async def tag(self, ref: str, name: str) -> None:
        """See the facade."""
        await self._equipment.pools.db(self._equipment.images.tag, ref, name)
        found = await self.get(ref)
        self._equipment.events.publish("image", "tag", found.id, {"name": name})

    async def remove(self, ref: str, force: bool = False) -> builtins.list[tuple[str, str]]:
        """See the facade."""
        removed = await self._equipment.pools.long(
            self._equipment.images.remove, ref, force=force, in_use=users(self._shelf)
        )
        for kind, what in removed:
            self._equipment.events.publish("image", "untag" if kind == "Untagged" else "delete", what, {"name": what})
        return removed

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> views.PruneView:
        """See the facade."""
        raise errors.Unsupported("this version does not prune images")

    async def history(self, ref: str) -> Sequence[Mapping[str, object]]:
        """See the facade."""
        found = await self._equipment.pools.db(self._equipment.images.get, ref)
        return await self._equipment.pools.db(self._equipment.images.history, found)


def users(containers: shelf.Shelf) -> dict[str, list[image_room.User]]:
    """The containers by the id of their image."""
    found: dict[str, list[image_room.User]] = {}
    for one in containers:
        found.setdefault(one.record.image_id, []).append(image_room.User(one.id, running=one.running))
    return found


def view(image: image_room.Image) -> views.ImageView:
    """An image as edges see it."""
    return views.ImageView(
        id=image.id,
        tags=image.tags,
        digests=image.digests,
        created=image.created,
        size=image.size,
        architecture=image.config.architecture,
        os=image.config.os,
        config=image.config.config or {},
        layers=image.config.rootfs.diff_ids,
        author=image.config.author or "",
    )
