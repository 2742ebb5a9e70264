"""Every kind of file through a snapshotter, both ways: from the tars of layers to what a container sees, from what it does to `changes`.

The second way ends where it began: the changes are made a layer, and layers and that one show what the container saw.
A test module subclasses Files and gives the fixture `snapshotter`, as for suites.snapshotter.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import stat
import struct

import pytest
from suites import snapshotter as suite
from support import file_trees, images

from pouch.image import diff
from pouch.kernel import mount
from pouch.store import snapshot

ID = suite.ID
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service+ep, version 2 (capabilities(7))."""
NEVER = 4_000_000_001
"""An id far above 65535 and above the sign bit."""
SECOND = 10**9
ODD = b"\xff\xfe \t\n'\"\\:,;=*"
A, M, D = snapshot.ADDED, snapshot.MODIFIED, snapshot.DELETED


def text(members):
    return images.layer(*members)


BASE = [
    images.directory("etc", mode=0o755),
    images.file("etc/one", "1"),
    images.file("etc/two", "2"),
    images.directory("bin"),
    images.file("bin/ping", "ping", mode=0o755, pax={"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}),
    images.file("bin/su", "su", mode=0o6755),
    images.directory("data", mode=0o2770, uid=70_000, gid=NEVER),
    images.file("data/file", "data", uid=70_000, gid=NEVER, mode=0o640),
    images.directory("data/deep"),
    images.file("data/deep/inner", "inner"),
    images.file("linked-a", "linked"),
    images.hardlink("linked-b", "linked-a"),
    images.symlink("link", "etc/one"),
    images.device("null", 1, 3, mode=0o666),
    images.entry("pipe", images.tarfile.FIFOTYPE, mode=0o620),
]


class Files:
    """The suite."""

    @pytest.fixture(autouse=True)
    def _prepared(self, snapshotter):
        self.subject = snapshotter
        self.it = snapshotter.snapshotter
        self.it.prepare(ID)
        yield
        self.it.remove(ID)
        assert mount.mount_points(snapshotter.places.run) == []

    def image(self, *tars):
        """Chain-ids of layers made of tars."""
        return self.subject.unpack(*tars)

    def see(self, *tars, **options):
        return self.subject.mount(self.image(*tars), **options)

    # -- from layers to what is seen ----------------------------------------------------------------------------------

    def test_attributes_of_every_kind_come_through(self):
        top = self.see(text(BASE))
        status = os.stat(f"{top}/data")
        assert (status.st_uid, status.st_gid, oct(status.st_mode)) == (70_000, NEVER, "0o42770")
        assert oct(os.stat(f"{top}/bin/su").st_mode) == "0o106755"
        assert os.getxattr(f"{top}/bin/ping", "security.capability") == CAPABILITY
        null = os.stat(f"{top}/null")
        assert (stat.S_ISCHR(null.st_mode), null.st_rdev) == (True, os.makedev(1, 3))
        assert oct(os.stat(f"{top}/pipe").st_mode) == "0o10620"
        assert os.readlink(f"{top}/link") == "etc/one"
        one, two = os.stat(f"{top}/linked-a"), os.stat(f"{top}/linked-b")
        assert (one.st_ino, one.st_nlink) == (two.st_ino, 2)

    def test_names_of_any_bytes_and_of_the_greatest_length(self):
        longest = "n" * 255
        top = self.see(text([images.file(os.fsdecode(ODD), "odd"), images.symlink(longest, os.fsdecode(ODD))]))
        assert set(os.listdir(os.fsencode(top))) >= {ODD, longest.encode()}
        assert suite.get(f"{top}/{longest}") == "odd"

    @pytest.mark.parametrize("when", [0, 1, SECOND - 1, 1_700_000_000_123_456_789])
    def test_times_are_kept_to_the_nanosecond(self, when):
        pax = {"mtime": f"{when // SECOND}.{when % SECOND:09d}"}
        top = self.see(
            text(
                [images.directory("d", pax=pax), images.file("d/f", "x", pax=pax), images.symlink("d/l", "f", pax=pax)]
            )
        )
        assert {os.lstat(f"{top}/{path}").st_mtime_ns for path in ("d", "d/f", "d/l")} == {when}

    def test_whiteouts_hide_files_directories_and_links(self):
        deleted = ["etc/one", "data", "link", "null", "linked-a"]
        top = self.see(text(BASE), text([images.whiteout(path) for path in deleted] + [images.whiteout("none")]))
        assert not [path for path in deleted if os.path.lexists(f"{top}/{path}")]
        assert suite.get(f"{top}/etc/two") == "2"
        assert suite.get(f"{top}/linked-b") == "linked"

    def test_a_whiteout_and_its_name_again_in_one_layer(self):
        top = self.see(
            text(BASE), text([images.whiteout("data"), images.directory("data"), images.file("data/new", "n")])
        )
        assert os.listdir(f"{top}/data") == ["new"]
        assert os.stat(f"{top}/data").st_uid == 0

    def test_an_opaque_directory_hides_what_is_below_but_not_its_own(self):
        layers = [text(BASE), text([images.directory("data"), images.file("data/own", "own"), images.opaque("data")])]
        assert os.listdir(f"{self.see(*layers)}/data") == ["own"]

    def test_what_was_deleted_may_come_again_further_up(self):
        third = [images.directory("data"), images.directory("data/deep"), images.file("data/deep/other", "other")]
        top = self.see(text(BASE), text([images.whiteout("data")]), text(third))
        assert os.listdir(f"{top}/data/deep") == ["other"]

    def test_a_whiteout_in_a_middle_layer_hides_only_what_is_below_it(self):
        layers = [
            text([images.file("d/a", "1"), images.file("d/b", "1")]),
            text([images.whiteout("d/a"), images.file("d/c", "2")]),
            text([images.file("d/b", "3")]),
        ]
        top = self.see(*layers)
        assert sorted(os.listdir(f"{top}/d")) == ["b", "c"]
        assert suite.get(f"{top}/d/b") == "3"

    def test_a_file_a_directory_and_a_file_again(self):
        layers = [
            text([images.file("x", "file")]),
            text([images.directory("x"), images.file("x/inner", "i")]),
            text([images.file("x", "again")]),
            text([images.symlink("x", "etc")]),
            text([images.directory("x", mode=0o711)]),
        ]
        chain = self.image(*layers)
        seen = []
        for count in range(1, 6):
            self.it.prepare(f"c{count}")
            try:
                top = self.subject.mount(chain[:count], id=f"c{count}")
                seen.append(stat.S_IFMT(os.lstat(f"{top}/x").st_mode))
                inside = os.listdir(f"{top}/x") if stat.S_ISDIR(seen[-1]) else []
                assert inside == (["inner"] if count == 2 else [])
            finally:
                self.it.remove(f"c{count}")
        assert seen == [stat.S_IFREG, stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR]

    def test_a_hard_link_to_a_file_of_a_layer_below(self):
        top = self.see(text(BASE), text([images.hardlink("etc/three", "etc/two")]))
        assert suite.get(f"{top}/etc/three") == suite.get(f"{top}/etc/two") == "2"

    def test_a_file_below_a_link_of_a_lower_layer_lands_where_the_link_leads(self):
        top = self.see(
            text([images.directory("usr/bin"), images.symlink("sbin", "usr/bin")]), text([images.file("sbin/x", "x")])
        )
        assert os.path.islink(f"{top}/sbin")
        assert suite.get(f"{top}/usr/bin/x") == "x"

    def test_an_upper_layer_changes_a_directory_alone(self):
        top = self.see(text(BASE), text([images.directory("data", mode=0o700, uid=1, gid=2, mtime=7)]))
        status = os.stat(f"{top}/data")
        assert (status.st_uid, status.st_gid, oct(status.st_mode), status.st_mtime) == (1, 2, "0o40700", 7.0)
        assert suite.get(f"{top}/data/deep/inner") == "inner"

    def test_a_sparse_file_takes_no_space(self):
        def fill(directory):
            with open(f"{directory}/sparse", "wb") as file:
                file.truncate(1 << 30)
                for offset in (0, 1 << 29, (1 << 30) - 1):
                    file.seek(offset)
                    file.write(b"x")

        top = self.subject.mount([self.subject.layer("sparse", fill)])
        status = os.stat(f"{top}/sparse")
        assert status.st_size == 1 << 30
        assert status.st_blocks * 512 <= 1 << 20
        with open(f"{top}/sparse", "rb") as file:
            for offset in (0, 1 << 29, (1 << 30) - 1):
                file.seek(offset)
                assert file.read(1) == b"x"

    def test_layers_are_never_changed_by_those_above_or_by_containers(self):
        chain = self.image(text(BASE))
        before = file_trees.listing(self.subject.places.layer(chain[0]))
        above = [images.hardlink("etc/three", "etc/two"), images.file("etc/one", "new"), images.whiteout("data")]
        top = self.see(text(BASE), text(above))
        os.chmod(f"{top}/linked-a", 0o600)
        suite.put(f"{top}/linked-b", "other")
        os.unlink(f"{top}/etc/three")
        assert file_trees.listing(self.subject.places.layer(chain[0])) == before

    # -- from what a container does to its changes, and back ----------------------------------------------------------

    def there_and_back(self, do, *, userns_fd=None):
        """What a container on BASE changed; and its changes as a layer on BASE show the same files."""
        base = text(BASE)
        chain = self.image(base)
        top = self.subject.mount(chain, userns_fd=userns_fd)
        assert self.it.changes(ID, chain) == []
        do(top)
        found = self.it.changes(ID, chain)
        left_out = self.sockets(top)
        expected = self.comparable(top, left_out, shift=suite.BASE if userns_fd is not None else 0)
        for layer in (file_trees.layer(self.it.tree(ID), found), self.committed(chain, found)):
            made = self.image(base, layer)
            self.it.prepare("back")
            try:
                assert self.comparable(self.subject.mount(made, id="back"), ()) == expected
            finally:
                self.it.remove("back")
        return found

    def committed(self, chain, changes):
        """The layer that `commit` makes."""
        out, said = io.BytesIO(), []
        layers = [self.subject.places.layer(each) for each in reversed(chain)]
        diff.Files(layers, changes, self.it.tree(ID)).write_layer(out, said.append)
        assert said == []
        return out.getvalue()

    def comparable(self, top, without, shift=0):
        """A listing without the skeleton's places, whose times and ids are the host's own."""
        skeleton = self.subject.places.skeleton
        common = [f"/{name}" for name in os.listdir(skeleton) if name != "etc"]
        common += [f"/etc/{name}" for name in os.listdir(f"{skeleton}/etc")]
        found = file_trees.listing(top, without=[*common, *without], shift=shift)
        for each in found.values():
            each.pop("names")  # a file that one name of was changed is one of its own in some snapshotters
        found.pop(b"/")
        return found

    def sockets(self, top):
        return [f"/{name}" for name in os.listdir(top) if stat.S_ISSOCK(os.lstat(f"{top}/{name}").st_mode)]

    def test_nothing_done_is_no_change(self):
        assert self.there_and_back(lambda top: None) == []

    def test_written_chowned_chmodded_and_marked(self):
        def do(top):
            suite.put(f"{top}/etc/one", "longer than before")
            os.chown(f"{top}/etc/two", 123_456, NEVER)
            os.chmod(f"{top}/bin/su", 0o4711)
            os.setxattr(f"{top}/data/file", "user.note", b"\x00\xff")
            os.removexattr(f"{top}/bin/ping", "security.capability")
            os.utime(f"{top}/linked-a", ns=(5, 5))

        found = {path: kind for kind, path in self.there_and_back(do)}
        names = ("/etc/one", "/etc/two", "/bin/su", "/bin/ping", "/data/file", "/linked-a")
        assert {found[name] for name in names} == {M}

    def test_size_and_time_put_back_do_not_hide_a_change(self):
        def do(top):
            status = os.stat(f"{top}/etc/one")
            with open(f"{top}/etc/one", "r+") as file:
                file.write("7")
            os.utime(f"{top}/etc/one", ns=(status.st_atime_ns, status.st_mtime_ns))

        assert (M, "/etc/one") in self.there_and_back(do)

    def test_files_that_change_names_with_each_other(self):
        def do(top):
            for path in ("one", "two"):
                os.utime(f"{top}/etc/{path}", ns=(9, 9))
            os.rename(f"{top}/etc/one", f"{top}/etc/three")
            os.rename(f"{top}/etc/two", f"{top}/etc/one")
            os.rename(f"{top}/etc/three", f"{top}/etc/two")

        assert self.there_and_back(do) == [(M, "/etc"), (M, "/etc/one"), (M, "/etc/two")]

    def test_new_files_of_every_kind(self):
        def do(top):
            suite.put(f"{top}/new/file", "x")
            os.link(f"{top}/new/file", f"{top}/new/again")
            os.symlink(b"\xff", f"{top}/new/link")
            os.mkfifo(f"{top}/new/pipe", 0o600)
            os.mknod(f"{top}/new/zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
            os.mknod(f"{top}/new/disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
            os.setxattr(f"{top}/new/file", "security.capability", CAPABILITY)
            with open(os.fsencode(top) + b"/new/" + ODD, "wb") as file:
                file.write(b"\0" * 5000)
            os.utime(f"{top}/new", ns=(3, 1_600_000_000_000_000_007))

        found = self.there_and_back(do)
        names = ["", "/file", "/again", "/link", "/pipe", "/zero", "/disk", "/" + os.fsdecode(ODD)]
        assert found == sorted(((A, f"/new{name}") for name in names), key=lambda change: change[1])

    def test_a_new_name_of_a_file_of_the_image_is_added(self):
        assert (A, "/etc/second") in self.there_and_back(lambda top: os.link(f"{top}/etc/one", f"{top}/etc/second"))

    def test_a_socket_is_a_change_like_any(self):
        def do(top):
            with socket.socket(socket.AF_UNIX) as one, _inside(top):
                one.bind("socket")

        assert self.there_and_back(do) == [(A, "/socket")]

    def test_deleted_files_and_trees(self):
        def do(top):
            os.unlink(f"{top}/etc/one")
            os.unlink(f"{top}/null")
            os.unlink(f"{top}/linked-a")
            shutil.rmtree(f"{top}/data")

        assert self.there_and_back(do) == [(D, "/data"), (M, "/etc"), (D, "/etc/one"), (D, "/linked-a"), (D, "/null")]

    def test_a_tree_deleted_and_made_again_with_less(self):
        def do(top):
            shutil.rmtree(f"{top}/data")
            suite.put(f"{top}/data/deep/new", "new")
            os.chown(f"{top}/data", 1, 1)

        assert self.there_and_back(do) == [
            (M, "/data"), (M, "/data/deep"), (D, "/data/deep/inner"), (A, "/data/deep/new"), (D, "/data/file"),
        ]  # fmt: skip

    def test_a_directory_in_place_of_a_file_and_the_other_way(self):
        def do(top):
            os.unlink(f"{top}/etc/one")
            suite.put(f"{top}/etc/one/inner", "x")
            shutil.rmtree(f"{top}/data")
            suite.put(f"{top}/data", "flat")
            os.unlink(f"{top}/link")
            os.mkdir(f"{top}/link")

        assert self.there_and_back(do) == [
            (M, "/data"), (M, "/etc"), (M, "/etc/one"), (A, "/etc/one/inner"), (M, "/link"),
        ]  # fmt: skip

    def test_a_renamed_directory_is_deleted_and_added(self):
        def do(top):
            try:
                os.rename(f"{top}/data", f"{top}/moved")
            except OSError:  # as mv(1) does where an overlay says EXDEV
                _move(f"{top}/data", f"{top}/moved")

        assert self.there_and_back(do) == [
            (D, "/data"), (A, "/moved"), (A, "/moved/deep"), (A, "/moved/deep/inner"), (A, "/moved/file"),
        ]  # fmt: skip

    def test_a_new_directory_renamed_over_and_again(self):
        def do(top):
            suite.put(f"{top}/first/a", "a")
            os.rename(f"{top}/first", f"{top}/second")
            os.mkdir(f"{top}/third")
            os.rename(f"{top}/second", f"{top}/third")

        assert self.there_and_back(do) == [(A, "/third"), (A, "/third/a")]

    def test_a_deep_tree(self):
        inner = "/".join(["d"] * 150)
        found = self.there_and_back(lambda top: suite.put(f"{top}/{inner}/file", "x"))
        assert len(found) == 151

    def test_a_mode_changed_and_changed_back_shows_the_same_files(self):
        def do(top):
            for mode in (0o600, 0o644):
                os.chmod(f"{top}/etc/two", mode)

        self.there_and_back(do)

    def test_in_a_user_namespace_changes_carry_the_containers_own_ids(self, ranged):
        def do(top):
            suite.put(f"{top}/new", "x", uid=suite.BASE + 33)
            os.chown(f"{top}/etc/one", suite.BASE + 5, suite.BASE + 6)
            os.unlink(f"{top}/etc/two")

        base = [each for each in BASE if each[0].name.split("/")[0] in ("etc", "link")]
        chain = self.image(text(base))
        top = self.subject.mount(chain, userns_fd=ranged)
        do(top)
        assert self.it.changes(ID, chain) == [(M, "/etc"), (M, "/etc/one"), (D, "/etc/two"), (A, "/new")]
        status = os.stat(f"{self.it.tree(ID)}/etc/one")
        assert (status.st_uid, status.st_gid, os.stat(f"{self.it.tree(ID)}/new").st_uid) == (5, 6, 33)


@contextlib.contextmanager
def _inside(directory):
    """The working directory is there: a socket's path is short."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def _move(source, target):
    """Copy with all attributes, then delete."""
    os.mkdir(target)
    for name in os.listdir(source):
        inner, new = f"{source}/{name}", f"{target}/{name}"
        if os.path.isdir(inner):
            _move(inner, new)
        else:
            shutil.copy2(inner, new)
            _own(inner, new)
            os.unlink(inner)
    _own(source, target)
    os.rmdir(source)


def _own(source, target):
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
