"""Volumes of a daemon that has only a database and directories."""

from __future__ import annotations

import pytest

from pouch.store import db, paths
from pouch.volume import volumes

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
def all_volumes(places, database):
    """Its volumes."""
    return volumes.Volumes(places, database, now_ns=lambda: NOW)
