"""Fixtures of the store's tests."""

from __future__ import annotations

import shutil
import tempfile

import pytest


@pytest.fixture
def short_run():
    """A run directory short enough for unix sockets (pytest's own are not)."""
    made = tempfile.mkdtemp(prefix="p", dir="/tmp")
    yield made
    shutil.rmtree(made)
