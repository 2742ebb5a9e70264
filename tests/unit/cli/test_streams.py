"""Frames taken apart, bytes unchanged."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_daemon import frame

from pouch.cli import streams


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=8),
    st.lists(st.integers(1, 20), min_size=1),
)
def test_frames_come_out_whole_however_they_are_cut(frames, cuts):
    data = b"".join(frame(stream, piece) for stream, piece in frames)
    demultiplexer = streams.Demultiplexer()
    got: dict[int, bytes] = {1: b"", 2: b""}
    while data:
        size = cuts[len(data) % len(cuts)]
        for stream, piece in demultiplexer.feed(data[:size]):
            got[stream] += piece
        data = data[size:]
    assert got == {number: b"".join(p for s, p in frames if s == number) for number in (1, 2)}


def test_a_long_frame_comes_out_as_it_comes_in():
    demultiplexer = streams.Demultiplexer()
    whole = frame(2, b"x" * 100)
    assert list(demultiplexer.feed(whole[:58])) == [(2, b"x" * 50)]
    assert list(demultiplexer.feed(whole[58:])) == [(2, b"x" * 50)]


def test_everything_is_written_to_a_pipe_that_does_not_block():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got = bytearray()

    def drain():
        while piece := os.read(reader, 65536):
            got.extend(piece)

    thread = threading.Thread(target=drain)
    data = os.urandom(1 << 20)
    thread.start()
    try:
        streams.write(writer, data)
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
    assert bytes(got) == data


def test_a_reader_that_went_away_is_an_error():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(BrokenPipeError):
            streams.write(writer, b"x")
    finally:
        os.close(writer)
