"""What inspect says of an image beyond its configuration: its manifest, and where its files are."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping

from pouch.engine import views
from pouch.image import images as image_room
from pouch.spec import descriptor, errors, manifest
from pouch.store import paths as store_paths

OVERLAY = "overlay2"


def detailed(
    view: views.ImageView,
    image: image_room.Image,
    images: image_room.Images,
    places: store_paths.Paths,
    *,
    driver: str,
) -> views.ImageView:
    """The view with manifest and directories. Blocking: reads one small blob."""
    return dataclasses.replace(
        view,
        driver=driver,
        graph=directories(places, image.layers) if driver == OVERLAY else {},
        manifest=described(images, image),
    )


def directories(places: store_paths.Paths, chain: tuple[str, ...]) -> Mapping[str, str]:
    """The layers' directories with the overlay's words: the topmost is the upper one. chain: chain-ids, bottom first."""
    if not chain:
        return {}
    *lower, upper = [places.layer(one) for one in chain]
    found = {"UpperDir": upper}
    if lower:
        found["LowerDir"] = ":".join(reversed(lower))
    return found


def described(images: image_room.Images, image: image_room.Image) -> views.ManifestView | None:
    """What its manifest is, and its blobs weigh; None for an image that was kept without one, or whose manifest is damaged."""
    try:
        raw = images.manifest(image)
        blobs = sum(row.size for row in images.blobs(image))
        shape = manifest.decode(manifest.Shape, raw, "manifest")
    except errors.PouchError:
        return None
    return views.ManifestView(
        digest=image.manifest_digest,
        media_type=shape.media_type or descriptor.OCI_MANIFEST,
        size=len(raw),
        content_size=len(raw) + len(image.raw) + blobs,
        unpacked_size=image.size,
    )


def labels(store: image_room.Images, id: str) -> object:
    """The labels of an image, as its configuration says; None for one that is gone. Blocking."""
    with contextlib.suppress(errors.NotFound):
        return (store.get(id).config.config or {}).get("Labels")
    return None
