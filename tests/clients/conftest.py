"""Other people's clients against a pouchd of the session's own, on a host of namespaces.

docker_client   the docker command of this machine, as there is a recording for its version; skips where there is none
engine          the engine of a session, with the image `busybox`: a pouchd, or with POUCH_TEST_ENGINE=dockerd one of Docker's
emptied         nothing but the image is in it when a test begins
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from support import clients, hosts, leaks, packages, real
from support.docker_session import dockerd, engines, player, record, recordings


@pytest.fixture(scope="session")
def can_run() -> None:
    """Skip where no daemon can run."""
    if reason := real.missing():
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """End a test that hangs."""
    with real.ended_in_time():
        yield


@pytest.fixture(scope="session")
def docker_client() -> str:
    """The first docker command on PATH whose version has a recording; else that of Debian's newest suite, taken out of its package."""
    programs = [os.path.join(place, "docker") for place in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    versions = []
    for program in (program for program in programs if os.access(program, os.X_OK)):
        versions.append(recordings.client_version(program))
        if recordings.path(versions[-1]).exists():
            return program
    target = record.CACHE / "docker-cli"
    with contextlib.suppress(packages.Missing):
        packages.fetch(dockerd.SUITES[0], ["docker-cli"], target)
        versions.append(recordings.client_version(str(target / "usr/bin/docker")))
        if recordings.path(versions[-1]).exists():
            return str(target / "usr/bin/docker")
    known = ", ".join(sorted(path.stem for path in recordings.DATA.glob("docker-[0-9]*.json")))
    pytest.skip(f"needs a docker command of a version that is recorded ({known}), found: {versions or 'none'}")


@contextlib.contextmanager
def _dockerd(home: pathlib.Path) -> Iterator[player.Where]:
    programs = dockerd.fetched(record.CACHE)
    with engines.docker(programs, home, str(programs / "usr/bin/docker")) as where:
        yield where


@pytest.fixture(scope="session")
def serving(can_run: None) -> Iterator[tuple[player.Where, hosts.Daemon | None]]:
    """The engine, and the daemon where it is ours."""
    with tempfile.TemporaryDirectory(prefix="pc-", dir="/var/tmp") as made:
        home = pathlib.Path(made)
        if os.environ.get("POUCH_TEST_ENGINE", "") == "dockerd":
            with _dockerd(home) as where:
                yield where, None
        else:
            with engines.pouch(shutil.which("docker") or "") as (where, daemon):
                yield where, daemon


@pytest.fixture(scope="session")
def engine(serving: tuple[player.Where, hosts.Daemon | None], tmp_path_factory: pytest.TempPathFactory) -> player.Where:
    """How it is reached."""
    where, _ = serving
    clients.furnish(where.address, engines.archive(tmp_path_factory.mktemp("engine")))
    return where


@pytest.fixture
def emptied(serving: tuple[player.Where, hosts.Daemon | None], engine: player.Where) -> Iterator[None]:
    """Take away what a test left; what a pouchd left on the host fails the test."""
    _, daemon = serving
    yield
    clients.empty(engine.address)
    if daemon is not None:
        leaks.assert_none(daemon)


@pytest.fixture
def client(engine: player.Where, emptied: None) -> Iterator[Any]:
    """docker-py's client of the newest version that both speak."""
    docker = pytest.importorskip("docker", reason="docker-py is not installed (pip install docker)")
    made = docker.DockerClient(base_url=engine.address, version="auto", timeout=60)
    yield made
    made.close()


@pytest.fixture
def api(client: Any) -> Any:
    """The same, without the objects."""
    return client.api
