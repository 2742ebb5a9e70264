"""Volumes of a daemon that has only a database and directories."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from pouch.store import db, paths
from pouch.volume import plugins, protocol, volumes

NOW = 1_800_000_000 * 10**9


@pytest.fixture
def places(tmp_path):
    """The directories of a daemon."""
    made = paths.Paths(str(tmp_path / "root"), "/tmp")
    for path in (made.root, made.volumes, made.tmp):
        (tmp_path / path).mkdir()
    return made


@pytest.fixture
def database(places):
    """Its records."""
    made = db.Database(places.db)
    yield made
    made.close()


@pytest.fixture
def sockets():
    """A directory for plugins' sockets, whose paths must be short."""
    made = tempfile.mkdtemp(prefix="p", dir="/tmp")
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def specs(tmp_path):
    """A directory for plugins' files."""
    made = tmp_path / "specs"
    made.mkdir()
    return made


@pytest.fixture
def clock():
    """What plugins that are away are waited for by: a time that passes with each pause."""
    return Clock()


class Clock:
    """Seconds, and what is called after each pause."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []
        self.after = lambda count: None

    def sleep(self, seconds):
        self.now += seconds
        self.pauses.append(seconds)
        self.after(len(self.pauses))

    def monotonic(self):
        return self.now


@pytest.fixture
def found_plugins(sockets, specs, clock):
    """The plugins of a host that has these directories."""

    def channel(address):
        return protocol.Channel(address, sleep=clock.sleep, monotonic=clock.monotonic)

    return lambda: plugins.Plugins([str(sockets), str(specs)], channel=channel)


@pytest.fixture
def restarted(places, database, found_plugins):
    """Its volumes, as after a start of the daemon. Plugins are looked for in directories of the test's own."""

    def start():
        found = found_plugins()
        return volumes.Volumes(places, database, plugins=found, now_ns=lambda: NOW)

    return start


@pytest.fixture
def all_volumes(restarted):
    """Its volumes."""
    return restarted()
