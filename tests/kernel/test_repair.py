"""A power cut, played: unflushed layers are unpacked again from their blobs, as they were; what cannot be is given up."""

from __future__ import annotations

import io
import os
import shutil
import tempfile

import pytest
import zstandard
from support import images, loading, treedigest

from pouch.image import images as image_room
from pouch.image import load, silent
from pouch.spec import digest
from pouch.store import content, db, paths

pytestmark = loading.needed

LOWER = images.layer(
    images.directory("etc", uid=7),
    images.file("etc/a", "a" * 5000, mode=0o4755),
    images.hardlink("etc/link", "etc/a"),
    images.file("etc/gone", "x"),
    images.device("null", 1, 3),
)
UPPER = images.layer(
    images.directory("etc"),
    images.whiteout("etc/gone"),
    images.directory("new"),
    images.opaque("new"),
    images.file("new/b", "b"),
)
PICTURE = images.Picture(layers=[LOWER, UPPER], config={"Cmd": ["sh"]}, tags=("web:1",))
ARCHIVES = {
    "docker": lambda: images.docker_archive(None, PICTURE),
    "oci gzip": lambda: images.oci_archive(
        None, PICTURE, compress=images.zipped, media="application/vnd.oci.image.layer.v1.tar+gzip"
    ),
    "oci zstd": lambda: images.oci_archive(
        None,
        PICTURE,
        compress=zstandard.ZstdCompressor().compress,
        media="application/vnd.oci.image.layer.v1.tar+zstd",
    ),
    "oci plain": lambda: images.oci_archive(None, PICTURE),
}


class Store:
    """A store that one boot after the other opens."""

    def __init__(self, top):
        self.places = paths.Paths(f"{top}/l", f"{top}/r")
        self.places.ensure()
        self.database = None
        self.open("one")

    def open(self, boot):
        if self.database is not None:
            self.database.close()
        self.database = db.Database(self.places.db, boot=boot)
        self.images = image_room.Images(self.places, self.database, content.Content(self.places, self.database))
        self.images.tidy()

    def trees(self, image):
        """The digest of each layer's files; a whiteout's own time is nobody's."""
        found = [treedigest.listing(self.places.layer(chain_id)) for chain_id in image.layers]
        found[1][b"/etc/gone"].pop("mtime")
        return [treedigest.of(tree) for tree in found]


@pytest.fixture
def store():
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    made = Store(top)
    yield made
    made.database.close()
    shutil.rmtree(top)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_layers_are_made_again_as_they_were(store, kind):
    load.load(store.images, io.BytesIO(ARCHIVES[kind]()), silent)
    image = store.images.get("web:1")
    before = store.trees(image)
    os.truncate(f"{store.places.layer(image.layers[0])}/etc/a", 0)
    shutil.rmtree(store.places.layer_home(image.layers[1]))
    store.open("two")
    assert store.trees(store.images.get("web:1")) == before
    store.images.flush()
    assert store.database.doubtful().layers == ()
    assert os.listdir(store.places.tmp) == []


def test_a_truncated_blob_takes_its_image_along_and_a_load_brings_it_back(store, caplog):
    load.load(store.images, io.BytesIO(ARCHIVES["oci gzip"]()), silent)
    image = store.images.get("web:1")
    before = store.trees(image)
    blob = store.images.blobs(image)[1].digest
    os.truncate(store.places.blob(blob), 10)
    store.open("two")
    assert f"web:1: blob {blob} is damaged; its names are removed: pull or load it again" in caplog.text
    assert store.images.list() == []
    assert os.listdir(store.places.layers) == store.images.content.all() == []
    load.load(store.images, io.BytesIO(ARCHIVES["oci gzip"]()), silent)
    assert store.trees(store.images.get("web:1")) == before


def test_a_blob_that_does_not_unpack_to_its_diff_id_takes_its_image_along(store):
    """The blob is whole by its digest, but not the layer it was noted for: nothing that a power cut does, but a disk may."""
    load.load(store.images, io.BytesIO(ARCHIVES["oci plain"]()), silent)
    image = store.images.get("web:1")
    with store.images.lease() as lease:
        lease.add([digest.of_bytes(b"other")])
        store.images.content.put(b"other")
        with store.database._transaction() as run:
            run.execute("UPDATE image_blobs SET digest = ? WHERE position = 1", (digest.of_bytes(b"other"),))
        shutil.rmtree(store.places.layer_home(image.layers[1]))
    store.open("two")
    assert store.images.list() == []
