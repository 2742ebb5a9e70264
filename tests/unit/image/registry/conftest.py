"""The client whose pauses are counted, a registry that misbehaves, an authority."""

from __future__ import annotations

import pytest
from support import certificates, fake_registry, registry_client


@pytest.fixture
def tools():
    return registry_client.Tools()


@pytest.fixture
def peer():
    with fake_registry.FakeRegistry() as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("authority"))
