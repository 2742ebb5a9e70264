"""What loading keeps besides files: layers as they came, and the manifest."""

from __future__ import annotations

import gzip
import json
import os

import pytest
from support import images, loading
from support.loading import LOWER, UPPER, WHOLE, picture

from pouch.spec import digest, errors

pytestmark = loading.needed


@pytest.fixture
def store():
    with loading.opened() as made:
        yield made


def kept(store, name):
    """An image's manifest and its layers' blobs."""
    image = store.images.get(name)
    blobs = []
    for row in store.images.blobs(image):
        with store.images.content.open(row.digest) as file:
            blobs.append((row, file.read()))
    return json.loads(store.images.manifest(image)), blobs


def test_plain_layers_become_gzip_blobs_and_a_manifest_of_dockers(store):
    store.load(images.docker_archive(None, picture("web:1")))
    manifest, blobs = kept(store, "web:1")
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert manifest["config"]["digest"] == picture().id
    assert [layer["digest"] for layer in manifest["layers"]] == [images.sha256(blob) for _, blob in blobs]
    assert [row.media_type for row, _ in blobs] == ["application/vnd.docker.image.rootfs.diff.tar.gzip"] * 2
    assert [gzip.decompress(blob) for _, blob in blobs] == [LOWER, UPPER]
    assert [row.diff_id for row, _ in blobs] == [images.sha256(LOWER), images.sha256(UPPER)]


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_compressed_layers_of_a_docker_archive_are_kept_as_they_are(store, form):
    packed = [WHOLE[form](layer) for layer in (LOWER, UPPER)]
    files = {"c.json": picture().document(), "0.tar": packed[0], "1.tar": packed[1]}
    files["manifest.json"] = json.dumps(
        [{"Config": "c.json", "RepoTags": ["web:1"], "Layers": ["0.tar", "1.tar"]}]
    ).encode()
    store.load(images.archive_of(None, files))
    _, blobs = kept(store, "web:1")
    assert [blob for _, blob in blobs] == packed
    assert all(row.media_type.endswith(f"tar{'.gzip' if form == 'gzip' else '+zstd'}") for row, _ in blobs)


@pytest.mark.parametrize("form", ["plain", "gzip", "zstd"])
def test_an_oci_layouts_manifest_and_blobs_are_kept_to_the_byte(store, form):
    files = images.oci_files(picture("web:1"), compress=WHOLE[form])
    store.load(images.archive_of(None, files))
    top = json.loads(files["index.json"])["manifests"][0]["digest"]
    image = store.images.get("web:1")
    assert store.images.manifest(image) == files["blobs/sha256/" + top[7:]]
    for row in store.images.blobs(image):
        assert store.images.content.read(row.digest) == files["blobs/sha256/" + row.digest[7:]]


@pytest.mark.parametrize("layout", ["the same", "of other files", "of plain layers", "damaged", "with a wrong digest"])
def test_an_oci_manifest_beside_dockers_is_kept_where_it_is_of_the_same_compressed_layers(store, layout):
    files = images.oci_files(picture(), compress=None if layout == "of plain layers" else images.zipped)
    top = json.loads(files["index.json"])["manifests"][0]["digest"]
    raw = files[f"blobs/sha256/{top[7:]}"]
    body = json.loads(raw)
    places = [f"blobs/sha256/{one['digest'][7:]}" for one in (body["config"], *body["layers"])]
    if layout == "of other files":
        files |= {"other": files[places[2]]}
        places[2] = "other"
    elif layout == "damaged":
        files["index.json"] = b"{"
    elif layout == "with a wrong digest":
        files[f"blobs/sha256/{top[7:]}"] = raw + b" "
    entry = {"Config": places[0], "RepoTags": ["web:1"], "Layers": places[1:]}
    files["manifest.json"] = json.dumps([entry]).encode()
    assert store.load(images.archive_of(None, files)) == ["web:1"]
    image = store.images.get("web:1")
    assert image.id == picture().id
    assert (store.images.manifest(image) == raw) == (layout == "the same")
    assert [gzip.decompress(store.images.content.read(row.digest)) for row in store.images.blobs(image)] == [
        LOWER,
        UPPER,
    ]


def test_the_same_archive_in_another_form_adds_no_blob(store):
    store.load(images.oci_archive(None, picture("oci:1"), compress=images.zipped))
    before = set(store.images.content.all())
    store.load(images.docker_archive(None, picture("docker:1")))
    manifests = {digest.of_bytes(store.images.manifest(store.images.get("docker:1")))}
    assert set(store.images.content.all()) - before <= manifests


def test_a_blob_that_is_lost_comes_back_with_the_next_load(store):
    data = images.docker_archive(None, picture("web:1"))
    store.load(data)
    lost = store.images.blobs(store.images.get("web:1"))[1].digest
    os.unlink(store.places.blob(lost))
    store.load(data)
    assert gzip.decompress(store.images.content.read(lost)) == UPPER


def test_a_layer_that_is_unpacked_already_takes_no_other_bytes_for_its_blob(store):
    """Who knows a layer's digest cannot have other bytes kept and pushed under it."""
    store.load(images.docker_archive(None, picture("web:1")))
    for row in store.images.blobs(store.images.get("web:1")):
        os.unlink(store.places.blob(row.digest))
    forged = images.layer(images.file("etc/b", "forged"))
    with pytest.raises(errors.CorruptData, match=f"layer {images.sha256(UPPER)}: its content has the digest"):
        store.load(
            images.docker_archive(
                None, picture("evil:1", layers=[LOWER, forged], diff_ids=[images.sha256(LOWER), images.sha256(UPPER)])
            )
        )
    assert store.read(store.images.get("web:1"), "etc/b") == "b"
    assert len(store.images.list()) == 1
