"""Docker's rules of health: what a check says, what is known after a probe."""

from __future__ import annotations

import pytest

from pouch.spec import errors, health

CHECK = health.Check(test=("CMD", "x"), retries=3)
STARTING, HEALTHY, UNHEALTHY = health.Status.STARTING, health.Status.HEALTHY, health.Status.UNHEALTHY


def after(*codes, check=CHECK, in_start_period=(), known=None):
    """What is known after probes with these exit codes; in_start_period: the numbers of those that were in it."""
    known = known or health.Health()
    for number, code in enumerate(codes):
        probe = health.Probe(start=f"s{number}", end=f"e{number}", exit_code=code, output=f"{code}")
        known = health.after(known, probe, check, in_start_period=number in in_start_period)
    return known


@pytest.mark.parametrize(
    ("codes", "status", "streak"),
    [
        ((0,), HEALTHY, 0),
        ((1,), STARTING, 1),
        ((1, 1), STARTING, 2),
        ((1, 1, 1), UNHEALTHY, 3),
        ((0, 1, 1), HEALTHY, 2),
        ((0, 1, -1, 127), UNHEALTHY, 3),
        ((1, 1, 0, 1, 1), HEALTHY, 2),
        ((1, 1, 1, 1), UNHEALTHY, 4),
        ((1, 1, 1, 0), HEALTHY, 0),
    ],
)
def test_so_many_failures_in_a_row_make_it_unhealthy_and_one_success_healthy(codes, status, streak):
    known = after(*codes)
    assert (known.status, known.failing_streak) == (status, streak)


def test_failures_in_the_start_period_do_not_count_until_the_first_success():
    known = after(1, 1, 1, 1, in_start_period=range(4))
    assert (known.status, known.failing_streak, len(known.log)) == (STARTING, 0, 4)
    known = after(0, 1, 1, 1, in_start_period=range(4))
    assert known.status is UNHEALTHY
    assert after(1, 1, 1, in_start_period=(0,)).failing_streak == 2


def test_three_retries_are_the_default():
    assert after(1, 1, check=health.Check(test=("CMD", "x"))).status is STARTING
    assert after(1, 1, 1, check=health.Check(test=("CMD", "x"))).status is UNHEALTHY


def test_the_last_five_probes_are_kept():
    assert [probe.start for probe in after(*range(8)).log] == ["s3", "s4", "s5", "s6", "s7"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interval": 1000}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"timeout": -1}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"start_period": 999_999}, "StartPeriod in Healthcheck cannot be less than 1ms"),
        ({"start_interval": 1}, "StartInterval in Healthcheck cannot be less than 1ms"),
        ({"retries": -1}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_what_is_refused(changes, words):
    with pytest.raises(errors.InvalidInput, match=words):
        health.verify(health.Check(**changes))


def test_the_least_is_fine():
    health.verify(health.Check(interval=10**6, timeout=10**6, start_period=10**6, start_interval=10**6))
    health.verify(health.Check())


def test_a_client_says_some_and_the_image_the_rest():
    base = health.Check(test=("CMD", "a"), interval=1, timeout=2, start_period=3, start_interval=4, retries=5)
    assert health.merged(None, base) is base
    assert health.merged(health.Check(test=("NONE",)), base).probes is False
    own = health.Check(timeout=20, retries=50)
    assert health.merged(own, base) == health.Check(
        test=("CMD", "a"), interval=1, timeout=20, start_period=3, start_interval=4, retries=50
    )
    assert health.merged(own, None) is own
    assert health.merged(None, None) is None


@pytest.mark.parametrize(
    ("test", "probes"),
    [
        ((), False),
        (("NONE",), False),
        (("CMD",), False),
        (("CMD", "true"), True),
        (("CMD-SHELL", "true"), True),
        (("WHAT", "x"), False),
    ],
)
def test_what_can_be_asked(test, probes):
    assert health.Check(test=test).probes is probes


def test_a_line_is_for_the_shell():
    line = health.Check(test=("CMD-SHELL", "a && b"))
    assert health.argv(line, ()) == ("/bin/sh", "-c", "a && b")
    assert health.argv(line, ("/bin/bash", "-ec")) == ("/bin/bash", "-ec", "a && b")
    assert health.argv(health.Check(test=("CMD", "a", "b")), ("/bin/bash",)) == ("a", "b")


def test_documents_are_read_and_written_alike():
    document = {"Test": ["CMD", "a"], "Interval": 10**9, "StartInterval": 7, "Retries": 2}
    check = health.of_document(document)
    assert check == health.Check(test=("CMD", "a"), interval=10**9, start_interval=7, retries=2)
    assert health.document(check) == document
    assert health.document(health.Check()) == {}


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_what_is_no_document_is_no_check(document):
    assert health.of_document(document) is None


def test_nonsense_in_an_image_is_left_out():
    """An image says what it likes."""
    assert health.of_document({"Test": "x", "Interval": "1s", "Retries": -5, "Timeout": 1.5}) == health.Check()


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (15, "15ns"),
        (1500, "1.5µs"),
        (500 * 10**6, "500ms"),
        (1_500_000_000, "1.5s"),
        (30 * 10**9, "30s"),
        (90 * 10**9, "1m30s"),
        (3600 * 10**9, "1h0m0s"),
        (3_661_250_000_000, "1h1m1.25s"),
    ],
)
def test_durations_are_gos(nanoseconds, text):
    assert health.duration(nanoseconds) == text
