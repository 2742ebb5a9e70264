"""Blobs: whole under their digest, or not there."""

from __future__ import annotations

import io
import os
import resource

import pytest

from pouch.spec import digest, errors
from pouch.store import content, db, paths

DATA = b"some bytes" * 1000
OF = digest.of_bytes(DATA)


@pytest.fixture
def places(tmp_path, short_run):
    made = paths.Paths(str(tmp_path), short_run)
    made.ensure()
    return made


@pytest.fixture
def database(places):
    made = db.Database(places.db)
    yield made
    made.close()


@pytest.fixture
def blobs(places, database):
    return content.Content(places, database)


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


def test_a_full_disk_names_the_file_and_leaves_nothing(places, blobs):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) - 100, hard))  # a short write comes first, as on a real one
    try:
        with pytest.raises(errors.Unavailable, match=f"cannot write {places.tmp}/blob-.*: File too large") as caught:
            blobs.put(DATA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free some space" in caught.value.hint
    assert blobs.all() == []
    assert os.listdir(places.tmp) == []


def test_put_is_idempotent(places, blobs):
    assert blobs.put(DATA) == OF
    before = os.stat(places.blob(OF)).st_ino
    assert blobs.put(DATA) == OF
    assert os.stat(places.blob(OF)).st_ino == before


def test_an_unknown_blob_is_not_found(blobs):
    with pytest.raises(errors.NotFound, match=f"No such blob: {OF}"):
        blobs.read(OF)


def test_a_file_without_a_record_is_no_blob_and_a_record_without_a_file_neither(places, database, blobs):
    blobs.put(DATA)
    os.rename(places.blob(OF), f"{places.tmp}/away")
    assert not blobs.exists(OF)
    assert blobs.put(DATA) == OF
    assert blobs.exists(OF)
    assert database.take_unused(()).blobs == (OF,)
    assert not blobs.exists(OF)


def test_a_writer_grows_a_file_that_others_read_and_keeps_it_at_the_commit(places, database, blobs):
    with blobs.writer(OF, size=len(DATA)) as writer:
        writer.write(DATA[:10])
        with open(writer.path, "rb") as reader:
            assert reader.read() == DATA[:10]
            writer.write(DATA[10:])
            assert reader.read() == DATA[10:]
        assert (writer.count, writer.digest()) == (len(DATA), OF)
        assert blobs.all() == []
        assert writer.commit() == content.Blob(OF, len(DATA))
        assert writer.path == blobs.path(OF)
    assert blobs.read(OF) == DATA
    assert database.find_blob(OF) == len(DATA)
    assert os.listdir(places.tmp) == []


def test_a_writer_that_is_not_committed_leaves_nothing(places, database, blobs):
    with blobs.writer() as writer:
        writer.write(DATA)
    assert (blobs.all(), database.blobs(), os.listdir(places.tmp)) == ([], {}, [])


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
    for call in (blobs.read, blobs.exists, blobs.path):
        with pytest.raises(errors.InvalidInput):
            call(bad)
