"""Blobs: whole under their digest, or not there."""

from __future__ import annotations

import errno
import io
import os

import pytest

from pouch.spec import digest, errors
from pouch.store import content, paths

DATA = b"some bytes" * 1000
OF = digest.of_bytes(DATA)


@pytest.fixture
def places(tmp_path, short_run):
    made = paths.Paths(str(tmp_path), short_run)
    made.ensure()
    return made


@pytest.fixture
def blobs(places):
    return content.Content(places)


def test_a_stream_is_kept_under_its_digest(places, blobs):
    assert blobs.ingest(io.BytesIO(DATA), OF, size=len(DATA)) == content.Blob(OF, len(DATA))
    assert blobs.read(OF) == DATA
    with blobs.open(OF) as file:
        assert file.read() == DATA
    assert blobs.all() == [OF]
    assert os.listdir(places.tmp) == []


def test_a_stream_without_expectation_is_kept(blobs):
    assert blobs.ingest(io.BytesIO(b"")).digest == digest.of_bytes(b"")


@pytest.mark.parametrize(
    ("expected", "size", "message"),
    [
        (digest.of_bytes(b"other"), -1, "its content has the digest"),
        (OF, len(DATA) + 1, f"{len(DATA)} bytes, expected {len(DATA) + 1}"),
        (OF, len(DATA) - 1, f"more than the {len(DATA) - 1} bytes"),
    ],
)
def test_what_is_not_as_expected_is_corrupt_and_leaves_nothing(places, blobs, expected, size, message):
    with pytest.raises(errors.CorruptData, match=message):
        blobs.ingest(io.BytesIO(DATA), expected, size=size)
    assert blobs.all() == []
    assert os.listdir(places.tmp) == []


def test_a_stream_that_fails_leaves_nothing(places, blobs):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise errors.Unavailable("the client went away")

    with pytest.raises(errors.Unavailable, match="the client went away"):
        blobs.ingest(Broken())
    assert os.listdir(places.tmp) == []


def test_a_full_disk_names_the_file_and_leaves_nothing(places, blobs, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.Unavailable, match=f"cannot write {places.tmp}/blob-.*: No space left") as caught:
        blobs.put(DATA)
    assert "free some space" in caught.value.hint
    assert blobs.all() == []
    assert os.listdir(places.tmp) == []


def test_put_is_idempotent_and_delete_too(blobs):
    assert blobs.put(DATA) == blobs.put(DATA) == OF
    blobs.delete(OF)
    blobs.delete(OF)
    assert blobs.all() == []
    with pytest.raises(errors.NotFound, match=f"No such blob: {OF}"):
        blobs.read(OF)


def test_a_blob_damaged_on_disk_is_corrupt(places, blobs):
    blobs.put(DATA)
    with open(places.blob(OF), "wb") as file:
        file.write(b"damaged")
    with pytest.raises(errors.CorruptData, match="damaged on disk"):
        blobs.read(OF)


def test_a_blob_too_large_for_a_document_is_refused(blobs):
    blobs.put(DATA)
    with pytest.raises(errors.CorruptData, match="more than 100 bytes"):
        blobs.read(OF, limit=100)


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "sha256:zz"])
def test_what_is_no_digest_is_refused(blobs, bad):
    for call in (blobs.read, blobs.delete):
        with pytest.raises(errors.InvalidInput):
            call(bad)
