"""Sizes, durations and times."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.cli import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("100b", 100),
        ("1k", 1024),
        ("512m", 512 << 20),
        ("1.5g", 3 << 29),
        ("2GiB", 2 << 30),
        ("2 GB", 2 << 30),
        ("-1", -1),
        ("4t", 4 << 40),
    ],
)
def test_sizes_are_powers_of_1024(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "5x", "-5", "1.2.3", "1..2", "٣", "5mm", "k5", ".5", "1e3"])
def test_a_size_that_is_none_is_named(text):
    with pytest.raises(ValueError, match="invalid size"):
        units.parse_size(text)


@pytest.mark.parametrize(("text", "nano"), [("1", 10**9), ("1.5", 15 * 10**8), (".25", 25 * 10**7), ("0.000000001", 1)])
def test_cpus_become_billionths(text, nano):
    assert units.parse_cpus(text) == nano


@pytest.mark.parametrize("text", ["", "x", "-1", "1.2.3", "0.0000000001", "."])
def test_cpus_that_are_no_number_are_refused(text):
    with pytest.raises(ValueError):
        units.parse_cpus(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1s", 10**9),
        ("1h30m", 5400 * 10**9),
        ("1.5s", 15 * 10**8),
        ("300ms", 3 * 10**8),
        ("2us3ns", 2003),
        ("-5m", -300 * 10**9),
        ("+1m", 60 * 10**9),
        (".5h", 1800 * 10**9),
        ("1m0.25s", 60 * 10**9 + 25 * 10**7),
    ],
)
def test_durations_are_read_as_go_does(text, nanoseconds):
    assert units.parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "h", "1x", "1h2", "..5s", ".s", "1s ", "1d"])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="invalid duration"):
        units.parse_duration(text)


@given(st.integers(0, 10**15))
def test_a_duration_in_nanoseconds_comes_back_whatever_it_is(nanoseconds):
    assert units.parse_duration(f"{nanoseconds}ns") == nanoseconds


def test_a_duration_counts_back_from_now():
    assert units.moment("10m", now=1_000_000.5) == "999400.500000000"


@pytest.mark.parametrize("text", ["1700000000", "1700000000.123456789"])
def test_seconds_since_1970_stay_as_they_are(text):
    assert units.moment(text) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31T12:00:00Z", "1706702400.000000000"),
        ("2024-01-31T12:00:00.123456789Z", "1706702400.123456789"),
        ("2024-01-31T13:00:00.5+01:00", "1706702400.500000000"),
    ],
)
def test_a_date_with_a_zone_is_that_moment(text, moment):
    assert units.moment(text) == moment


@pytest.mark.parametrize("text", ["2024-01-31T12:00:00", "2024-01-31T12:00", "2024-01-31"])
def test_a_date_without_a_zone_is_local(text, monkeypatch):
    monkeypatch.setenv("TZ", "Etc/GMT+3")  # three hours behind UTC
    time.tzset()
    try:
        hours = 12 if "T" in text else 0
        assert units.moment(text) == f"{1706659200 + (hours + 3) * 3600}.000000000"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "12:00", "1700000000.1234567890", "10 m"])
def test_a_moment_that_is_none_says_what_is_expected(text):
    with pytest.raises(ValueError, match="expected 10m"):
        units.moment(text)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (0, "Less than a second ago"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "About a minute ago"),
        (125, "2 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "About an hour ago"),
        (7000, "2 hours ago"),
        (47 * 3600, "47 hours ago"),
        (3 * 86400, "3 days ago"),
        (20 * 86400, "2 weeks ago"),
        (90 * 86400, "3 months ago"),
        (800 * 86400, "2 years ago"),
    ],
)
def test_times_ago_are_in_dockers_words(gone, words):
    assert units.ago(1_700_000_000, now=1_700_000_000 + gone) == words


def test_never_is_no_time_ago():
    assert units.ago(0) == "N/A"
    assert units.seconds_of("0001-01-01T00:00:00Z") == 0
    assert units.seconds_of("") == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (4_260_000, "4.26MB"), (123_456_789, "123MB"), (999_999, "1MB")],
)
def test_decimal_sizes_have_three_digits(size, text):
    assert units.decimal_size(size) == text


def test_binary_sizes_have_four_digits():
    assert units.binary_size(8_353_419_264) == "7.78GiB"


def test_event_times_show_nanoseconds_and_the_zone(monkeypatch):
    try:
        monkeypatch.setenv("TZ", "Etc/GMT-2")
        time.tzset()
        assert units.local_nanoseconds(1706702400_000000042) == "2024-01-31T14:00:00.000000042+02:00"
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert units.local_nanoseconds(1706702400_000000042) == "2024-01-31T12:00:00.000000042Z"
    finally:
        monkeypatch.undo()
        time.tzset()
