"""What tests on the real kernel share: each leaves no descriptor, no child and no mount behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import kernel

from pouch.kernel import mount


@pytest.fixture(autouse=True)
def leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compare descriptors, children and mounts before and after: mounts of the tests' own, as a running pouchd makes others."""
    ours = str(tmp_path_factory.getbasetemp())
    descriptors, points, children = kernel.open_descriptors(), mount.mount_points(ours), kernel.has_children()
    yield
    assert {fd for fd, _ in kernel.open_descriptors()} == {fd for fd, _ in descriptors}
    assert kernel.has_children() is children
    assert mount.mount_points(ours) == points


@pytest.fixture
def private_mounts(leaves_nothing: None) -> Iterator[None]:
    """The test runs in a mount namespace of its own."""
    with kernel.private_mounts():
        yield


@pytest.fixture(params=["disk", "tmpfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, private_mounts: None) -> Path:
    """An empty directory, on the disk's file system and on a tmpfs, in a mount namespace of the test's own."""
    directory = tmp_path / "place"
    directory.mkdir()
    if request.param == "tmpfs":
        mount.tmpfs(str(directory), size="64m")
    return directory
