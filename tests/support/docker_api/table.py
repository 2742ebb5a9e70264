"""Compares the answers of both engines, and writes docs/docker-api.md."""

from __future__ import annotations

import dataclasses
import enum
import json
import pathlib
from typing import Any

from support.docker_api import asking, endpoints

ROOT = pathlib.Path(__file__).parents[3]
DATA = ROOT / "tests" / "clients" / "data"
RECORDED = DATA / "docker-api.json"
REASONS = DATA / "docker-api-reasons.json"
DOCUMENT = ROOT / "docs" / "docker-api.md"

Answers = dict[str, list[asking.Answer]]


class Verdict(enum.Enum):
    """How an endpoint of ours is to dockerd's."""

    SAME = "same"
    DIFFERS = "differs"
    ABSENT = "absent"


@dataclasses.dataclass
class Row:
    """One endpoint. notes: what differs, found by asking."""

    endpoint: str
    verdict: Verdict
    notes: list[str]


def asked(socket_path: str) -> Answers:
    """Ask an engine that has the image busybox and nothing else."""
    asker = asking.Asker(socket_path)
    found = {}
    for endpoint, requests in endpoints.ALL.items():
        answers = [(request, asker.ask(request)) for request in requests]
        found[endpoint] = [answer for request, answer in answers if request.counts]
    return found


def write(engine: str, answers: Answers) -> None:
    """Keep dockerd's answers."""
    document = {"engine": engine, "version": asking.VERSION}
    kept: dict[str, Any] = {name: [dataclasses.asdict(one) for one in all_] for name, all_ in answers.items()}
    RECORDED.write_text(json.dumps(document | {"answers": kept}, indent=1) + "\n", encoding="utf-8")


def read() -> tuple[str, Answers]:
    """dockerd's version, and its answers."""
    found = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found["engine"], {name: [asking.Answer(**one) for one in all_] for name, all_ in found["answers"].items()}


def reasons() -> dict[str, str]:
    """Why an endpoint differs or is absent, by endpoint."""
    found: dict[str, str] = json.loads(REASONS.read_text(encoding="utf-8"))
    return found


def compared(theirs: Answers, mine: Answers) -> list[Row]:
    """All endpoints."""
    return [_row(endpoint, theirs[endpoint], mine[endpoint]) for endpoint in endpoints.ALL]


def document(engine: str, rows: list[Row]) -> str:
    """The page."""
    counts = {verdict: sum(row.verdict is verdict for row in rows) for verdict in Verdict}
    requests = sum(request.counts for asks in endpoints.ALL.values() for request in asks)
    why = reasons()
    lines = [
        "# Docker's API, endpoint by endpoint",
        "",
        "`scripts/api-table` writes this page: it asks a dockerd and a pouchd the same requests, usual and wrong ones, and compares",
        "status, media type, error sentences and the members of the documents.",
        "*same*: all of these are equal (ours may have members of its own besides).",
        "",
        f"dockerd {engine}, API {asking.VERSION}; {len(rows)} endpoints, {requests} requests: "
        + ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
        + ".",
        "",
        "| endpoint | | why |",
        "|---|---|---|",
    ]
    for row in rows:
        reason = "" if row.verdict is Verdict.SAME else why.get(row.endpoint, "; ".join(row.notes))
        lines.append(f"| `{row.endpoint}` | {row.verdict.value} | {reason.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def _row(endpoint: str, theirs: list[asking.Answer], mine: list[asking.Answer]) -> Row:
    asks = [request for request in endpoints.ALL[endpoint] if request.counts]
    notes = [
        f"{ask.title}: {note}"
        for ask, one, other in zip(asks, theirs, mine, strict=True)
        for note in _notes(one, other)
    ]
    missing = all(one.status in (405, 501) or (one.status == 404 and one.said == "page not found") for one in mine)
    if missing and notes:
        return Row(endpoint, Verdict.ABSENT, notes)
    return Row(endpoint, Verdict.DIFFERS if notes else Verdict.SAME, notes)


def _notes(one: asking.Answer, other: asking.Answer) -> list[str]:
    notes = []
    if one.status != other.status:
        notes.append(f"{one.status} there, {other.status} here")
    if one.kind != other.kind:
        notes.append(f"{one.kind or 'no media type'} there, {other.kind or 'none'} here")
    if one.said != other.said:
        notes.append(f'"{one.said}" there, "{other.said}" here')
    if lacking := sorted(set(one.members) - set(other.members)):
        notes.append(f"members: {', '.join(lacking)}")
    return notes
