"""Damaged layers, unpacked for real: files or one clear error, and never anything outside the layer's directory."""

from __future__ import annotations

import io
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import corpus, images, treedigest, unpacking

from pouch.image import crew as crews
from pouch.image import unpack
from pouch.spec import errors

pytestmark = pytest.mark.skipif(bool(unpacking.REASON), reason=unpacking.REASON)

BELOW = images.layer(
    images.directory("etc"),
    images.file("etc/passwd", "root"),
    images.directory("dir"),
    images.file("dir/file", "below"),
    images.symlink("out", "/../../../.."),
)
LIMITS = unpack.Limits(size=4 << 20, files=500)
REFUSED = {"pax-wrong-length", "pax-negative", "hard-link-out", "loop", "parents", "replaced"}


@pytest.fixture
def place():
    """A directory with a file that must stay as it is, a layer below, and a crew that unpacks."""
    with unpacking.bench() as bench, crews.Crew() as crew:
        yield bench.add(BELOW), bench.places.tmp, crew


def unpacked(place, data):
    """Unpack on the layer below; what went wrong."""
    below, tmp, crew = place
    top = f"{tmp}/fuzz"
    os.makedirs(f"{top}/home/fs")
    with open(f"{top}/canary", "w") as canary:
        canary.write("sings")
    try:
        before = treedigest.of(below)
        try:
            unpack.unpack(io.BytesIO(data), f"{top}/home", [below], "layer", limits=LIMITS, crew=crew)
            error = None
        except (errors.CorruptData, errors.Forbidden) as raised:
            error = raised
        assert error is None or error.message.isprintable()
        assert sorted(os.listdir(top)) == ["canary", "home"]
        assert sorted(os.listdir(f"{top}/home")) == ["fs", "mnt", "work"]
        assert unpacking.text(f"{top}/canary") == "sings"
        assert treedigest.of(below) == before
        return error
    finally:
        shutil.rmtree(top)


@pytest.mark.parametrize("name", corpus.names("layer"))
def test_each_layer_of_the_corpus(place, name):
    error = unpacked(place, corpus.read("layer", name))
    assert (error is not None) == (name in REFUSED), error


@corpus.examples(30)
@given(data=corpus.damaged("layer"), sealed=st.booleans())
def test_a_damaged_layer_stays_in_its_directory(place, data, sealed):
    unpacked(place, corpus.resealed(data) if sealed else data)
