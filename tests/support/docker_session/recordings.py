"""What dockerd said in a session, kept as data, and the differences that are meant.

A recording is a JSON file for one version of the command line; `differences.json` holds, for single lines, what pouchd says instead, word by
word, and why.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
from typing import Any

from support.docker_session import player

DATA = pathlib.Path(__file__).parents[2] / "clients" / "data"
STREAMS = ("exit", "stdout", "stderr")
_NUMBER = re.compile(r"<id (\w+)")


@dataclasses.dataclass
class Recording:
    """A session with dockerd."""

    client: str
    engine: str
    chapters: dict[str, list[player.Step]]


@dataclasses.dataclass
class Difference:
    """A line to which pouchd says something else. said: all of each stream that differs. clients: of which command lines; all when empty."""

    chapter: str
    line: str
    why: str
    said: dict[str, Any]
    clients: tuple[str, ...] = ()


def client_version(program: str) -> str:
    """Version of a docker command, as 28.2."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+\.\d+)", done.stdout)
    return found[1] if found else ""


def path(client: str) -> pathlib.Path:
    """Where the recording of a command line's version is."""
    return DATA / f"docker-{client}.json"


def read(client: str) -> Recording:
    """The recording of a command line's version."""
    found = json.loads(path(client).read_text(encoding="utf-8"))
    chapters = {name: [player.Step(**step) for step in steps] for name, steps in found.pop("chapters").items()}
    return Recording(chapters=chapters, **found)


def write(recording: Recording) -> None:
    """Keep one."""
    DATA.mkdir(exist_ok=True)
    text = json.dumps(dataclasses.asdict(recording), indent=1, ensure_ascii=False)
    path(recording.client).write_text(text + "\n", encoding="utf-8")


def differences(client: str) -> dict[tuple[str, str], Difference]:
    """Those of a command line's version, by chapter and line."""
    found = [Difference(**one) for one in _declared()["lines"]]
    return {(one.chapter, one.line): one for one in found if not one.clients or client in one.clients}


def everywhere() -> list[tuple[re.Pattern[str], str]]:
    """What pouchd may say besides in any line of stderr, and why."""
    return [(re.compile(one["stderr"]), one["why"]) for one in _declared()["everywhere"]]


def aligned(theirs: list[player.Step], mine: list[player.Step]) -> list[player.Step]:
    """Our steps with the numbers that ids have in the recording: what is one thing here must be one thing there.

    Two ids belong together by the first lines that are otherwise equal. One that has no counterpart is `<id ours>`.
    """
    pairs: dict[str, str] = {}
    taken: set[str] = set()

    def learn(one: str, other: str) -> None:
        if _NUMBER.sub("", one) == _NUMBER.sub("", other):
            for wanted, found in zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True):
                if found not in pairs and wanted not in taken:
                    pairs[found] = wanted
                    taken.add(wanted)

    def rewritten(line: str) -> str:
        return _NUMBER.sub(lambda found: f"<id {pairs.get(found[1], 'ours')}", line)

    done = []
    for one, other in zip(theirs, mine, strict=True):
        for ours, wanted in ((other.stdout, one.stdout), (other.stderr, one.stderr)):
            for pair in zip(wanted, ours, strict=False):
                learn(*pair)
        changed = {
            "stdout": [rewritten(line) for line in other.stdout],
            "stderr": [rewritten(line) for line in other.stderr],
        }
        done.append(dataclasses.replace(other, **changed))
    return done


def bare(step: player.Step) -> player.Step:
    """What pouchd said without what it may say besides. Old command lines end an error with a full stop: it stays with the sentence."""
    kept: list[str] = []
    for line in step.stderr:
        if not any(pattern.fullmatch(line) for pattern, _ in everywhere()):
            kept.append(line)
        elif kept and line.endswith("."):
            kept[-1] += "."
    return dataclasses.replace(step, stderr=kept)


def _declared() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "differences.json").read_text(encoding="utf-8"))
    return found


def expected(chapter: str, step: player.Step, meant: dict[tuple[str, str], Difference]) -> player.Step:
    """What pouchd has to say to a line: what dockerd said, but for a difference that is meant."""
    one = meant.get((chapter, step.line))
    return dataclasses.replace(step, **one.said) if one else step


def told_apart(wanted: player.Step, found: player.Step) -> str:
    """The differences between two steps as lines, dockerd's and pouchd's; "" where they are equal."""
    lines = []
    for stream in STREAMS:
        one, other = getattr(wanted, stream), getattr(found, stream)
        if one != other:
            lines.append(f"{stream}:")
            lines += [f"  dockerd {line}" for line in (one if isinstance(one, list) else [one])]
            lines += [f"  pouchd  {line}" for line in (other if isinstance(other, list) else [other])]
    return "\n".join(lines)


def declare(chapter: str, wanted: player.Step, found: player.Step, why: str) -> None:
    """Add a difference to the data, instead of one that is there for the line."""
    kept = _declared()
    said = {name: getattr(found, name) for name in STREAMS if getattr(found, name) != getattr(wanted, name)}
    kept["lines"] = [one for one in kept["lines"] if (one["chapter"], one["line"]) != (chapter, wanted.line)]
    kept["lines"].append({"chapter": chapter, "line": wanted.line, "why": why, "said": said})
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    (DATA / "differences.json").write_text(text + "\n", encoding="utf-8")
