"""The copying snapshotter on a real kernel, by the suite that every snapshotter passes: on a disk, and where overlay cannot be."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

import pytest
from suites import snapshot_files
from suites import snapshotter as suite
from support import file_trees, images, kernel

from pouch.kernel import mount
from pouch.spec import errors
from pouch.store import paths
from pouch.store.snapshot import native, overlay

ranged = suite.ranged


@contextlib.contextmanager
def subject_in(root, run):
    places = paths.Paths(root, run)
    places.ensure()
    subject = suite.Subject(native.Native(places), places, overlays=False)
    yield subject
    subject.close()


@pytest.fixture
def home():
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    yield top
    for point in mount.mount_points(top):
        mount.unmount(point)
    shutil.rmtree(top)


@pytest.fixture
def snapshotter(home):
    with subject_in(f"{home}/lib", f"{home}/run") as subject:
        yield subject


@kernel.needs(kernel.user_namespaces, kernel.idmapped_mounts)
class TestNative(suite.Snapshotters):
    """The suite on copies."""


@kernel.needs(kernel.user_namespaces, kernel.idmapped_mounts)
class TestFiles(snapshot_files.Files):
    """Every kind of file on copies."""


class OnAnOverlay:
    """The store on an overlay, as in a container of another engine: no overlay can be there, no whiteout, no idmapped mount."""

    @pytest.fixture
    def snapshotter(self, home):
        for name in ("lower", "upper", "work", "view"):
            os.mkdir(f"{home}/{name}")
        mount.overlay([f"{home}/lower"], f"{home}/upper", f"{home}/work", f"{home}/view", options=("index=off",))
        with subject_in(f"{home}/view", f"{home}/run") as subject:
            yield subject

    @pytest.fixture
    def ranged(self):
        pytest.skip("an overlay cannot be mounted with other ids")


@kernel.needs(kernel.overlay_mounts)
class TestFilesOnAnOverlay(OnAnOverlay, snapshot_files.Files):
    """Every kind of file there."""

    def test_the_marks_are_those_that_an_overlay_lets_us_make(self):
        chain = self.image(*(images.layer(each) for each in (images.file("gone", "x"), images.whiteout("gone"))))
        assert os.listdir(self.subject.places.layer(chain[1])) == [".wh.gone"]
        assert "gone" not in os.listdir(self.subject.mount(chain))


def test_a_layer_made_by_links_shows_what_one_made_through_an_overlay_shows(home):
    below = images.layer(
        images.directory("usr/bin", mode=0o2755, uid=7),
        images.file("usr/bin/tool", "tool", mode=0o4755),
        images.hardlink("usr/bin/same", "usr/bin/tool"),
        images.symlink("bin", "usr/bin"),
        images.directory("gone/inner"),
        images.file("gone/inner/file", "x"),
        images.file("file", "x"),
        images.directory("kept", mtime=5),
    )
    above = images.layer(
        images.file("bin/new", "new"),
        images.hardlink("usr/link", "usr/bin/tool"),
        images.whiteout("gone"),
        images.directory("gone"),
        images.file("gone/other", "other"),
        images.directory("file"),
        images.file("file/inner", "inner"),
        images.file("usr/bin/same", "other", mtime=7),
        images.directory("kept", mode=0o700, mtime=6),
    )
    seen = []
    for overlays in (True, False):
        top = f"{home}/{overlays}"
        with subject_in(top, f"{home}/run") as subject:
            subject.overlays = overlays
            chain = subject.unpack(below, above)
            os.mkdir(f"{top}/view")
            mount.overlay([subject.places.layer(layer) for layer in reversed(chain)], "", "", f"{top}/view")
            seen.append(file_trees.listing(f"{top}/view"))
    for each in seen:
        for path in (b"/usr/bin", b"/usr", b"/"):  # nobody said what their times are
            each[path].pop("mtime", None)
        for path in (b"/usr/link", b"/usr/bin/tool"):  # links over layers are one file or two
            each[path].pop("names")
    assert seen[0] == seen[1]


class Killed(Exception):
    """What ends a step in the middle."""


@pytest.fixture
def base(snapshotter):
    """A layer, and a container on it with a seed that hides, adds and nests."""
    snapshotter.snapshotter.prepare(suite.ID)
    layer = snapshotter.layer("base", suite.base)
    for path in ("etc/passwd", "etc/old", "etc/profile.d/ours", "opt/a/b/ours", "ours"):
        suite.put(f"{snapshotter.snapshotter.seed(suite.ID)}/{path}", "ours")
    yield layer
    snapshotter.snapshotter.remove(suite.ID)


def kill_after(monkeypatch, steps):
    """The calls that lay and lift are made of fail from the given one on, as if the daemon ended there."""
    left = [steps]
    for name in ("rename", "unlink", "rmdir", "mkdir", "utime"):
        real = getattr(os, name)

        def call(*given, real=real, **more):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*given, **more)

        monkeypatch.setattr(os, name, call)
    return left


def plain(subject, layer):
    """What a container on the layer has without any seed."""
    subject.snapshotter.prepare("plain")
    try:
        return file_trees.listing(subject.mount([layer], id="plain"))
    finally:
        subject.snapshotter.remove("plain")


@pytest.mark.parametrize("what", ["mount", "unmount"])
def test_a_daemon_killed_while_it_lays_in_or_lifts_out_leaves_what_the_next_undoes(
    snapshotter, base, what, monkeypatch
):
    """At every step. The tree ends as if there had never been a seed."""
    subject, steps, finished = snapshotter, 0, False
    expected = plain(subject, base)
    subject.snapshotter.view(suite.ID, [base])  # which makes the copy
    subject.snapshotter.unview(suite.ID)
    while not finished:
        if what == "unmount":
            subject.mount([base], seed=True)
        with monkeypatch.context() as patched:
            left = kill_after(patched, steps)
            try:
                if what == "mount":
                    subject.mount([base], seed=True)
                else:
                    subject.snapshotter.unmount(suite.ID)
            except Killed:
                pass
            finished = left[0] >= 0
        native.Native(subject.places).unmount(suite.ID)
        assert subject.snapshotter.changes(suite.ID, [base]) == [], steps
        assert file_trees.listing(subject.snapshotter.tree(suite.ID)) == expected, steps
        steps += 1
    assert steps > 15


def test_a_link_in_place_of_a_seeds_directory_leads_nobody_out(snapshotter, base, tmp_path):
    suite.put(f"{tmp_path}/ours", "ours")
    top = snapshotter.mount([base], seed=True)
    os.utime(f"{tmp_path}/ours", ns=(0, os.stat(f"{snapshotter.snapshotter.seed(suite.ID)}/opt/a/b/ours").st_mtime_ns))
    os.unlink(f"{top}/opt/a/b/ours")
    os.rmdir(f"{top}/opt/a/b")
    os.symlink(tmp_path, f"{top}/opt/a/b")
    snapshotter.snapshotter.unmount(suite.ID)
    assert suite.get(f"{tmp_path}/ours") == "ours"
    snapshotter.mount([base], seed=True)
    assert os.listdir(tmp_path) == ["ours"]


def test_a_copy_that_does_not_fit_is_told_and_leaves_nothing(snapshotter):
    def fill(directory):
        with open(f"{directory}/large", "wb") as file:
            file.write(b"x" * (6 << 20))

    mount.tmpfs(snapshotter.places.root, size="10m")
    snapshotter.places.ensure()
    it = native.Native(snapshotter.places)
    layer = snapshotter.layer("large", fill)
    it.prepare(suite.ID)
    with pytest.raises(errors.Unavailable, match="No space left"):
        it.mount(suite.ID, [layer], snapshotter.places.rootfs(suite.ID))
    assert sorted(os.listdir(snapshotter.places.rw(suite.ID))) == []


def test_what_a_daemon_killed_while_it_copied_has_left_is_no_part_of_the_copy(snapshotter, base):
    suite.put(f"{snapshotter.places.rw(suite.ID)}/fresh/half", "x")
    assert snapshotter.names(snapshotter.mount([base])) == ["link", "srv"]
    assert sorted(os.listdir(snapshotter.places.rw(suite.ID))) == ["origins", "tree"]


def test_more_layers_than_an_overlay_takes_are_copied(snapshotter):
    layers = [snapshotter.layer(f"l{each}", lambda d, each=each: suite.put(f"{d}/f{each}")) for each in range(600)]
    snapshotter.snapshotter.prepare(suite.ID)
    assert len(snapshotter.names(snapshotter.mount(layers))) == 600


def test_a_container_of_the_other_snapshotter_is_refused_not_emptied(snapshotter):
    other = overlay.Overlay(snapshotter.places)
    layer = snapshotter.layer("base", suite.base)
    for one, two, name in ((other, snapshotter.snapshotter, "overlay"), (snapshotter.snapshotter, other, "native")):
        one.prepare(name)
        one.mount(name, [layer], snapshotter.places.rootfs(name))
        one.unmount(name)
        two.prepare(name)
        for attempt in (
            lambda two=two, name=name: two.mount(name, [layer], snapshotter.places.rootfs(name)),
            lambda two=two, name=name: two.view(name, [layer]),
            lambda two=two, name=name: two.changes(name, [layer]),
        ):
            with pytest.raises(errors.Conflict, match=f"kept by the {name} snapshotter"):
                attempt()
        two.remove(name)
        assert not os.path.exists(snapshotter.places.rw(name))
