"""The copying snapshotter on a real kernel, by the suite that every snapshotter passes: on a disk, and where overlay cannot be."""

from __future__ import annotations

import shutil
import tempfile

import pytest
from suites import snapshotter as suite
from support import kernel

from pouch.kernel import mount
from pouch.store import paths
from pouch.store.snapshot import native

ranged = suite.ranged


def subject(top):
    places = paths.Paths(f"{top}/lib", f"{top}/run")
    places.ensure()
    return suite.Subject(native.Native(places), places)


@pytest.fixture
def home():
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    yield top
    for point in mount.mount_points(top):
        mount.unmount(point)
    shutil.rmtree(top)


@kernel.needs(kernel.user_namespaces, kernel.idmapped_mounts)
class TestNative(suite.Snapshotters):
    """The suite on copies."""

    @pytest.fixture
    def snapshotter(self, home):
        return subject(home)
