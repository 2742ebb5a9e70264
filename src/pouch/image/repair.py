"""After a power cut: blobs are the truth, unpacked layers can be made again of them (decision 0022).

What another boot wrote and did not flush may be there, half there or gone, whatever its record says. Blobs are compared with their
digests; layers are thrown away and unpacked again; an image that cannot be had from its blobs any more loses its names.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from typing import TYPE_CHECKING

from pouch.image import silent
from pouch.spec import digest, errors
from pouch.store import content, db

if TYPE_CHECKING:
    from pouch.image import images

log = logging.getLogger(__name__)


def repair(store: images.Images, database: db.Database) -> None:
    """Compare records with what is there, at the daemon's start, before anything is made. Blocking; seconds after a power cut."""
    doubtful = database.doubtful()
    blobs = {blob for blob in database.blobs() if not os.path.exists(store.paths.blob(blob))}
    for blob in set(doubtful.blobs) - blobs:
        if _is_whole(store, blob, database.find_blob(blob)):
            database.confirm_blob(blob)
        else:
            blobs.add(blob)
    layers = {row.chain_id for row in database.layers() if not os.path.isdir(store.paths.layer(row.chain_id))}
    layers.update(doubtful.layers)
    if not blobs and not layers:
        return
    log.warning(
        "after a power cut or a damage of the disk: %d blobs are lost, %d layers are made anew", len(blobs), len(layers)
    )
    store.collector.bury([*map(store.paths.blob, blobs), *map(store.paths.layer_home, layers)])
    for row in database.images():
        try:
            _put_right(store, database, row, blobs, layers)
        except errors.CorruptData as error:
            _give_up(database, row, str(error))
        except errors.PouchError as error:  # a full disk, say: the next start tries again
            log.error("image %s cannot be put right: %s", _name(row), error)  # noqa: TRY400
    store.collector.collect()


def _put_right(
    store: images.Images, database: db.Database, row: db.ImageRow, blobs: set[str], layers: set[str]
) -> None:
    """Unpack those layers of an image that are not there. Raises CorruptData where that cannot be done."""
    own = database.image_blobs(row.id)
    lost = blobs & {row.id, row.manifest_digest, *(one.digest for one in own)}
    if lost:
        raise errors.CorruptData(f"blob {min(lost)} is damaged")
    missing = [position for position, chain_id in enumerate(row.layers) if chain_id in layers]
    if missing and not own:
        raise errors.CorruptData(f"layer {row.layers[missing[0]]} is damaged")
    for position in missing:
        blob = own[position]
        log.info("image %s: layer %s is unpacked again", _name(row), blob.diff_id)
        opened = functools.partial(store.content.open, blob.digest)
        store.layers.ensure(row.layers[: position + 1], blob.diff_id, opened, silent, again=True)


def _give_up(database: db.Database, row: db.ImageRow, why: str) -> None:
    """Take an image's names; its record goes with its last container."""
    log.error("image %s: %s; its names are removed: pull or load it again", _name(row), why)
    database.forget_blobs(row.id)
    database.remove_image(row.id, row.references, delete=True)


def _name(row: db.ImageRow) -> str:
    return row.references[0] if row.references else row.id


def _is_whole(store: images.Images, blob: str, size: int | None) -> bool:
    """Whether a blob's file has its size and its digest."""
    path = store.paths.blob(blob)
    if os.stat(path).st_size != size:
        return False
    hasher = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(content.PIECE):
                hasher.update(piece)
    except OSError as error:
        log.warning("blob %s cannot be read: %s", blob, error.strerror)
        return False
    return digest.of_hex(hasher.hexdigest()) == blob
