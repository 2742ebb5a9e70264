"""The log format of conmon."""

from __future__ import annotations

import pytest

from pouch.runtime import k8slog

TIME = b"2026-11-24T09:00:05.775364839+00:00"
BOTH = {1, 2}


def records(*lines, streams=BOTH, timely=None, merge=False):
    return [tuple(record) for record in k8slog.records(lines, streams, timely, merge=merge)]


@pytest.mark.parametrize(
    ("line", "stream", "data"),
    [
        (b" stdout F text", 1, b"text\n"),
        (b" stderr F ", 2, b"\n"),
        (b" stdout P no end", 1, b"no end"),
        (b" stderr P  spaces  kept ", 2, b" spaces  kept "),
        (b" stdout F \xff\x00\x1b[31m", 1, b"\xff\x00\x1b[31m\n"),
    ],
)
def test_a_line_gives_back_the_bytes_that_were_written(line, stream, data):
    assert k8slog.parse(TIME + line) == (TIME, stream, data)


def test_times_of_another_width_are_understood():
    assert k8slog.parse(b"2026-11-24T09:00:05Z stdout F x y") == (b"2026-11-24T09:00:05Z", 1, b"x y\n")


@pytest.mark.parametrize(
    "line", [b"", b"text", b"\0" * 100, TIME, TIME + b" stdin F x", TIME + b" stdout X x", b"a b F x"]
)
def test_what_is_no_record_is_none(line):
    assert k8slog.parse(line) is None


def test_records_show_utc_as_z():
    assert records(TIME + b" stdout F a") == [(1, "2026-11-24T09:00:05.775364839Z", b"a\n")]


def test_without_merging_each_line_is_a_record_and_garbage_is_left_out():
    found = records(TIME + b" stdout F a", b"torn", TIME + b" stdout P b", TIME + b" stderr F c")
    assert [(stream, data) for stream, _, data in found] == [(1, b"a\n"), (1, b"b"), (2, b"c\n")]


def test_merging_joins_neighbours_of_one_stream_only():
    lines = [TIME + b" stdout F a", TIME + b" stdout P b", TIME + b" stderr F c", TIME + b" stdout F d"]
    assert [(stream, data) for stream, _, data in records(*lines, merge=True)] == [
        (1, b"a\nb"),
        (2, b"c\n"),
        (1, b"d\n"),
    ]


@pytest.mark.parametrize("merge", [False, True])
def test_merged_or_not_the_bytes_are_the_same(merge):
    lines = [TIME + b" stdout F " + b"%d" % n for n in range(5000)]
    assert b"".join(data for _, _, data in records(*lines, merge=merge)) == b"".join(b"%d\n" % n for n in range(5000))


@pytest.mark.parametrize("merge", [False, True])
def test_only_the_wanted_streams_come(merge):
    lines = [TIME + b" stdout F a", TIME + b" stderr F b", TIME + b" stdout F c"]
    assert b"".join(data for _, _, data in records(*lines, streams={2}, merge=merge)) == b"b\n"
    assert records(*lines[:1], streams={2}, merge=merge) == []


def test_only_the_wanted_times_come():
    lines = [TIME + b" stdout F a", b"2027" + TIME[4:] + b" stdout F b"]
    assert [data for _, _, data in records(*lines, timely=lambda at: at > b"2026-12", merge=True)] == [b"b\n"]


def test_a_stamp_compares_with_times_as_text():
    assert k8slog.stamp(1795510805_775364839) == TIME[: k8slog.TIME_DIGITS]
    assert k8slog.stamp(1795510805_775364838) < TIME < k8slog.stamp(1795510806_000000000)


def test_lines_end_where_the_app_ended_them():
    assert [k8slog.ends_line(TIME + rest) for rest in (b" stdout F x", b" stderr P x", b" bad")] == [True, False, False]
