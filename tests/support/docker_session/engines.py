"""Both engines as a session needs them: with the same addresses for containers, and the same image."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

from support import hosts, images
from support.docker_session import chapters, dockerd, player

POUCHD = ("--bridge-subnet", "172.17.0.0/16", "--default-address-pools", "base=172.18.0.0/16,size=24")


def archive(directory: pathlib.Path) -> str:
    """The image of a session, as a file."""
    return str(images.busybox_archive(directory / "busybox.tar", tag="busybox:latest"))


@contextlib.contextmanager
def docker(programs: pathlib.Path, home: pathlib.Path, client: str) -> Iterator[player.Where]:
    """A dockerd."""
    with hosts.bare() as host, dockerd.running(host, programs, home / "engine") as engine:
        yield player.Where(engine.address, client, ((engine.root, "<root>"),), host.site.spawn)


@contextlib.contextmanager
def pouch(client: str) -> Iterator[tuple[player.Where, hosts.Daemon]]:
    """A pouchd, and how a session reaches it."""
    with hosts.bare() as host:
        daemon = host.serve(*POUCHD)
        yield player.Where(daemon.host, client, ((daemon.root, "<root>"),), host.site.spawn), daemon


def played(where: player.Where, chapter: str, image: str) -> list[player.Step]:
    """Play one chapter on an engine that is empty, and leave it so."""
    with tempfile.TemporaryDirectory(prefix="pouch-session-") as directory:
        session = player.Session(where, directory, image)
        session.prepare('docker load --quiet --input "$BUSYBOX"')
        try:
            chapters.ALL[chapter](session)
        finally:
            emptied(session)
        for line in session.slow:
            print(f"  {line}", flush=True)
        return session.steps


def emptied(session: player.Session) -> None:
    """Remove all that a chapter may have left."""
    session.prepare("docker ps --all --quiet | xargs -r docker rm --force --volumes")
    session.prepare("docker network ls --quiet --filter type=custom | xargs -r docker network rm")
    session.prepare("docker volume ls --quiet | xargs -r docker volume rm")
    session.prepare("docker image ls --all --quiet --no-trunc | sort -u | xargs -r docker image rm --force")
