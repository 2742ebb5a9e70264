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
    found = [Difference(**one) for one in json.loads((DATA / "differences.json").read_text(encoding="utf-8"))]
    return {(one.chapter, one.line): one for one in found if not one.clients or client in one.clients}


def expected(chapter: str, step: player.Step, meant: dict[tuple[str, str], Difference]) -> player.Step:
    """What pouchd has to say to a line: what dockerd said, but for a difference that is meant."""
    one = meant.get((chapter, step.line))
    return dataclasses.replace(step, **one.said) if one else step


def told_apart(wanted: player.Step, found: player.Step) -> str:
    """The differences between two steps as lines; "" where they are equal."""
    lines = []
    for stream in STREAMS:
        one, other = getattr(wanted, stream), getattr(found, stream)
        if one != other:
            lines.append(f"{stream}:")
            lines += [f"  dockerd {line}" for line in (one if isinstance(one, list) else [one])]
            lines += [f"  pouchd  {line}" for line in (other if isinstance(other, list) else [other])]
    return "\n".join(lines)


def declare(chapter: str, wanted: player.Step, found: player.Step, why: str) -> None:
    """Add a difference to the data."""
    file = DATA / "differences.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    said = {name: getattr(found, name) for name in STREAMS if getattr(found, name) != getattr(wanted, name)}
    kept.append({"chapter": chapter, "line": wanted.line, "why": why, "said": said})
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
