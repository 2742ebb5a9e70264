"""The benchmark's table, numbers and document."""

import contextlib
import json

import pytest
from bench import report
from bench.cases import Case
from bench.failure import BenchError
from bench.measure import Metric, Series

CASE = Case(
    "run", 1, "run it", (Metric("time", "all of it"), Metric("size", "held", "MiB")), None, contextlib.nullcontext
)


@pytest.fixture
def results():
    made = report.Results(
        3, {"kernel": "6.1"}, {"pouch": "pouch 1", "podman": "podman 4"}, {"runc": "not installed"}, (CASE,)
    )
    made.series["run"] = {
        "pouch": Series({"time": [0.010, 0.030, 0.020], "size": [3 << 20]}),
        "podman": Series({"time": [0.1, 0.1, 0.1]}, ""),
    }
    made.notes.append("mind the gap")
    return made


def test_the_table_has_medians_and_ours_divided_by_theirs(results):
    head, body = report.rows(results)
    assert head == ["case", "", "pouch", "podman", "pouch / podman"]
    assert body == [["run it", "all of it, ms", "20.0", "100.0", "0.20"], ["", "held, MiB", "3.0", "-", "-"]]


def test_a_peer_that_failed_is_shown_as_failed_and_listed(results):
    results.series["run"]["podman"] = Series(failed="exit code 125")
    assert report.rows(results)[1][0][3] == "failed"
    assert results.failures() == ["run, podman: exit code 125"]


def test_a_peer_that_does_none_of_it_has_no_column(results):
    results.versions["crun"] = "crun 1"
    results.series["run"]["crun"] = Series(skipped="has no networks")
    assert "crun" not in report.rows(results)[0]


def test_without_pouch_there_are_no_ratios(results):
    del results.versions["pouch"]
    assert report.rows(results)[0] == ["case", "", "podman"]


def test_the_numbers_are_all_in_the_json(results, tmp_path):
    path = tmp_path / "deep" / "x.json"
    report.write_json(results, str(path))
    document = json.loads(path.read_text())
    assert document["cases"]["run"]["time"]["pouch"] == {
        "median": 0.020,
        "quartiles": [0.015, 0.025],
        "values": [0.010, 0.030, 0.020],
    }
    assert document["absent"] == {"runc": "not installed"}


def test_the_document_keeps_what_stands_around_the_table(results, tmp_path):
    path = tmp_path / "performance.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_docs(results, str(path))
    text = path.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\nMeasured on ")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert "| run it | all of it, ms | 20.0 | 100.0 | 0.20 |" in text
    assert "mind the gap" in text


def test_a_document_without_a_place_for_the_table_is_left_alone(results, tmp_path):
    path = tmp_path / "performance.md"
    path.write_text("mine\n")
    with pytest.raises(BenchError, match="marks"):
        report.write_docs(results, str(path))
    assert path.read_text() == "mine\n"
