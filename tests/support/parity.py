"""Docker's command line against ours: commands and flags, and why what is missing is missing.

Docker's side is data (`docs/reference/docker-cli.json`), recorded from the help texts of a docker program by
`scripts/cli-parity --record PROGRAM`; ours is asked from the commands' definitions.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pouch.cli import reference, registry

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "docs" / "reference" / "docker-cli.json"
DOCUMENT = ROOT / "docs" / "reference" / "parity.md"

SWARM = "of a swarm, and Pouch is for one host"
BUILD = "Pouch builds no images"
WINDOWS = "of Windows containers"

WITHOUT = {
    "build": BUILD,
    "builder": BUILD,
    "image build": BUILD,
    "checkpoint": "Pouch has no checkpoints",
    "config": SWARM,
    "node": SWARM,
    "secret": SWARM,
    "service": SWARM,
    "stack": SWARM,
    "swarm": SWARM,
    "volume update": SWARM,
    "plugin": "plugins run by themselves: Pouch finds their sockets (volumes), CNI's programs (networks)",
    "trust": "Pouch takes no signatures of Notary",
    "manifest annotate": "Pouch keeps no lists of manifests of its own: it looks at those in registries",
    "manifest create": "Pouch keeps no lists of manifests of its own: it looks at those in registries",
    "manifest push": "Pouch keeps no lists of manifests of its own: it looks at those in registries",
    "manifest rm": "Pouch keeps no lists of manifests of its own: it looks at those in registries",
}
"""Commands that are not here, with all below them."""

WITHOUT_FLAGS = {
    "images --tree": "an image is kept for one platform: there is nothing to branch",
    "image ls --tree": "an image is kept for one platform: there is nothing to branch",
    "network create --config-from": "networks of configuration alone are for swarms",
    "network create --config-only": "networks of configuration alone are for swarms",
    "network create --ingress": SWARM,
    "network create --scope": SWARM,
    **{
        f"volume create --{name}": SWARM
        for name in (
            *("availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing"),
            *("topology-preferred", "topology-required", "type"),
        )
    },
    "volume ls --cluster": SWARM,
    " --log-level": "the program logs nothing; -D shows a traceback where it fails itself",
    " --config": "DOCKER_CONFIG says where the configuration is",
}
"""`COMMAND --flag` -> why it is unknown here."""

HIDDEN = {
    "disable-content-trust": "accepted: nothing is signed by Notary here",
    "link-local-ip": "refused by the daemon: Pouch gives no link-local addresses",
    "ipam-driver": "only the default one",
    "ipam-opt": "the default driver has none",
    "verbose": "of swarms: accepted without effect",
    "insecure": "accepted: whether a registry is asked without TLS is the daemon's configuration",
    "link": "of `rm`: refused, Pouch keeps no links",
    "cpu-count": "of Windows: accepted without effect, with a warning",
    "cpu-percent": "of Windows: accepted without effect, with a warning",
    "io-maxbandwidth": "of Windows: refused, as dockerd does on Linux",
    "io-maxiops": "of Windows: refused, as dockerd does on Linux",
    "isolation": "of Windows: only `default`, as with dockerd on Linux",
    "kernel-memory": "kernels have it no longer: accepted without effect, with a warning",
    "gpus": "refused in dockerd's sentence for a host without such a driver",
    "use-api-socket": "refused: who has the daemon's socket is root; -v gives it",
    "checkpoint": "refused: Pouch has no checkpoints",
    "checkpoint-dir": "refused: Pouch has no checkpoints",
}
"""Flags that are understood but not shown in help texts, whatever their command."""


@dataclass(frozen=True)
class Difference:
    """What docker has and we do not, or do not show."""

    what: str
    state: str
    """absent, or hidden."""
    reason: str


def record(program: str) -> dict[str, Any]:
    """Docker's commands with their flags (name -> [letter, name of the value]), from its help texts."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = {}
    waiting: list[list[str]] = [[]]
    while waiting:
        path = waiting.pop()
        done = subprocess.run([program, *path, "--help"], capture_output=True, text=True, check=True)
        commands, flags = parse(done.stdout)
        found[" ".join(path)] = flags
        waiting += [[*path, name] for name in commands]
    number = re.search(r"\d+\.\d+\.\d+", version)
    return {"version": number.group() if number else version.strip(), "commands": dict(sorted(found.items()))}


def parse(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """Commands and flags of one help text."""
    section = ""
    commands: list[str] = []
    flags: dict[str, list[str]] = {}
    for line in text.splitlines():
        if re.match(r"\S.*:$", line):
            section = line[:-1]
        elif "Commands" in section and (command := re.match(r"  ([a-z]+)\*?\s{2,}", line)):
            commands.append(command[1])
        elif "Options" in section and (
            flag := re.match(r"\s{2,6}(?:-(\w), )?--([a-z0-9-]+)(?: (\S+))?(?:\s{2,}|$)", line)
        ):
            flags[flag[2]] = [flag[1] or "", flag[3] or ""]
    return commands, flags


def load() -> dict[str, Any]:
    """The recorded data."""
    found: dict[str, Any] = json.loads(DATA.read_text())
    return found


def ours(path: str) -> dict[str, Any] | None:
    """Our flags of a command by name; {} for a group, None where there is none."""
    from pouch.cli import main

    words = path.split()
    if not words:
        return {flag.name: flag for flag in main.GLOBAL_FLAGS}
    if len(words) == 1 and words[0] in registry.GROUPS:
        return {}
    entries = registry.TOP if len(words) == 1 else registry.GROUPS.get(words[0], ("", {}))[1]
    if words[-1] not in entries:
        return None
    return {flag.name: flag for flag in reference.command_of(entries[words[-1]][0]).options}


def differences() -> Iterator[Difference]:
    """All of them; one without a reason has an empty one."""
    for path, flags in load()["commands"].items():
        top = next((one for one in WITHOUT if path == one or path.startswith(f"{one} ")), "")
        have = ours(path)
        if have is None:
            if path == top or not top:
                yield Difference(path, "absent", WITHOUT.get(top, ""))
            continue
        for name, (letter, _) in flags.items():
            what = f"{path} --{name}"
            if name not in have:
                yield Difference(what, "absent", WITHOUT_FLAGS.get(what, ""))
            elif not have[name].help:
                yield Difference(what, "hidden", HIDDEN.get(name, ""))
            elif letter and have[name].short != letter:
                yield Difference(f"{what} -{letter}", "absent", "")


def document() -> str:
    """docs/reference/parity.md."""
    data = load()
    found = list(differences())
    lines = [
        "# Docker's commands and flags here",
        "",
        f"Written by `scripts/cli-parity` from the help texts of docker {data['version']} (docker-cli.json, recorded by",
        "`scripts/cli-parity --record PROGRAM`) and from our commands' definitions.",
        "What is not in the tables is here, under the same name and letter.",
        "",
    ]
    for title, state in (("Not here", "absent"), ("Understood, but not in the help texts", "hidden")):
        lines += [f"## {title}", "", "| docker | why |", "|---|---|"]
        lines += [f"| `{one.what.strip()}` | {one.reason} |" for one in found if one.state == state]
        lines.append("")
    return "\n".join(lines)


def write_data(data: dict[str, Any]) -> None:
    """Keep what was recorded: a line for each command."""
    rows = [f"  {json.dumps(path)}: {json.dumps(flags)}" for path, flags in data["commands"].items()]
    text = f'{{"version": {json.dumps(data["version"])}, "commands": {{\n' + ",\n".join(rows) + "\n}}\n"
    DATA.write_text(text)
