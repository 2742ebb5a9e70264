"""Plays the session against pouchd and prints where it says something else than dockerd did: `scripts/compare-docker-session`."""

from __future__ import annotations

import argparse
import pathlib
import shutil
import sys
import tempfile

from support.docker_session import chapters, engines, recordings


def main() -> int:
    """The command. Exit code 1 where anything differs that is not meant to."""
    parser = argparse.ArgumentParser(prog="compare-docker-session", description=__doc__)
    parser.add_argument("--client", default=shutil.which("docker"), metavar="PROGRAM", help="the docker command")
    parser.add_argument("--declare", metavar="WHY", help="add what differs to the differences that are meant")
    parser.add_argument("--only", action="append", default=[], metavar="LINE", help="look at this line only")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help=f"of {', '.join(chapters.ALL)}; all")
    wanted = parser.parse_args()
    version = recordings.client_version(wanted.client)
    recorded, meant = recordings.read(version), recordings.differences(version)
    lines = differing = 0
    with tempfile.TemporaryDirectory(prefix="ps-", dir="/var/tmp") as made, engines.pouch(wanted.client) as (where, _):
        image = engines.archive(pathlib.Path(made))
        for name in wanted.chapters or list(chapters.ALL):
            theirs, found = recorded.chapters[name], engines.played(where, name, image)
            if [step.line for step in theirs] != [step.line for step in found]:
                print(f"{name}: recorded with other lines: scripts/record-docker-session {name}")
                return 1
            for one, other in zip(theirs, map(recordings.bare, recordings.aligned(theirs, found)), strict=True):
                lines += 1
                if wanted.only and one.line not in wanted.only:
                    continue
                if (name, one.line) in meant and not recordings.told_apart(one, other):
                    print(f"{name}$ {one.line}\n  equal: its difference need not be declared any more")
                said = recordings.told_apart(recordings.expected(name, one, meant), other)
                if said and recordings.told_apart(one, other):
                    differing += 1
                    print(f"{name}$ {one.line}\n{said}")
                    if wanted.declare:
                        recordings.declare(name, one, other, wanted.declare)
    print(f"docker {version}: {lines} lines, {differing} differ, {len(meant)} differences are meant")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
