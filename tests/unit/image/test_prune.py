"""Which images a prune takes, and what images are said to take of the disk."""

from __future__ import annotations

import json

import pytest

from pouch.image import images
from pouch.spec import descriptor, digest, errors, manifest
from pouch.store import db

STOPPED = images.User("d" * 64)


def names(store):
    return sorted(image.tags[0] if image.tags else "-" for image in store.images.list())


def test_those_without_a_tag_go_and_those_with_a_container_stay(store):
    store.image("kept", layers=("a",))
    gone = store.image(layers=("a", "b"), whole=True)
    digested = store.image(f"docker.io/library/web@{digest.of_bytes(b'm')}", layers=("c",))
    used = store.image(layers=("d",))
    store.use(used, STOPPED)
    pruned = store.images.prune()
    assert {what for kind, what in pruned.removed if kind == "Deleted"} == {
        gone.id,
        digested.id,
        gone.layers[1],
        digested.layers[0],
    }
    assert ("Untagged", digested.digests[0]) in pruned.removed
    assert names(store) == ["-", "kept:latest"]
    # layer b's tar (20), c's (10), the blobs a and b (1 each), three documents
    documents = len(gone.raw) + len(digested.raw) + len(manifest_of(gone))
    assert pruned.reclaimed == 20 + 10 + 1 + 1 + documents
    assert store.images.prune() == images.Pruned((), 0)


def manifest_of(image):
    blobs = [descriptor.Descriptor(descriptor.DOCKER_LAYER, digest.of_bytes(word), 1) for word in (b"a", b"b")]
    return manifest.docker_manifest(image.raw, blobs)


def test_all_means_all_without_a_container(store):
    store.image("used", layers=("a",))
    store.use(store.images.get("used"), STOPPED)
    store.image("web:1", "web:2", layers=("b",))
    pruned = store.images.prune(dangling=False)
    assert [what for kind, what in pruned.removed if kind == "Untagged"] == ["web:1", "web:2"]
    assert names(store) == ["used:latest"]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"until": 1704153600}, ["new:latest"]),
        ({"labels": ["a"]}, ["new:latest"]),
        ({"labels": ["a=2"]}, ["new:latest", "old:latest"]),
        ({"labels": ["a=1", "b"]}, ["new:latest"]),
        ({"labels": ["a", "c"]}, ["new:latest", "old:latest"]),
        ({"without": ["a"]}, ["old:latest"]),
        ({"without": ["a=2"]}, []),
        ({"labels": ["a"], "without": ["b"]}, ["new:latest", "old:latest"]),
    ],
)
def test_filters(store, filters, left):
    store.image("old", layers=("1",), config={"Labels": {"a": "1", "b": ""}})
    store.image("new", layers=("2",), created="2024-01-03T00:00:00Z")
    store.images.prune(dangling=False, **filters)
    assert names(store) == left


def test_a_tag_given_while_the_prune_looks_saves_the_image(store, monkeypatch):
    made = store.image(layers=("a",))
    real = store.database.delete_image

    def meanwhile(id, **options):
        store.images.tag(made.id, "saved")
        return real(id, **options)

    monkeypatch.setattr(store.database, "delete_image", meanwhile)
    assert store.images.prune().removed == ()
    assert names(store) == ["saved:latest"]


def test_what_images_take(store):
    one = store.image("one", layers=("base", "one"), whole=True)
    two = store.image("two", layers=("base", "two", "two"), whole=True)
    old = store.image("old", layers=("old",))
    usage = store.images.usage()
    # tars: 10 for the lowest layer, 20, 30 above; blobs: as long as their words
    shared = 10 + len("base")
    assert (usage.images[one.id].size, usage.images[one.id].shared) == (shared + 20 + 3, shared)
    assert (usage.images[two.id].size, usage.images[two.id].shared) == (shared + 20 + 30 + 3, shared)
    assert (usage.images[old.id].size, usage.images[old.id].shared) == (10, 0)
    documents = [one.raw for one in (one, two, old)] + [store.images.manifest(image) for image in (one, two)]
    assert usage.reclaimable == usage.total
    store.use(one, STOPPED)
    kept = 10 + 20 + len("base") + len("one") + len(one.raw) + len(store.images.manifest(one))
    assert store.images.usage().reclaimable == usage.total - kept
    assert usage.total == (10 + 20 + 20 + 30 + 10) + (4 + 3 + 3) + sum(map(len, documents))


def test_what_an_image_came_as(store):
    made = store.image("web", layers=("a", "b"), whole=True)
    assert [row.digest for row in store.images.blobs(made)] == [digest.of_bytes(b"a"), digest.of_bytes(b"b")]
    assert digest.of_bytes(store.images.manifest(made)) == made.manifest_digest
    old = store.image("old", layers=("c",))
    for call in (store.images.blobs, store.images.manifest):
        with pytest.raises(errors.Unsupported, match="its layers were not kept as they came") as caught:
            call(old)
        assert caught.value.hint == "load or pull it again"


def test_an_image_kept_anew_with_its_blobs_has_them(store):
    old = store.image("web", layers=("a",))
    new = store.image("web", layers=("a",), whole=True)
    assert new.id == old.id
    assert store.images.blobs(new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"mediaType": "x", "digest": digest.of_bytes(b"x"), "size": 1}}, "its configuration is sha256:"),
        ({"layers": []}, "0 layers, its configuration has 1"),
    ],
)
def test_a_manifest_of_another_image_is_refused(store, change, message):
    made = store.image("web", layers=("a",), whole=True)
    document = json.loads(store.images.manifest(made)) | change
    with pytest.raises(errors.CorruptData, match=message):
        store.images.add(made.raw, ["docker.io/library/other:1"], manifest_raw=json.dumps(document).encode())
    assert names(store) == ["web:latest"]


def test_an_image_whose_layer_or_blob_went_meanwhile_is_refused_whole(store):
    made = store.image("web", layers=("a",), whole=True)
    raw, given = made.raw, store.images.manifest(made)
    store.images.remove("web")
    with pytest.raises(errors.Conflict, match=f"layer {made.layers[0]} is not here"):
        store.images.add(raw, [], manifest_raw=given)
    with store.images.lease(made.layers):
        store.database.insert_layer(db.LayerRow(made.layers[0], made.layers[0], "", 10))
        with pytest.raises(errors.Conflict, match=f"blob {digest.of_bytes(b'a')} is not here"):
            store.images.add(raw, [], manifest_raw=given)
    assert store.left() == []
