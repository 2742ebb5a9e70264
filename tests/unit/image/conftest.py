"""An image store whose layers are noted but empty: enough for everything that unpacks nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import pytest

from pouch.image import images
from pouch.spec import descriptor, digest, manifest, reference
from pouch.store import content, db, paths


class Store:
    """An image store with a quick way to have images."""

    def __init__(self, top):
        self.paths = paths.Paths(f"{top}/l", f"{top}/r")
        self.paths.ensure()
        self.database = None
        self.open("this boot")

    def open(self, boot):
        """Begin again, as a daemon of this boot of the host does."""
        if self.database is not None:
            self.database.close()
        self.database = db.Database(self.paths.db, boot=boot)
        self.images = images.Images(self.paths, self.database, content.Content(self.paths, self.database))

    def image(
        self, *names, layers=("base",), created="2024-01-01T00:00:00Z", config=None, history=None, whole=False, **more
    ):
        """An image with these names; its layers are called by words. whole: with blobs (the words themselves) and a manifest."""
        diff_ids = [digest.of_bytes(name.encode()) for name in layers]
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": created,
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        if history is not None:
            document["history"] = history
        chain = digest.chain_ids(diff_ids)
        for position, (chain_id, diff_id) in enumerate(zip(chain, diff_ids, strict=True)):
            os.makedirs(self.paths.layer(chain_id), exist_ok=True)
            self.database.insert_layer(
                db.LayerRow(chain_id, diff_id, chain[position - 1] if position else "", 10 * (position + 1))
            )
        canonical = [name if "@" in name else reference.Reference.parse(name).canonical() for name in names]
        raw = json.dumps(document).encode()
        if not whole:
            return self.images.add(raw, canonical)
        with self.images.lease(chain) as lease:
            lease.add(diff_ids)
            for name in layers:
                self.images.content.put(name.encode())
            blobs = [
                descriptor.Descriptor(descriptor.DOCKER_LAYER, digest.of_bytes(name.encode()), len(name))
                for name in layers
            ]
            return self.images.add(raw, canonical, manifest_raw=manifest.docker_manifest(raw, blobs), **more)

    def left(self):
        """Names of everything on the disk that is a layer or a blob, and what is unfinished."""
        found = [*os.listdir(self.paths.layers), *os.listdir(self.paths.blobs), *os.listdir(self.paths.tmp)]
        return sorted(found)

    def use(self, image, *users):
        """Containers of an image, noted; what `remove` is told of them."""
        for user in users:
            self.database.insert_container(user.id, user.id, 1, b"{}", image_id=image.id)
        return {image.id: list(users)}


@pytest.fixture
def store():
    top = tempfile.mkdtemp(prefix="p", dir="/tmp")
    made = Store(top)
    yield made
    made.database.close()
    shutil.rmtree(top)
