"""Fixtures of the edge's tests: none are needed beyond `support.edge_client.running`; slow clients get short patience."""

from __future__ import annotations

import pytest

from pouch.edge.http import peer


@pytest.fixture(autouse=True)
def short_linger(monkeypatch):
    """How long the server waits for a client's last bytes is the one real time in these tests."""
    monkeypatch.setattr(peer, "LINGER_SECONDS", 0.2)
