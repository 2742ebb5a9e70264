"""Rounds, commands and markers of the benchmark."""

import contextlib
import itertools
import os
import time

import pytest
from bench import cases, markers, measure, peers
from bench.failure import BenchError, NotOffered


def silent(_text):
    pass


def test_each_peer_has_one_turn_in_a_round_and_each_is_first_as_often():
    order = []

    @contextlib.contextmanager
    def prepare(name):
        def turn():
            order.append(name)
            return {"x": 1.0}

        yield turn

    found = measure.rounds(prepare, ["a", "b", "c"], count=3, report=silent)
    assert order[:3] == ["a", "b", "c"]  # warming up
    assert order[3:] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert all(series.values == {"x": [1.0, 1.0, 1.0]} for series in found.values())


def test_a_peer_that_fails_or_does_not_offer_it_leaves_the_others_alone():
    ended = []

    @contextlib.contextmanager
    def prepare(name):
        if name == "without":
            raise NotOffered("has no such thing")
        turns = iter(range(100))

        def turn():
            if name == "broken" and next(turns) == 2:
                raise BenchError("broke")
            return {"x": 1.0}

        try:
            yield turn
        finally:
            ended.append(name)

    found = measure.rounds(prepare, ["good", "without", "broken"], count=4, report=silent)
    assert found["good"].values == {"x": [1.0] * 4}
    assert (found["without"].skipped, found["without"].values) == ("has no such thing", {})
    assert (found["broken"].failed, found["broken"].values) == ("broke", {})
    assert sorted(ended) == ["broken", "good"]


def test_quartiles_and_medians_are_of_the_values():
    series = measure.Series({"x": [5.0, 1.0, 3.0, 2.0, 4.0], "one": [7.0]})
    assert series.median("x") == 3.0
    assert series.quartiles("x") == (2.0, 4.0)
    assert series.quartiles("one") == (7.0, 7.0)
    assert series.median("other") is None


def test_a_failing_command_is_an_error_with_its_words(tmp_path):
    commands = measure.Commands(str(tmp_path), dict(os.environ))
    with pytest.raises(BenchError, match="exit code 3\nwhy"):
        commands.run(["/bin/sh", "-c", "echo why >&2; exit 3"])


def test_a_command_that_takes_too_long_is_killed(tmp_path):
    commands = measure.Commands(str(tmp_path), dict(os.environ))
    with pytest.raises(BenchError, match="not done in 0 s"):
        commands.run(["/bin/sleep", "1000"], timeout=0.05)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_command_whose_child_keeps_its_output_open_is_not_waited_for(tmp_path):
    commands = measure.Commands(str(tmp_path), dict(os.environ))
    stays = int(commands.out(["/bin/sh", "-c", "sleep 1000 & echo $!"]))
    os.kill(stays, 9)


def test_markers_tell_when_each_was_written_while_somebody_waits(tmp_path):
    with markers.Markers(str(tmp_path / "m"), ("app", "running")) as made:
        before = time.perf_counter()
        for name, word in (("running", "degraded\n"), ("app", "up\n")):
            with open(f"{made.directory}/{name}", "w") as fifo:
                fifo.write(word)
        at, word = made.until("app", timeout=10)
        assert word == "up"
        assert before < made.until("running", timeout=10)[0] <= at <= time.perf_counter()
        assert made.until("running", timeout=10)[1] == "degraded"
    assert not os.path.exists(made.directory)


def test_a_marker_that_does_not_come_is_an_error_that_names_it(tmp_path):
    with markers.Markers(str(tmp_path / "m"), ("app",)) as made, pytest.raises(BenchError, match="'app'"):
        made.until("app", timeout=0.01)


def test_cases_and_peers_are_found_by_listing_their_folders():
    assert {"run", "exec", "boot"} <= {case.name for case in cases.find()}
    assert next(peer.name for peer in peers.find()) == "pouch"
    assert all(case.metrics for case in cases.find())


def test_a_turn_may_have_several_values_and_a_row_shows_the_quantile_it_names():
    @contextlib.contextmanager
    def prepare(_name):
        turns = itertools.count()

        def turn():
            first = 50 * next(turns)
            return {"x": [float(first + number) for number in range(50)]}

        yield turn

    found = measure.rounds(prepare, ["a"], count=2, report=silent)["a"]
    assert sorted(found.values["x"]) == [float(number) for number in range(50, 150)]
    assert found.at(measure.Metric("x", "the median")) == 99.5
    assert found.at(measure.Metric("x-99", "the 99th", of="x", quantile=0.99)) == 148.0
    assert found.at(measure.Metric("y-99", "of nothing", of="y", quantile=0.99)) is None


def test_more_bits_are_shown_as_more():
    assert measure.Metric("x", "throughput", "Gbit/s").shown(9.5e9) == pytest.approx(9.5)
