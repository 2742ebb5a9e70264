"""What every snapshotter must do. A test module subclasses Snapshotters and gives the fixture `snapshotter`.

The fixture answers a Subject: the snapshotter, its paths, and a way to make a layer from a function that fills a directory.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
from dataclasses import dataclass

import pytest

from pouch.image import images
from pouch.kernel import mount, namespace
from pouch.spec import digest, errors
from pouch.store import content, db, paths, snapshot

BASE = 1_000_000
ID = "c" * 12


@dataclass
class Subject:
    """A snapshotter under test."""

    snapshotter: snapshot.Snapshotter
    places: paths.Paths
    database: db.Database | None = None
    overlays: bool = True
    """Whether layers are unpacked through overlays."""

    def layer(self, name, fill):
        """A layer made by fill(directory); its chain-id."""
        chain = digest.of_bytes(name.encode())
        directory = self.places.layer(chain)
        os.makedirs(directory)
        os.chmod(directory, 0o755)
        fill(directory)
        return chain

    def unpack(self, *tars):
        """Layers made of tars (bytes), each on those before it; their chain-ids."""
        if self.database is None:
            self.database = db.Database(self.places.db)
        store = images.Images(self.places, self.database, content.Content(self.places, self.database))
        store.layers.overlays = self.overlays
        diff_ids = [digest.of_bytes(tar) for tar in tars]
        chain = digest.chain_ids(diff_ids)
        for count, tar in enumerate(tars, 1):
            opened = functools.partial(contextlib.closing, io.BytesIO(tar))
            store.layers.ensure(chain[:count], diff_ids[count - 1], opened, lambda *told: None)
        return list(chain)

    def close(self):
        if self.database is not None:
            self.database.close()

    def names(self, top, path=""):
        """What a directory of the view shows, without the mount points that every container has."""
        common = f"{self.places.skeleton}{path}"
        return sorted(set(os.listdir(f"{top}{path}")) - set(os.listdir(common) if os.path.isdir(common) else ()))

    def mount(self, layers, id=ID, **options):
        target = self.places.rootfs(id)
        self.snapshotter.mount(id, layers, target, **options)
        return target


def put(path, text="", mode=0o644, uid=0):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    os.chown(path, uid, uid)


def get(path):
    with open(path) as file:
        return file.read()


def whiteout(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def base(directory):
    put(f"{directory}/etc/passwd", "root", uid=0)
    put(f"{directory}/etc/old", "old")
    put(f"{directory}/srv/data/one", "1", uid=33)
    put(f"{directory}/srv/data/two", "2", uid=33)
    put(f"{directory}/tmp/.keep")
    os.chmod(f"{directory}/tmp", 0o1777)
    os.symlink("srv", f"{directory}/link")
    os.chmod(directory, 0o751)


def upper_layer(directory):
    put(f"{directory}/etc/new", "new")
    whiteout(f"{directory}/etc/old")
    os.makedirs(f"{directory}/srv/data")
    os.setxattr(f"{directory}/srv/data", "trusted.overlay.opaque", b"y")
    put(f"{directory}/srv/data/three", "3")


@pytest.fixture
def ranged():
    """A user namespace of the range BASE.., with the host's root beyond it."""
    fd = namespace.open_userns([(0, BASE, 65536), (65536, 0, 1)])
    yield fd
    os.close(fd)


