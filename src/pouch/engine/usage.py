"""What of the disk images and containers take, with Docker's keys (`GET /system/df`)."""

from __future__ import annotations

import asyncio
from collections import Counter

from pouch.engine import equipment as tools
from pouch.engine import shelf, volumes
from pouch.image import images as image_room
from pouch.spec import errors
from pouch.store import db, measure

Document = dict[str, object]


async def usage(equipment: tools.Equipment, containers: shelf.Shelf, keeper: volumes.Volumes) -> Document:
    """Images from the records; containers by looking at every file they changed, in threads.

    An image's Size here is what it takes of the disk: its layers' tars as they unpack and its blobs as they came; SharedSize what of
    it other images stand on too; ReclaimableSize (ours), what of all would go with the images that have no container.
    Containers have Id, SizeRw and SizeRootFs only: what else they are, `list` says. Volumes are views, with their sizes.
    """
    pools, images = equipment.pools, equipment.images
    used = await pools.db(images.usage)
    listed = await pools.db(images.list)
    users = Counter(one.record.image_id for one in containers)
    found = [(one.id, one.record.image_id) for one in containers]
    sizes = await asyncio.gather(*(pools.long(size, equipment, id) for id, _ in found))
    whole = {image.id: image.size for image in listed}
    return {
        "LayersSize": used.total,
        "ReclaimableSize": used.reclaimable,
        "Images": [_image(image, used, users[image.id]) for image in listed],
        "Containers": [
            {"Id": id, "SizeRw": own, "SizeRootFs": own + whole.get(image_id, 0)}
            for (id, image_id), own in zip(found, sizes, strict=True)
        ],
        "Volumes": await keeper.usage(),
        "BuildCache": [],
        "BuilderSize": 0,
    }


def _image(image: image_room.Summary, used: image_room.Usage, containers: int) -> Document:
    use = used.images.get(image.id, db.Use(image.id, image.size, 0))  # one that came between the two looks
    return {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.digests),
        "Created": image_room.seconds(image.created),
        "Size": use.size,
        "VirtualSize": use.size,
        "SharedSize": use.shared,
        "Labels": dict(image.labels) or None,
        "Containers": containers,
    }


def size(equipment: tools.Equipment, id: str) -> int:
    """Bytes of the disk that a container's own files take; 0 for one that is being removed. Blocking."""
    try:
        return measure.used(equipment.snapshots.tree(id))
    except (OSError, errors.PouchError):  # it is being removed
        return 0
