"""What the command line's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import cli
from support.fake_daemon import FakeDaemon

from pouch.cli import main

Pouch = Callable[..., cli.Result]


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Docker's configuration: none of the person who runs the tests. It is not there yet."""
    folder = tmp_path / "configuration"
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    """A scripted daemon."""
    with cli.fake_daemon() as running:
        yield running


@pytest.fixture
def pouch(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pouch:
    """`pouch ...` in this process, against the scripted daemon."""
    monkeypatch.delenv("POUCH_DEBUG", raising=False)

    def call(*argv: str) -> cli.Result:
        capfd.readouterr()
        code = main.main(["-H", daemon.host, *argv])
        out, err = capfd.readouterr()
        return cli.Result(code, out, err)

    return call
