"""An image store whose layers are noted but empty: enough for everything that unpacks nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import pytest

from pouch.image import images
from pouch.spec import digest, reference
from pouch.store import content, db, paths


class Store:
    """An image store with a quick way to have images."""

    def __init__(self, top):
        self.paths = paths.Paths(f"{top}/l", f"{top}/r")
        self.paths.ensure()
        self.database = db.Database(self.paths.db)
        self.images = images.Images(self.paths, self.database, content.Content(self.paths, self.database))

    def image(self, *names, layers=("base",), created="2024-01-01T00:00:00Z", config=None, history=None):
        """An image with these names; its layers are called by words."""
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
        return self.images.add(json.dumps(document).encode(), canonical)

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
