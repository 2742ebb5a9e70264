"""Images as edges ask for them (see `facade.ImagesFacade`): look, name, remove."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence

from pouch.engine import create, events, image_details, shelf, views
from pouch.engine import equipment as tools
from pouch.image import images as image_room
from pouch.image import platforms
from pouch.spec import descriptor, errors, moment, reference


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
        return [_listed(image) for image in await self._equipment.pools.db(self._equipment.images.list)]

    async def get(self, ref: str) -> views.ImageView:
        """See the facade."""
        return await self._equipment.pools.db(self._looked_at, ref)

    def _looked_at(self, ref: str) -> views.ImageView:
        equipment = self._equipment
        found = equipment.images.get(ref)
        return image_details.detailed(
            view(found), found, equipment.images, equipment.paths, driver=equipment.snapshots.driver
        )

    async def named(self, names: Iterable[str]) -> Mapping[str, str]:
        """See the facade."""
        return await self._equipment.pools.db(self._equipment.images.named, names)

    async def shared_sizes(self) -> Mapping[str, int]:
        """See the facade."""
        used = await self._equipment.pools.db(self._equipment.images.usage)
        return {id: use.shared for id, use in used.images.items()}

    async def check_platform(self, ref: str, platform: str) -> None:
        """See the facade. A variant that is not asked for fits."""
        wanted = platforms.parse(platform)
        config = (await self._equipment.pools.db(self._equipment.images.get, ref)).config
        actual = descriptor.Platform(architecture=config.architecture, os=config.os, variant=config.variant)
        if not platforms.fits(actual, wanted):
            raise errors.NotFound(
                f"image with reference {ref} was found but does not match the specified platform: "
                f"wanted {platforms.spell(wanted)}, actual: {platforms.spell(actual)}"
            )

    async def tag(self, ref: str, name: str) -> None:
        """See the facade."""
        await self._equipment.pools.db(self._equipment.images.tag, ref, name)
        found = await self.get(ref)
        familiar = image_room.familiar(reference.Reference.parse(name).canonical())
        events.of_image(self._equipment.events, "tag", found.id, familiar, found.config.get("Labels"))

    async def remove(self, ref: str, force: bool = False) -> builtins.list[tuple[str, str]]:
        """See the facade."""
        found = await self._equipment.pools.db(self._equipment.images.get, ref)
        # milliseconds: what is removed is moved away and deleted behind the answer; not behind loads and pulls either
        removed = await self._equipment.pools.fs(
            self._equipment.images.remove, ref, force=force, in_use=users(self._shelf)
        )
        self._publish(removed, found.id, (found.config.config or {}).get("Labels"))
        return removed

    def _publish(self, removed: Sequence[tuple[str, str]], id: str = "", labels: object = None) -> None:
        """id: of the image that names were taken from, with these labels; else that of the image that is deleted next."""
        for number, (kind, what) in enumerate(removed):
            deleted = next((other for how, other in removed[number:] if how != "Untagged"), "")
            actor = id or deleted or what
            if kind == "Untagged":
                events.of_image(self._equipment.events, "untag", actor, actor, labels)
            else:
                self._equipment.events.publish("image", "delete", what, {"name": what})

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> views.PruneView:
        """See the facade."""
        wanted = dict(filters)
        dangling = all(_truth("dangling", text) for text in wanted.pop("dangling", []))
        until = [moment.seconds(text, self._equipment.clock.now_ns() / 1e9) for text in wanted.pop("until", [])]
        labels, without = wanted.pop("label", []), wanted.pop("label!", [])
        if wanted:
            raise errors.InvalidInput(f"invalid filter '{min(wanted)}'", hint="dangling, until, label, label!")
        await self._equipment.pools.long(self._equipment.downloads.discard)  # what failed pulls have got
        done = await self._equipment.pools.long(
            self._equipment.images.prune,
            dangling=dangling,
            until=min(until, default=None),
            labels=labels,
            without=without,
        )
        self._publish(done.removed)
        self._equipment.events.publish("image", "prune", "", {"reclaimed": str(done.reclaimed)})
        return views.PruneView(done.removed, done.reclaimed)

    async def history(self, ref: str) -> Sequence[Mapping[str, object]]:
        """See the facade."""
        found = await self._equipment.pools.db(self._equipment.images.get, ref)
        return await self._equipment.pools.db(self._equipment.images.history, found)


def users(containers: shelf.Shelf) -> dict[str, list[image_room.User]]:
    """The containers by the id of their image."""
    found: dict[str, list[image_room.User]] = {}
    for one in containers:
        found.setdefault(one.record.image_id, []).append(image_room.User(one.id, running=one.running))
        former = one.record.upgrade.former if one.record.upgrade is not None else None
        if former is not None and former.image_id != one.record.image_id:
            found.setdefault(former.image_id, []).append(image_room.User(one.id, running=one.running))
    return found


def _truth(key: str, text: str) -> bool:
    """A boolean of a filter, as Go reads it."""
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise errors.InvalidInput(f"invalid filter '{key}={text}'", hint="true or false")


def _listed(image: image_room.Summary) -> views.ImageView:
    """An image of a list: of its configuration only the labels, so that a list of a thousand reads none."""
    return views.ImageView(
        id=image.id,
        tags=image.tags,
        digests=image.digests,
        created=image.created,
        size=image.size,
        architecture="",
        os="",
        config={"Labels": dict(image.labels)},
        layers=(),
    )


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
        variant=image.config.variant,
        comment=_comment(image),
    )


def _comment(image: image_room.Image) -> str:
    found = (image.config.history or ({},))[-1].get("comment")
    return found if isinstance(found, str) else ""
