"""The overlay snapshotter on a real kernel, by the suite that every snapshotter passes."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile

import pytest
from suites import snapshot_files
from suites import snapshotter as suite
from support import images

from pouch.image import unpack
from pouch.kernel import mount, namespace
from pouch.spec import errors
from pouch.store import paths
from pouch.store.snapshot import overlay


def _probe() -> str:
    """Why this machine cannot, or ""."""
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    try:
        for name in ("lower", "clone", "target", "upper", "work"):
            os.mkdir(f"{top}/{name}")
        fd = namespace.open_userns([(0, 1_000_000, 10), (65536, 0, 1)])
        try:
            mount.idmapped_clone(f"{top}/lower", f"{top}/clone", fd)
        finally:
            os.close(fd)
        mount.overlay([f"{top}/clone"], f"{top}/upper", f"{top}/work", f"{top}/target")
        return ""
    except (errors.PouchError, OSError) as error:
        return f"no overlay on idmapped mounts here: {error}"
    finally:
        for name in ("target", "clone"):
            mount.unmount(f"{top}/{name}")
        shutil.rmtree(top)


REASON = _probe()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
ranged = suite.ranged


@pytest.fixture
def snapshotter():
    # not pytest's tmp_path: that may be a tmpfs or too long for what lives below a run directory
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    places = paths.Paths(f"{top}/lib", f"{top}/run")
    places.ensure()
    subject = suite.Subject(overlay.Overlay(places), places)
    yield subject
    subject.close()
    for point in mount.mount_points(top):
        mount.unmount(point)
    shutil.rmtree(top)


class TestOverlay(suite.Snapshotters):
    """The suite on overlay."""

    def test_what_a_killed_daemon_left_half_mounted_is_taken_off(self, ranged):
        self.subject.layer("base", suite.base)
        lower = self.subject.places.lower(suite.ID)
        os.makedirs(f"{lower}/l")
        mount.idmapped_clone(self.subject.places.layers, f"{lower}/l", ranged)
        self.it.unmount(suite.ID)
        assert mount.mount_points(self.subject.places.run) == []
        assert not os.path.exists(lower)

    def test_two_mounts_take_two_clones_whatever_the_number_of_layers(self, ranged, monkeypatch):
        made = []
        real = mount.idmapped_clone
        monkeypatch.setattr(mount, "idmapped_clone", lambda *given, **more: (made.append(given), real(*given, **more)))
        self.subject.mount(
            [self.subject.layer(f"l{number}", lambda d: suite.put(f"{d}/f")) for number in range(9)], userns_fd=ranged
        )
        assert len(made) == 2

    def test_as_many_layers_as_the_kernel_takes_and_one_more(self, ranged):
        layers = [
            self.subject.layer(f"l{each}", lambda d, each=each: suite.put(f"{d}/f{each}"))
            for each in range(overlay.MOST_LAYERS + 1)
        ]
        suite.put(f"{self.it.seed(suite.ID)}/ours", "ours")
        top = self.subject.mount(layers[1:], userns_fd=ranged, seed=True)
        assert len(self.subject.names(top)) == overlay.MOST_LAYERS + 1
        self.it.unmount(suite.ID)
        self.it.view(suite.ID, layers[1:])
        assert len(self.subject.names(self.subject.places.view(suite.ID))) == overlay.MOST_LAYERS
        self.it.unview(suite.ID)
        self.unpack_over(layers[1:])
        for attempt in (lambda: self.subject.mount(layers), lambda: self.it.view(suite.ID, layers)):
            with pytest.raises(errors.Unsupported, match="499 layers, expected at most 498"):
                attempt()

    def unpack_over(self, chain):
        """A layer is unpacked on as many, too, and deletes a file of the lowest."""
        home, below = f"{self.subject.places.tmp}/home", [self.subject.places.layer(each) for each in reversed(chain)]
        os.makedirs(f"{home}/fs")
        tar = images.layer(images.whiteout("f1"), images.file("f2", "changed"))
        assert unpack.unpack(io.BytesIO(tar), home, below, "layer").warnings == ()
        assert sorted(os.listdir(f"{home}/fs")) == ["f1", "f2"]
        assert stat.S_ISCHR(os.lstat(f"{home}/fs/f1").st_mode)


class TestFiles(snapshot_files.Files):
    """Every kind of file on overlay."""
