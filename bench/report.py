"""What was measured, as a table for people, as JSON for programs, and as a part of docs/performance.md."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.cases import Case
from bench.failure import BenchError
from bench.measure import Metric, Series

OURS = "pouch"
BEGIN = "<!-- bench: begin (written by scripts/bench --write-docs) -->"
END = "<!-- bench: end -->"


@dataclass
class Results:
    """One run. `series`: case name -> peer name -> what it showed."""

    rounds: int
    machine: dict[str, str]
    versions: dict[str, str]
    absent: dict[str, str]
    cases: Sequence[Case]
    series: dict[str, dict[str, Series]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What the sweep at the end found: leaks of a peer."""
    began: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def failures(self) -> list[str]:
        """Peers that failed in a case, with their words."""
        return [
            f"{name}, {peer}: {series.failed}"
            for name, found in self.series.items()
            for peer, series in found.items()
            if series.failed
        ]


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    release = platform.freedesktop_os_release()
    return {
        "processor": f"{len(os.sched_getaffinity(0))} x {models[0] if models else platform.machine()}",
        "kernel": platform.release(),
        "system": release.get("PRETTY_NAME", "unknown"),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


# -- the table --------------------------------------------------------------------------------------------------------


def rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and rows: medians by peer, then ours divided by each other's."""
    shown = {peer for found in results.series.values() for peer, one in found.items() if one.values or one.failed}
    peers = [peer for peer in results.versions if peer in shown]
    others = [peer for peer in peers if peer != OURS] if OURS in peers else []
    head = ["case", "", *peers, *(f"{OURS} / {other}" for other in others)]
    body = []
    for case in results.cases:
        found = results.series.get(case.name)
        if not found:
            continue
        title = case.title
        for metric in case.metrics:
            cells = [_cell(found[peer], metric) for peer in peers]
            ratios = [_ratio(found[OURS], found[other], metric) for other in others]
            body.append([title, f"{metric.title}, {metric.unit}", *cells, *ratios])
            title = ""
    return head, body


def table(results: Results) -> str:
    """For a terminal."""
    head, body = rows(results)
    widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
    lines = []
    for row in (head, *body):
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """For docs/performance.md."""
    head, body = rows(results)
    lines = [
        f"Measured on {results.began:%Y-%m-%d} with `make bench`: medians of {results.rounds} interleaved rounds.",
        "",
    ]
    lines += [f"- {key}: {value}" for key, value in results.machine.items()]
    lines += [f"- {peer}: {version}" for peer, version in results.versions.items()]
    lines += ["", _line(head), _line(["---", "---", *("--:" for _ in head[2:])])]
    lines += [_line(row) for row in body]
    remarks = [*results.notes, *(f"{peer} is absent: {reason}" for peer, reason in results.absent.items())]
    return "\n".join([*lines, *(["", *(f"- {remark}" for remark in remarks)] if remarks else [])])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(series: Series, metric: Metric) -> str:
    value = series.at(metric)
    if value is None:
        return "failed" if series.failed else "-"
    return f"{metric.shown(value):.1f}"


def _ratio(ours: Series, other: Series, metric: Metric) -> str:
    mine, theirs = ours.at(metric), other.at(metric)
    return f"{mine / theirs:.2f}" if mine is not None and theirs else "-"


# -- files ------------------------------------------------------------------------------------------------------------


def document(results: Results) -> dict[str, Any]:
    """All that was measured. Times in seconds, memory in bytes."""
    return {
        "began": results.began.isoformat(timespec="seconds"),
        "rounds": results.rounds,
        "machine": results.machine,
        "versions": results.versions,
        "absent": results.absent,
        "notes": results.notes,
        "left behind": results.left,
        "cases": {
            case.name: {
                metric.key: _numbers(results.series[case.name], metric) for metric in case.metrics if not metric.of
            }
            for case in results.cases
            if case.name in results.series
        },
        "skipped": _reasons(results, "skipped"),
        "failed": _reasons(results, "failed"),
    }


def _numbers(found: Mapping[str, Series], metric: Metric) -> dict[str, Any]:
    numbers = {}
    for peer, series in found.items():
        median = series.median(metric.key)
        if median is not None:
            first, third = series.quartiles(metric.key)
            numbers[peer] = {"median": median, "quartiles": [first, third], "values": series.values[metric.key]}
    return numbers


def _reasons(results: Results, kind: str) -> dict[str, dict[str, str]]:
    return {
        name: reasons
        for name, found in results.series.items()
        if (reasons := {peer: text for peer, series in found.items() if (text := getattr(series, kind))})
    }


def write_json(results: Results, path: str) -> None:
    """Write `document`."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document(results), file, indent=1)
        file.write("\n")


def write_docs(results: Results, path: str) -> None:
    """Put the table between the two marks of the document; the text around it stays."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(
            f"{path}: the marks for the table are missing: expected {BEGIN!r} and {END!r}, each on a line of its own"
        )
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{markdown(results)}\n{END}{after}")
