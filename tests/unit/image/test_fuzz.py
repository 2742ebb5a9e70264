"""Parsers of foreign bytes, fed with a corpus and with what damage makes of it: an answer or one clear error, nothing else."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import corpus

from pouch.image import archive, images, remote, tar
from pouch.image.registry import challenge
from pouch.spec import descriptor, errors, manifest, reference

MOST_ENTRIES = 10_000


def presented(error):
    """People and logs can be shown what an error says."""
    assert error.message.isprintable()
    assert len(error.message) < 5000


# -- tars -------------------------------------------------------------------------------------------------------------


class Drip(io.BytesIO):
    """A stream that gives little at a time."""

    def read(self, size=-1, /):
        return super().read(min(size, 700) if size >= 0 else 700)


def read_tar(data):
    """All entries and their data; the error that ended it."""
    reader = tar.Reader(Drip(data), "layer")
    try:
        for entry in itertools.islice(reader, MOST_ENTRIES):
            assert isinstance(entry.name, bytes)
            assert entry.size >= 0
            assert 0 <= entry.mode <= 0o7777
            if entry.kind is tar.Kind.FILE:
                assert all(offset + len(piece) <= entry.size for offset, piece in reader.pieces())
    except errors.CorruptData as error:
        presented(error)
        return error
    assert reader.position <= len(data)
    return None


@pytest.mark.parametrize("name", corpus.names("layer"))
def test_each_tar_of_the_corpus(name):
    error = read_tar(corpus.read("layer", name))
    assert (error is not None) == (name in ("pax-wrong-length", "pax-negative")), error


@corpus.examples(150)
@given(corpus.damaged("layer"), st.booleans())
def test_a_damaged_tar_is_read_or_refused(data, sealed):
    read_tar(corpus.resealed(data) if sealed else data)


@corpus.examples(100)
@given(corpus.damaged("layer"), st.booleans())
def test_a_damaged_archive_of_images_is_read_or_refused(tmp_path_factory, data, sealed):
    try:
        with archive.Archive(
            Drip(corpus.resealed(data) if sealed else data), str(tmp_path_factory.getbasetemp())
        ) as found:
            for name in found.names():
                member = found.find(name)
                if member is not None:
                    assert len(found.document(member, "it")) == member.size
    except errors.CorruptData as error:
        presented(error)


# -- documents --------------------------------------------------------------------------------------------------------

KINDS = (manifest.Manifest, manifest.Index, manifest.Shape, tuple[manifest.SavedImage, ...])


class Registry:
    """One that has the same document under every name."""

    mirrored = False

    def __init__(self, raw, media_type):
        self.raw, self.media_type, self.digest = raw, media_type, "sha256:" + "1" * 64
        self.asked = 0

    def manifest(self, ref):
        self.asked += 1
        return self


def read_document(raw, media_type=""):
    """By all that read documents."""
    for kind in KINDS:
        with_error(lambda kind=kind: manifest.decode(kind, raw, "it"))
    config = with_error(lambda: images.decode_config(raw, "it"))
    if config is not None:
        images.seconds(config.created or "")
    registry = Registry(raw, media_type)
    found = with_error(lambda: remote.find(registry, "latest", descriptor.Platform("amd64", "linux", ""), "it"))
    assert registry.asked <= remote.DEEPEST_INDEX + 2
    if found is not None:
        assert len(found.parsed.layers) <= images.MOST_LAYERS


def with_error(read):
    try:
        return read()
    except (errors.CorruptData, errors.Unsupported) as error:
        presented(error)
        return None


@pytest.mark.parametrize("name", corpus.names("document"))
def test_each_document_of_the_corpus(name):
    read_document(corpus.read("document", name))


@corpus.examples(150)
@given(corpus.damaged("document"), st.sampled_from(["", *sorted(descriptor.MANIFESTS | descriptor.INDEXES)]))
def test_a_damaged_document_is_read_or_refused(raw, media_type):
    read_document(raw, media_type)


# -- words ------------------------------------------------------------------------------------------------------------


def read_reference(text):
    try:
        found = reference.Reference.parse(text)
    except errors.InvalidInput as error:
        presented(error)
        return
    assert reference.Reference.parse(found.canonical()) == found
    assert reference.Reference.parse(found.familiar()) == found
    assert ".." not in found.path
    assert found.canonical().isascii()
    assert found.canonical().isprintable()


@pytest.mark.parametrize("name", corpus.names("reference"))
def test_each_reference_of_the_corpus(name):
    read_reference(corpus.read("reference", name).decode())


@corpus.examples(150)
@given(corpus.damaged("reference"))
def test_a_damaged_reference_is_read_or_refused(data):
    read_reference(data.decode("utf-8", "surrogateescape"))


def read_challenge(text):
    try:
        for one in challenge.parse(text):
            assert one.scheme == one.scheme.lower()
            assert not (one.token and one.parameters)
    except errors.CorruptData as error:
        presented(error)


@pytest.mark.parametrize("name", corpus.names("challenge"))
def test_each_challenge_of_the_corpus(name):
    read_challenge(corpus.read("challenge", name).decode())


@corpus.examples(150)
@given(corpus.damaged("challenge"))
def test_a_damaged_challenge_is_read_or_refused(data):
    read_challenge(data.decode("latin-1"))
