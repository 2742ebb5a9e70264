"""Asks, compares and writes: what scripts/api-table runs."""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile

from support.docker_api import table
from support.docker_session import dockerd, engines, player
from support.docker_session import record as sessions


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="api-table", description=__doc__)
    parser.add_argument(
        "--record", action="store_true", help="ask a dockerd anew; otherwise its recorded answers are taken"
    )
    parser.add_argument("--verbose", action="store_true", help="print all that differs")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pa-", dir="/var/tmp") as made:
        home = pathlib.Path(made)
        image = engines.archive(home)
        if wanted.record:
            try:
                _record(home, image)
            except dockerd.Missing as reason:
                print(f"api-table: no dockerd: {reason}", file=sys.stderr)
                return 1
        engine, theirs = table.read()
        with engines.pouch("") as (where, daemon):
            daemon.pouch("load", "--quiet", "--input", image)
            rows = table.compared(theirs, table.asked(_socket(where)))
    table.DOCUMENT.write_text(table.document(engine, rows), encoding="utf-8")
    for row in rows:
        if row.verdict is not table.Verdict.SAME:
            print(f"{row.verdict.value:8} {row.endpoint}")
            if wanted.verbose:
                print("\n".join(f"    {note}" for note in row.notes))
    for verdict in table.Verdict:
        print(f"{sum(row.verdict is verdict for row in rows):4} {verdict.value}")
    return 0


def _record(home: pathlib.Path, image: str) -> None:
    programs = dockerd.fetched(sessions.CACHE)
    client = str(programs / "usr/bin/docker")
    with engines.docker(programs, home, client) as where:
        docker = [client, "--host", where.address]
        subprocess.run([*docker, "load", "--quiet", "--input", image], check=True, stdout=subprocess.DEVNULL)
        asking = [*docker, "version", "--format", "{{.Server.Version}}"]
        engine = subprocess.run(asking, capture_output=True, text=True, check=True).stdout.strip()
        table.write(engine, table.asked(_socket(where)))


def _socket(where: player.Where) -> str:
    return where.address.removeprefix("unix://")


if __name__ == "__main__":
    sys.exit(main())
