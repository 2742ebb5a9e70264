"""An image store of a test's own that archives are really loaded into: for tests on the real kernel. `pytestmark = loading.needed`."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import shutil
import tempfile

import pytest
import zstandard
from support import images

from pouch.image import images as image_room
from pouch.image import load, silent, unpack
from pouch.spec import errors
from pouch.store import content, db, paths


def _probe() -> str:
    home = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    try:
        os.mkdir(f"{home}/fs")
        unpack.unpack(io.BytesIO(images.layer(images.file("x", uid=5))), home, (), "probe")
        return ""
    except (errors.PouchError, OSError) as error:
        return f"layers cannot be unpacked here: {error}"
    finally:
        shutil.rmtree(home)


REASON = _probe()
needed = pytest.mark.skipif(bool(REASON), reason=REASON)

HERE = "amd64" if os.uname().machine == "x86_64" else "arm64"
LOWER = images.layer(images.directory("etc"), images.file("etc/a", "a"))
UPPER = images.layer(images.file("etc/b", "b"))


def picture(*tags, **more):
    return images.Picture(**{"layers": [LOWER, UPPER], "config": {"Cmd": ["sh"]}, "tags": tags, **more})


class Store:
    """An image store that knows what an empty one looks like."""

    def __init__(self, top):
        self.places = paths.Paths(f"{top}/l", f"{top}/r")
        self.places.ensure()
        self.database = db.Database(self.places.db)
        self.images = image_room.Images(self.places, self.database, content.Content(self.places, self.database))

    def load(self, data, report=silent, **options):
        return load.load(self.images, data if hasattr(data, "read") else io.BytesIO(data), report, **options)

    def left(self):
        """Everything in the store: layers, blobs, unfinished things, records."""
        return (
            os.listdir(self.places.layers),
            self.images.content.all(),
            os.listdir(self.places.tmp),
            self.database.images(),
            self.database.layers(),
        )

    def read(self, image, path):
        for chain_id in reversed(image.layers):
            if os.path.exists(f"{self.places.layer(chain_id)}/{path}"):
                with open(f"{self.places.layer(chain_id)}/{path}") as file:
                    return file.read()
        raise AssertionError(f"{path} is in no layer")


@contextlib.contextmanager
def opened():
    """A store of one test."""
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    made = Store(top)
    try:
        yield made
    finally:
        made.database.close()
        shutil.rmtree(top)


NOTHING = ([], [], [], [], [])

WHOLE = {
    "plain": None,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
