"""The copying snapshotter on a real kernel, by the suite that every snapshotter passes: on a disk, and where overlay cannot be."""

from __future__ import annotations

import shutil
import tempfile

import pytest
from suites import snapshot_files
from suites import snapshotter as suite
from support import kernel

from pouch.kernel import mount
from pouch.store import paths
from pouch.store.snapshot import native

ranged = suite.ranged


@pytest.fixture
def snapshotter():
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    places = paths.Paths(f"{top}/lib", f"{top}/run")
    places.ensure()
    subject = suite.Subject(native.Native(places), places)
    yield subject
    subject.close()
    for point in mount.mount_points(top):
        mount.unmount(point)
    shutil.rmtree(top)


@kernel.needs(kernel.user_namespaces, kernel.idmapped_mounts)
class TestNative(suite.Snapshotters):
    """The suite on copies."""


@kernel.needs(kernel.user_namespaces, kernel.idmapped_mounts)
class TestFiles(snapshot_files.Files):
    """Every kind of file on copies."""
