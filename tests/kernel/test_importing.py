"""Import: a root file system's tar in any packing becomes an image of one layer; what is wrong with it is one clear error."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import pytest
import zstandard
from support import committed, images, kernel

from pouch.image import importing
from pouch.spec import errors

pytestmark = kernel.needs(kernel.overlay_mounts, kernel.device_nodes)
ROOT = images.layer(images.directory("etc"), images.file("etc/motd", "hello"), images.device("null", 1, 3))
PACKED = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


@pytest.fixture
def it():
    made = committed.Committed("overlay")
    yield made
    made.close()


def imported(it, data, **more):
    wanted = {"changes": (), "platform": "", "created": "2025-01-01T00:00:00Z", **more}
    said = []
    id = importing.import_(it.store, io.BytesIO(data), importing.request(**wanted), lambda *told: said.append(told))
    return it.store.get(id)


@pytest.mark.parametrize("packing", PACKED)
def test_every_packing_makes_the_same_image(it, packing):
    image = imported(it, PACKED[packing](ROOT))
    assert image.id == imported(it, ROOT).id
    assert image.config.rootfs.diff_ids == (images.sha256(ROOT),)
    assert it.seen(image)[b"/etc/motd"]["content"].startswith("5 ")


def test_what_the_image_says_of_itself(it):
    image = imported(
        it,
        ROOT,
        changes=["ENV A=1", 'CMD ["cat", "/etc/motd"]\nEXPOSE 80'],
        platform="linux/arm64/v8",
        references=["docker.io/library/root:1"],
        comment="from elsewhere",
    )
    assert (image.config.architecture, image.config.variant, image.tags) == ("arm64", "v8", ("root:1",))
    assert image.config.config == {"Env": ["A=1"], "Cmd": ["cat", "/etc/motd"], "ExposedPorts": {"80/tcp": {}}}
    assert image.config.history == ({"created": "2025-01-01T00:00:00Z", "comment": "from elsewhere"},)
    assert len(it.store.blobs(image)) == 1


def test_the_hosts_platform_is_taken_where_none_is_given(it):
    assert imported(it, ROOT).config.os == "linux"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", errors.InvalidInput, "nothing to import: the tar is empty"),
        (b"no tar " * 1000, errors.CorruptData, "root file system: damaged tar: a header"),
        (ROOT[:600], errors.CorruptData, "root file system: damaged tar: it ends early"),
        (gzip.compress(ROOT)[:-20], errors.CorruptData, "root file system"),
        (images.layer(images.file("../escape")), errors.CorruptData, "leads out of the layer"),
    ],
)
def test_what_is_wrong_leaves_nothing(it, data, error, message):
    with pytest.raises(error, match=message):
        imported(it, data)
    assert it.store.list() == []


def test_a_stream_that_breaks_leaves_nothing(it):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 600:
                raise OSError(5, "Input/output error")
            return super().read(min(size, 300))

    wanted = importing.request(changes=(), platform="", created="2025-01-01T00:00:00Z")
    with pytest.raises(errors.Unavailable, match="root file system: it cannot be read any further"):
        importing.import_(it.store, Broken(ROOT), wanted, lambda *told: None)
    assert it.store.list() == []


def test_what_is_wrong_with_the_wishes_is_said_before_anything_is_read():
    with pytest.raises(errors.InvalidInput, match="RUN is not a valid change command"):
        importing.request(changes=["RUN x"], platform="", created="")
    with pytest.raises(errors.InvalidInput, match="platform"):
        importing.request(changes=[], platform="a/b/c/d", created="")