class Snapshotters:
    """The suite."""

    @pytest.fixture(autouse=True)
    def _prepared(self, snapshotter):
        self.subject = snapshotter
        self.it = snapshotter.snapshotter
        self.it.prepare(ID)
        yield
        self.it.remove(ID)
        assert mount.mount_points(snapshotter.places.run) == []

    def changes(self, layers):
        return self.it.changes(ID, layers)

    # -- the view -----------------------------------------------------------------------------------------------------

    def test_the_layers_are_seen_one_over_the_other(self):
        layers = [self.subject.layer("base", base), self.subject.layer("upper", upper_layer)]
        top = self.subject.mount(layers)
        assert self.subject.names(top, "/etc") == ["new", "passwd"]
        assert os.listdir(f"{top}/srv/data") == ["three"]
        assert os.readlink(f"{top}/link") == "srv"

    def test_what_is_written_stays_over_unmount_and_never_reaches_the_layers(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        put(f"{top}/etc/passwd", "changed")
        os.unlink(f"{top}/etc/old")
        self.it.unmount(ID)
        assert not os.path.exists(f"{top}/etc")
        top = self.subject.mount([layer])
        assert get(f"{top}/etc/passwd") == "changed"
        assert not os.path.exists(f"{top}/etc/old")
        assert get(f"{self.subject.places.layer(layer)}/etc/passwd") == "root"

    def test_the_root_directory_has_the_images_attributes(self):
        top = self.subject.mount([self.subject.layer("base", base)])
        assert stat.S_IMODE(os.stat(top).st_mode) == 0o751

    def test_a_change_of_the_root_directory_stays(self):
        layer = self.subject.layer("base", base)
        os.chmod(self.subject.mount([layer]), 0o700)
        self.it.unmount(ID)
        assert stat.S_IMODE(os.stat(self.subject.mount([layer])).st_mode) == 0o700

    def test_an_image_without_layers_is_an_empty_writable_root(self):
        top = self.subject.mount([])
        put(f"{top}/file", "x")
        assert self.changes([]) == [(snapshot.ADDED, "/file")]

    def test_a_hundred_and_thirty_layers_are_stacked(self):
        layers = [
            self.subject.layer(f"l{number}", lambda d, number=number: put(f"{d}/f{number}", str(number)))
            for number in range(130)
        ]
        top = self.subject.mount(layers)
        assert len(self.subject.names(top)) == 130

    # -- user namespaces ----------------------------------------------------------------------------------------------

    def test_ids_are_shifted_in_the_view_and_plain_on_disk(self, ranged):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer], userns_fd=ranged)
        assert os.stat(f"{top}/etc/passwd").st_uid == BASE
        assert os.stat(f"{top}/srv/data/one").st_uid == BASE + 33
        put(f"{top}/mine", "x", uid=BASE + 5)
        os.chown(f"{top}/srv/data/one", BASE + 44, BASE + 44)
        tree = self.it.tree(ID)
        assert os.stat(f"{tree}/mine").st_uid == 5
        assert os.stat(f"{tree}/srv/data/one").st_uid == 44

    def test_the_range_may_change_from_mount_to_mount(self, ranged):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer], userns_fd=ranged)
        put(f"{top}/mine", "x", uid=BASE + 5)
        self.it.unmount(ID)
        top = self.subject.mount([layer])
        assert os.stat(f"{top}/mine").st_uid == 5
        self.it.unmount(ID)
        other = namespace.open_userns([(0, BASE * 2, 65536), (65536, 0, 1)])
        top = self.subject.mount([layer], userns_fd=other)
        os.close(other)
        assert os.stat(f"{top}/mine").st_uid == BASE * 2 + 5
        os.rename(f"{top}/mine", f"{top}/moved")

    def test_two_containers_share_a_layer_in_two_ranges(self, ranged):
        layer = self.subject.layer("base", base)
        other = namespace.open_userns([(0, BASE * 2, 65536), (65536, 0, 1)])
        self.it.prepare("other")
        try:
            one = self.subject.mount([layer], userns_fd=ranged)
            two = self.subject.mount([layer], id="other", userns_fd=other)
            assert os.stat(f"{one}/etc/passwd").st_uid == BASE
            assert os.stat(f"{two}/etc/passwd").st_uid == BASE * 2
        finally:
            os.close(other)
            self.it.remove("other")

    def test_devices_of_the_image_are_dead_in_a_user_namespace_only(self, ranged):
        def fill(directory):
            os.mknod(f"{directory}/null", 0o20666, os.makedev(1, 3))

        layer = self.subject.layer("devices", fill)
        top = self.subject.mount([layer], userns_fd=ranged)
        with pytest.raises(PermissionError):
            os.open(f"{top}/null", os.O_RDONLY)
        self.it.unmount(ID)
        with open(f"{self.subject.mount([layer])}/null", "rb") as null:
            assert null.read() == b""

    def test_one_mount_is_all_that_stays(self, ranged):
        layers = [self.subject.layer("base", base), self.subject.layer("upper", upper_layer)]
        top = self.subject.mount(layers, userns_fd=ranged)
        assert mount.mount_points(self.subject.places.run) == [top]

    def test_the_namespaces_descriptor_may_be_closed_after_the_mount(self):
        fd = namespace.open_userns([(0, BASE, 65536), (65536, 0, 1)])
        top = self.subject.mount([self.subject.layer("base", base)], userns_fd=fd)
        os.close(fd)
        put(f"{top}/etc/passwd", "x", uid=BASE)

    # -- seed ---------------------------------------------------------------------------------------------------------

    def seed(self, path, text):
        put(f"{self.it.seed(ID)}{path}", text)

    def test_seed_files_are_seen_and_are_no_change(self, ranged):
        layer = self.subject.layer("base", base)
        self.seed("/etc/profile.d/ours.sh", "ours")
        self.seed("/etc/passwd", "hidden by ours")
        top = self.subject.mount([layer], userns_fd=ranged, seed=True)
        assert get(f"{top}/etc/profile.d/ours.sh") == "ours"
        assert get(f"{top}/etc/passwd") == "hidden by ours"
        assert get(f"{top}/etc/old") == "old"
        assert os.stat(f"{top}/etc/profile.d/ours.sh").st_uid == BASE
        assert self.changes([layer]) == []

    def test_without_seed_its_files_are_not_seen(self):
        self.seed("/ours", "ours")
        assert not os.path.exists(f"{self.subject.mount([self.subject.layer('base', base)])}/ours")

    def test_a_seed_is_emptied(self):
        layer = self.subject.layer("base", base)
        self.seed("/etc/ours", "ours")
        self.it.clear_seed(ID)
        assert not os.path.exists(f"{self.subject.mount([layer], seed=True)}/etc/ours")

    def test_seed_directories_do_not_change_the_images(self):
        def fill(directory):
            base(directory)
            os.chown(f"{directory}/srv", 33, 44)
            os.chmod(f"{directory}/srv", 0o2750)
            os.setxattr(f"{directory}/srv", "user.mark", b"x")

        layer = self.subject.layer("base", fill)
        self.seed("/srv/data/ours", "ours")
        top = self.subject.mount([layer], seed=True)
        status = os.stat(f"{top}/srv")
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (33, 44, 0o2750)
        assert os.getxattr(f"{top}/srv", "user.mark") == b"x"
        assert stat.S_IMODE(os.stat(top).st_mode) == 0o751

    def test_a_seed_directory_over_a_link_of_the_image_is_refused_and_nothing_stays(self):
        layer = self.subject.layer("base", base)
        self.seed("/link/ours", "ours")
        with pytest.raises(errors.Conflict, match="seed directory /link would hide"):
            self.subject.mount([layer], seed=True)
        assert mount.mount_points(self.subject.places.run) == []

    def test_a_changed_seed_file_is_a_change_of_the_container(self):
        layer = self.subject.layer("base", base)
        self.seed("/ours", "ours")
        top = self.subject.mount([layer], seed=True)
        put(f"{top}/ours", "theirs")
        assert self.changes([layer]) == [(snapshot.ADDED, "/ours")]

    def test_a_deleted_seed_file_is_no_change(self):
        layer = self.subject.layer("base", base)
        self.seed("/ours", "ours")
        os.unlink(f"{self.subject.mount([layer], seed=True)}/ours")
        assert self.changes([layer]) == []

    def test_what_a_seed_file_hid_is_there_without_it(self):
        layer = self.subject.layer("base", base)
        os.utime(f"{self.subject.places.layer(layer)}/etc", ns=(1, 1_000_000_007))
        self.seed("/etc/passwd", "hidden by ours")
        self.seed("/etc/more/ours", "ours")
        assert os.stat(f"{self.subject.mount([layer], seed=True)}/etc").st_mtime_ns == 1_000_000_007
        self.it.unmount(ID)
        assert self.changes([layer]) == []
        top = self.subject.mount([layer])
        assert get(f"{top}/etc/passwd") == "root"
        assert not os.path.exists(f"{top}/etc/more")
        assert os.stat(f"{top}/etc").st_mtime_ns == 1_000_000_007

    def test_what_a_container_wrote_stands_above_a_later_seed(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        put(f"{top}/etc/passwd", "theirs")
        put(f"{top}/own", "theirs")
        self.it.unmount(ID)
        self.seed("/etc/passwd", "ours")
        self.seed("/own", "ours")
        top = self.subject.mount([layer], seed=True)
        assert (get(f"{top}/etc/passwd"), get(f"{top}/own")) == ("theirs", "theirs")
        assert self.changes([layer]) == [
            (snapshot.MODIFIED, "/etc"),
            (snapshot.MODIFIED, "/etc/passwd"),
            (snapshot.ADDED, "/own"),
        ]

    def test_what_a_container_deleted_or_changed_of_a_seed_stays_so(self):
        layer = self.subject.layer("base", base)
        for name in ("gone", "changed", "kept", "dir/inner", "etc/old"):
            self.seed(f"/{name}", "ours")
        top = self.subject.mount([layer], seed=True)
        os.unlink(f"{top}/gone")
        os.unlink(f"{top}/etc/old")
        put(f"{top}/changed", "theirs")
        os.unlink(f"{top}/dir/inner")
        os.rmdir(f"{top}/dir")
        found = [
            (snapshot.ADDED, "/changed"),
            (snapshot.MODIFIED, "/etc"),
            (snapshot.DELETED, "/etc/old"),
        ]
        assert self.changes([layer]) == found
        for _ in range(2):
            self.it.unmount(ID)
            assert self.changes([layer]) == found
            top = self.subject.mount([layer], seed=True)
            assert get(f"{top}/changed") == "theirs"
            assert get(f"{top}/kept") == "ours"
            assert self.subject.names(top) == ["changed", "kept", "link", "srv"]
            assert "old" not in os.listdir(f"{top}/etc")

    def test_a_containers_file_in_a_seed_directory_stays(self):
        layer = self.subject.layer("base", base)
        self.seed("/dir/ours", "ours")
        put(f"{self.subject.mount([layer], seed=True)}/dir/theirs", "theirs")
        found = [(snapshot.ADDED, "/dir"), (snapshot.ADDED, "/dir/theirs")]
        assert self.changes([layer]) == found
        self.it.unmount(ID)
        self.it.clear_seed(ID)
        assert os.listdir(f"{self.subject.mount([layer])}/dir") == ["theirs"]
        assert self.changes([layer]) == found

    # -- views for looking --------------------------------------------------------------------------------------------

    def test_a_view_shows_layers_and_changes_without_seed_and_cannot_be_written(self):
        layers = [self.subject.layer("base", base), self.subject.layer("upper", upper_layer)]
        self.seed("/ours", "ours")
        put(f"{self.subject.mount(layers, seed=True)}/mine", "mine")
        self.it.unmount(ID)
        self.it.clear_seed(ID)
        target = self.subject.places.view(ID)
        self.it.view(ID, layers)
        try:
            assert get(f"{target}/mine") == "mine"
            assert get(f"{target}/etc/new") == "new"
            assert {"link", "mine", "srv"} <= set(self.subject.names(target))
            assert "ours" not in os.listdir(target)
            with pytest.raises(OSError, match="Read-only"):
                put(f"{target}/more", "x")
        finally:
            self.it.unview(ID)
        assert not os.path.exists(target)
        self.it.unview(ID)

    @pytest.mark.parametrize("count", [0, 1])
    def test_a_view_before_the_first_mount(self, count):
        layers = [self.subject.layer("base", base)][:count]
        self.it.clear_seed(ID)
        target = self.subject.places.view(ID)
        self.it.view(ID, layers)
        assert os.path.exists(f"{target}/etc/passwd") is bool(layers)
        self.it.unview(ID)

    # -- changes ------------------------------------------------------------------------------------------------------

    def test_nothing_changed_before_and_after_the_first_mount(self):
        layers = [self.subject.layer("base", base), self.subject.layer("upper", upper_layer)]
        assert self.changes(layers) == []
        self.subject.mount(layers)
        assert self.changes(layers) == []

    def test_added_modified_and_deleted_with_their_directories(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        put(f"{top}/etc/passwd", "changed")
        os.unlink(f"{top}/etc/old")
        put(f"{top}/srv/data/three", "3")
        put(f"{top}/new/sub/file")
        assert self.changes([layer]) == [
            (snapshot.MODIFIED, "/etc"),
            (snapshot.DELETED, "/etc/old"),
            (snapshot.MODIFIED, "/etc/passwd"),
            (snapshot.ADDED, "/new"),
            (snapshot.ADDED, "/new/sub"),
            (snapshot.ADDED, "/new/sub/file"),
            (snapshot.MODIFIED, "/srv"),
            (snapshot.MODIFIED, "/srv/data"),
            (snapshot.ADDED, "/srv/data/three"),
        ]

    def test_a_deleted_directory_is_one_change(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        for name in ("one", "two"):
            os.unlink(f"{top}/srv/data/{name}")
        os.rmdir(f"{top}/srv/data")
        assert self.changes([layer]) == [(snapshot.MODIFIED, "/srv"), (snapshot.DELETED, "/srv/data")]

    def test_a_replaced_directory_tells_what_it_hides(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        for name in ("one", "two"):
            os.unlink(f"{top}/srv/data/{name}")
        os.rmdir(f"{top}/srv/data")
        put(f"{top}/srv/data/two", "again")
        put(f"{top}/srv/data/four", "4")
        assert self.changes([layer]) == [
            (snapshot.MODIFIED, "/srv"),
            (snapshot.MODIFIED, "/srv/data"),
            (snapshot.ADDED, "/srv/data/four"),
            (snapshot.DELETED, "/srv/data/one"),
            (snapshot.MODIFIED, "/srv/data/two"),
        ]

    def test_a_file_in_place_of_a_directory_and_back(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        os.unlink(f"{top}/link")
        put(f"{top}/link/inner", "x")
        assert self.changes([layer]) == [(snapshot.MODIFIED, "/link"), (snapshot.ADDED, "/link/inner")]

    def test_a_directory_whose_mode_alone_changed_is_modified(self):
        layer = self.subject.layer("base", base)
        os.chmod(f"{self.subject.mount([layer])}/srv", 0o700)
        assert self.changes([layer]) == [(snapshot.MODIFIED, "/srv")]

    def test_a_name_an_upper_layer_deleted_is_added_again(self):
        layers = [self.subject.layer("base", base), self.subject.layer("upper", upper_layer)]
        put(f"{self.subject.mount(layers)}/etc/old", "again")
        assert (snapshot.ADDED, "/etc/old") in self.changes(layers)

    def test_names_that_are_no_utf8_survive(self):
        layer = self.subject.layer("base", base)
        top = os.fsencode(self.subject.mount([layer]))
        with open(top + b"/\xff\xfe", "w"):
            pass
        [(kind, path)] = self.changes([layer])
        assert (kind, os.fsencode(path)) == (snapshot.ADDED, b"/\xff\xfe")

    def test_changes_in_a_user_namespace_are_the_same(self, ranged):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer], userns_fd=ranged)
        os.unlink(f"{top}/etc/old")
        put(f"{top}/etc/passwd", "changed", uid=BASE)
        assert self.changes([layer]) == [
            (snapshot.MODIFIED, "/etc"),
            (snapshot.DELETED, "/etc/old"),
            (snapshot.MODIFIED, "/etc/passwd"),
        ]

    # -- failures and repetition --------------------------------------------------------------------------------------

    def test_prepare_unmount_and_remove_are_idempotent(self):
        layer = self.subject.layer("base", base)
        self.it.prepare(ID)
        put(f"{self.subject.mount([layer])}/file", "x")
        self.it.prepare(ID)
        assert self.changes([layer]) == [(snapshot.ADDED, "/file")]
        for _ in range(2):
            self.it.unmount(ID)
        for _ in range(2):
            self.it.remove(ID)
        assert not os.path.exists(self.it.tree(ID))

    def test_remove_takes_a_mounted_one_too(self):
        self.subject.mount([self.subject.layer("base", base)])
        self.it.remove(ID)
        assert mount.mount_points(self.subject.places.run) == []

    def test_a_second_mount_is_a_conflict_and_leaves_the_first(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        with pytest.raises(errors.Conflict, match="is mounted already"):
            self.subject.mount([layer])
        assert mount.mount_points(self.subject.places.run) == [top]

    def test_a_missing_layer_is_named_and_nothing_stays(self):
        missing = digest.of_bytes(b"nothing")
        with pytest.raises(errors.NotFound, match=f"No such layer: {missing}"):
            self.subject.mount([self.subject.layer("base", base), missing])
        assert mount.mount_points(self.subject.places.run) == []

    def test_a_mount_that_fails_leaves_no_mount(self, ranged):
        layer = self.subject.layer("base", base)
        not_a_namespace = os.open("/dev/null", os.O_RDONLY)
        try:
            with pytest.raises(errors.KernelError):
                self.subject.mount([layer], userns_fd=not_a_namespace)
        finally:
            os.close(not_a_namespace)
        assert mount.mount_points(self.subject.places.run) == []
        self.subject.mount([layer], userns_fd=ranged)

    def test_an_upper_nested_deeper_than_a_path_is_removed(self):
        layer = self.subject.layer("base", base)
        top = self.subject.mount([layer])
        fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        for _ in range(3000):
            os.mkdir("deeper", dir_fd=fd)
            inner = os.open("deeper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(fd)
        with pytest.raises(errors.Unsupported, match="directories within each other"):
            self.changes([layer])
        self.it.remove(ID)
        assert not os.path.exists(self.it.tree(ID))
