"""What the start after a power cut makes of records whose files are lost; unpacking anew is in tests/kernel/test_repair.py."""

from __future__ import annotations

import os

import pytest

from pouch.image import images
from pouch.spec import digest, errors

STOPPED = images.User("d" * 64)


def cut(path, size=0):
    """What a file system may leave of what was not flushed."""
    os.truncate(path, size)


def garble(path):
    with open(path, "r+b") as file:
        file.write(b"\0")


def restarted(store, boot):
    store.open(boot)
    store.images.tidy()
    return sorted(image.tags[0] if image.tags else "-" for image in store.images.list())


@pytest.fixture
def unpacked(store, monkeypatch):
    """The chain-ids of what is unpacked again; what is made is an empty directory."""
    made = []

    def opened(boot, real=store.open):
        real(boot)

        def ensure(chain, diff_id, opened, report, **options):
            with opened() as stream:
                assert digest.of_bytes(stream.read()) == diff_id
            os.makedirs(store.paths.layer(chain[-1]))
            made.append(chain[-1])

        monkeypatch.setattr(store.images.layers, "ensure", ensure)

    monkeypatch.setattr(store, "open", opened)
    return made


def test_the_same_boot_believes_what_is_there(store, unpacked):
    made = store.image("web", whole=True)
    garble(store.paths.blob(digest.of_bytes(b"base")))  # nobody looks: only a power cut does that
    assert restarted(store, "this boot") == ["web:latest"]
    assert unpacked == []
    assert os.path.isdir(store.paths.layer(made.layers[0]))


def test_what_was_flushed_is_believed_after_another_boot(store, unpacked):
    store.image("web", whole=True)
    assert store.images.flush() is True
    assert store.images.flush() is False
    garble(store.paths.blob(digest.of_bytes(b"base")))
    assert restarted(store, "another") == ["web:latest"]
    assert unpacked == []


def test_unflushed_layers_are_unpacked_anew_from_whole_blobs(store, unpacked):
    made = store.image("web", layers=("a", "b"), whole=True)
    with open(f"{store.paths.layer(made.layers[0])}/half", "w", encoding="utf-8"):
        pass
    assert restarted(store, "another") == ["web:latest"]
    assert unpacked == list(made.layers)
    assert os.listdir(store.paths.layer(made.layers[0])) == []
    assert restarted(store, "a third") == ["web:latest"]


def test_a_layer_whose_files_are_missing_is_made_again_also_when_it_was_flushed(store, unpacked):
    made = store.image("web", layers=("a", "b"), whole=True)
    store.images.flush()
    os.rmdir(store.paths.layer(made.layers[1]))
    os.rmdir(store.paths.layer_home(made.layers[1]))
    assert restarted(store, "another") == ["web:latest"]
    assert unpacked == [made.layers[1]]


@pytest.mark.parametrize("damage", [cut, garble, os.unlink])
@pytest.mark.parametrize("what", ["layer", "config", "manifest"])
def test_an_image_whose_blob_is_damaged_goes_and_nothing_of_it_is_left(store, unpacked, caplog, damage, what):
    made = store.image("web:1", "web:2", layers=("base", "own"), whole=True)
    other = store.image("other", layers=("base",), whole=True)
    blob = {"layer": digest.of_bytes(b"own"), "config": made.id, "manifest": made.manifest_digest}[what]
    damage(store.paths.blob(blob))
    assert restarted(store, "another") == ["other:latest"]
    assert (
        f"docker.io/library/web:1: blob {blob} is damaged; its names are removed: pull or load it again" in caplog.text
    )
    assert store.images.content.all() == sorted([other.id, other.manifest_digest, digest.of_bytes(b"base")])
    assert os.listdir(store.paths.layers) == [digest.hex_of(other.layers[0])]
    assert os.listdir(store.paths.tmp) == []
    again = store.image("web", layers=("base", "own"), whole=True)
    assert store.images.blobs(again)


def test_a_damaged_image_with_a_container_stays_without_a_name_until_it_is_kept_anew(store, unpacked):
    made = store.image("web", layers=("own",), whole=True)
    store.use(made, STOPPED)
    cut(store.paths.blob(digest.of_bytes(b"own")))
    assert restarted(store, "another") == ["-"]
    assert restarted(store, "another") == ["-"]
    again = store.image("web", layers=("own",), whole=True)
    assert again.id == made.id
    assert store.images.blobs(again)
    store.images.flush()
    assert restarted(store, "a third") == ["web:latest"]


def test_a_record_that_came_back_for_files_that_were_deleted_goes_again(store, unpacked):
    """The deletion reached the disk, the record's did not: the last transactions of a database may be lost (decision 0003)."""
    made = store.image("web", whole=True)
    store.images.flush()
    store.images.collector.bury(map(store.paths.blob, (made.id, made.manifest_digest, digest.of_bytes(b"base"))))
    store.images.collector.bury([store.paths.layer_home(made.layers[0])])
    assert restarted(store, "another") == []
    assert store.left() == []


def test_an_image_of_before_blobs_were_kept_is_believed(store, unpacked):
    store.image("web")
    store.images.flush()
    assert restarted(store, "another") == ["web:latest"]
    assert unpacked == []


def test_a_full_disk_leaves_the_names_for_the_next_start(store, unpacked, monkeypatch, caplog):
    store.image("web", whole=True)
    store.open("another")

    def full(*arguments, **options):
        raise errors.Unavailable("no space")

    monkeypatch.setattr(store.images.layers, "ensure", full)
    store.images.tidy()
    assert "cannot be put right: no space" in caplog.text
    assert restarted(store, "another") == ["web:latest"]
    assert len(unpacked) == 1
