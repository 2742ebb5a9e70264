"""Compressed streams are told by their bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import zlib

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


WRITERS = {"gzip": compression.gzip_writer, "zstd": compression.zstd_writer}


def written(form, data, sizes):
    """What a writer makes of data that comes in pieces of these sizes, over and over."""
    out = io.BytesIO()
    writer = WRITERS[form](out)
    place = number = 0
    while place < len(data):
        place += writer.write(data[place : place + sizes[number % len(sizes)]])
        number += 1
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize("form", WRITERS)
def test_what_is_written_can_be_read_and_does_not_depend_on_the_pieces(form):
    data = DATA * 2
    made = written(form, data, [len(data)])
    assert compression.kind(made) == form
    assert everything(compression.opened(io.BytesIO(made), "layer")) == data
    assert written(form, data, [1000, 1, 77_777, 300_000]) == made
    assert len(made) < len(data)


@pytest.mark.parametrize("form", WRITERS)
def test_nothing_written_is_an_empty_stream(form):
    assert everything(compression.opened(io.BytesIO(written(form, b"", [1])), "layer")) == b""


def test_gzip_is_written_without_a_time_or_a_name():
    assert written("gzip", b"x", [1])[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_an_xz_stream_that_takes_much_memory_is_refused():
    made = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    data = bytearray(made.compress(b"x") + made.flush())
    place = data.index(b"\x21\x01", 12) + 2  # the filter's properties: one byte that says the dictionary's size
    data[place] = 38  # 2 GiB
    size = (data[12] + 1) * 4
    data[12 + size - 4 : 12 + size] = zlib.crc32(bytes(data[12 : 12 + size - 4])).to_bytes(4, "little")
    with pytest.raises(errors.CorruptData, match="layer: damaged xz stream: Memory usage limit"):
        everything(compression.opened(io.BytesIO(bytes(data)), "layer"))


def test_what_comes_at_once_is_bounded():
    """A piece of a bomb is taken in parts, as it is asked for."""
    stream = compression.opened(io.BytesIO(gzip.compress(bytes(30 << 20), 1)), "layer")
    assert len(stream.read(1 << 30)) <= 1 << 20


@pytest.mark.parametrize(
    ("stored", "size", "ratio", "fits"),
    [(1, 1 << 30, 1, True), (1, (1 << 30) + 1, 1, False), (10 << 20, 10 << 30, 1024, True), (1, 1 << 50, 0, True)],
)
def test_a_stream_may_grow_to_a_gib_and_then_by_a_ratio(stored, size, ratio, fits):
    if fits:
        compression.check(stored, size, ratio)
    else:
        with pytest.raises(errors.Forbidden, match=r"unpacks to more than 1 times its size: 1073741825 bytes out of 1"):
            compression.check(stored, size, ratio)


def test_the_libraries_are_found_for_a_process_without_a_search_path():
    done = subprocess.run(
        [
            sys.executable,
            "-ISc",
            f"import sys; sys.path += {compression.directories()!r}; import isal.igzip_lib, zstandard; print('found')",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "found\n"
