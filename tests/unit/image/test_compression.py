"""Compressed streams are told by their bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os

import pytest
import zstandard

from pouch.image import compression
from pouch.spec import errors

DATA = os.urandom(100_000) + b"compressible " * 50_000
FORMS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


class Dripping(io.BytesIO):
    """At most three bytes at a time."""

    def read(self, size=-1, /):
        return super().read(min(size, 3) if size > 0 else 3)


def everything(stream, size=70_000):
    out = []
    while piece := stream.read(size):
        assert len(piece) <= size
        out.append(piece)
    assert stream.read(size) == b""
    return b"".join(out)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_opened(form):
    assert everything(compression.opened(io.BytesIO(FORMS[form](DATA)), "layer")) == DATA


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_opened_from_a_stream_that_drips(form):
    assert everything(compression.opened(Dripping(FORMS[form](DATA[:100_000])), "layer"), 5) == DATA[:100_000]


@pytest.mark.parametrize("form", FORMS)
def test_several_members_are_one_stream(form):
    data = FORMS[form](b"one") + FORMS[form](b"") + FORMS[form](b"two" * 100_000)
    assert everything(compression.opened(io.BytesIO(data), "layer")) == b"one" + b"two" * 100_000


@pytest.mark.parametrize("form", ["gzip", "xz", "bzip2"])
def test_padding_of_zeros_is_passed_over(form):
    assert everything(compression.opened(io.BytesIO(FORMS[form](b"one") + bytes(100_000)), "layer")) == b"one"


@pytest.mark.parametrize("form", ["gzip", "zstd", "xz", "bzip2"])
def test_a_stream_that_ends_early_is_corrupt(form):
    data = FORMS[form](DATA)
    with pytest.raises(errors.CorruptData, match=f"layer: .*{form} stream"):
        everything(compression.opened(io.BytesIO(data[: len(data) // 2]), "layer"))


@pytest.mark.parametrize("form", ["gzip", "zstd", "xz", "bzip2"])
def test_a_damaged_stream_is_corrupt(form):
    data = bytearray(FORMS[form](DATA))
    data[len(data) // 2 :] = bytes(byte ^ 0x55 for byte in data[len(data) // 2 :])
    with pytest.raises(errors.CorruptData, match="layer: "):
        everything(compression.opened(io.BytesIO(bytes(data)), "layer"))


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f", b"BZ", b"short"])
def test_short_streams_are_what_they_are(data):
    assert everything(compression.opened(io.BytesIO(data), "layer")) == data


def test_a_skippable_frame_before_zstd():
    frame = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
    assert everything(compression.opened(io.BytesIO(frame + FORMS["zstd"](b"data")), "layer")) == b"data"


def test_a_zstd_frame_that_wants_a_huge_window_is_refused():
    window = zstandard.ZstdCompressionParameters(window_log=30, strategy=1)
    made = zstandard.ZstdCompressor(compression_params=window).compressobj()
    data = made.compress(b"x" * 100) + made.flush()
    with pytest.raises(errors.CorruptData, match="damaged zstd stream"):
        everything(compression.opened(io.BytesIO(data), "layer"))
