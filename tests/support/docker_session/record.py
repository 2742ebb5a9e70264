"""Plays the session against dockerd and writes the recordings: what scripts/record-docker-session runs."""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from support.docker_session import chapters, dockerd, engines, player, recordings

CACHE = pathlib.Path(__file__).parents[3] / "build" / "dockerd"


def clients_here(programs: pathlib.Path) -> list[str]:
    """All docker commands there are, one for each version."""
    found: dict[str, str] = {}
    for directory in (*os.environ.get("PATH", os.defpath).split(os.pathsep), str(programs / "usr/bin")):
        program = os.path.join(directory, "docker")
        if os.access(program, os.X_OK) and (version := recordings.client_version(program)):
            found.setdefault(version, program)
    return list(found.values())


def record(programs: pathlib.Path, client: str, names: list[str], *, once: bool = False) -> recordings.Recording:
    """One recording. Chapters that are not named are taken from the last one. Each is played twice, to see what is left to chance."""
    version = recordings.client_version(client)
    kept = recordings.read(version).chapters if recordings.path(version).exists() else {}
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/var/tmp") as made:
        home = pathlib.Path(made)
        image = engines.archive(home)
        with engines.docker(programs, home, client) as where:
            asking = [client, "--host", where.address, "version", "--format", "{{.Server.Version}}"]
            engine = subprocess.run(asking, capture_output=True, text=True, check=True).stdout.strip()
            for name in names or list(chapters.ALL):
                began = time.monotonic()
                kept[name] = engines.played(where, name, image)
                seconds = time.monotonic() - began
                print(f"{version} {name}: {len(kept[name])} lines in {seconds:.0f} s", flush=True)
                if not once:
                    _settled(kept[name], engines.played(where, name, image))
    return recordings.Recording(version, engine, {name: kept[name] for name in chapters.ALL if name in kept})


def _settled(first: list[player.Step], again: list[player.Step]) -> None:
    for one, other in zip(first, recordings.aligned(first, again), strict=True):
        if said := recordings.told_apart(one, other):
            print(f"  unlike the second time: {one.line}\n{said}", flush=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="record-docker-session", description=__doc__)
    parser.add_argument("--client", action="append", default=[], metavar="PROGRAM", help="a docker command")
    parser.add_argument("--once", action="store_true", help="do not play each chapter again")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help=f"of {', '.join(chapters.ALL)}; all")
    wanted = parser.parse_args()
    for name in wanted.chapters:
        if name not in chapters.ALL:
            parser.error(f"no chapter {name}; there are {', '.join(chapters.ALL)}")
    try:
        programs = dockerd.fetched(CACHE)
        for client in wanted.client or clients_here(programs):
            recordings.write(record(programs, client, wanted.chapters, once=wanted.once))
    except dockerd.Missing as reason:
        print(f"record-docker-session: no dockerd: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
