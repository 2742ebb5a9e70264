"""Layers become files: everything a tar may hold, and nothing of it outside the layer."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import tarfile
import tempfile

import pytest
from support import images, unpacking

from pouch.image import apply
from pouch.kernel import mount
from pouch.spec import digest, errors
from pouch.store.snapshot import lowerview

pytestmark = pytest.mark.skipif(bool(unpacking.REASON), reason=unpacking.REASON)
Bench, _Opened, state, text = unpacking.Bench, unpacking.Opened, unpacking.state, unpacking.text


@pytest.fixture(params=["seen", "alone"])
def bench(request):
    """Whether upper layers are first written without a sight of those below: it must make no difference."""
    with unpacking.bench() as made:
        made.again = request.param == "alone"
        yield made


# -- what is in a tar is in the layer ---------------------------------------------------------------------------------


def test_owners_modes_times_and_kinds(bench):
    top = bench.add(
        images.layer(
            images.directory("./", mode=0o751),
            images.directory("home", mode=0o2770, uid=1000, gid=70000, mtime=1_500_000_000),
            images.file("home/tool", "x", mode=0o6755, uid=70001, gid=5, mtime=1_600_000_000),
            images.symlink("home/link", "/etc/shadow", uid=7, gid=8, mtime=1_400_000_000),
            images.entry("home/fifo", tarfile.FIFOTYPE, mode=0o600),
            images.device("null", 1, 3, mode=0o666),
            images.device("disk", 8, 17, kind=tarfile.BLKTYPE, mode=0o660, gid=6),
        )
    )
    assert state(top) == (0o751, 0, 0)
    assert state(f"{top}/home") == (0o2770, 1000, 70000)
    assert os.stat(f"{top}/home").st_mtime == 1_500_000_000
    assert state(f"{top}/home/tool") == (0o6755, 70001, 5)
    assert os.stat(f"{top}/home/tool").st_mtime == 1_600_000_000
    assert os.readlink(f"{top}/home/link") == "/etc/shadow"
    assert state(f"{top}/home/link")[1:] == (7, 8)
    assert os.lstat(f"{top}/home/link").st_mtime == 1_400_000_000
    assert stat.S_ISFIFO(os.stat(f"{top}/home/fifo").st_mode)
    assert stat.S_ISCHR(os.stat(f"{top}/null").st_mode)
    assert os.stat(f"{top}/null").st_rdev == os.makedev(1, 3)
    assert stat.S_ISBLK(os.stat(f"{top}/disk").st_mode)
    assert (os.stat(f"{top}/disk").st_rdev, state(f"{top}/disk")) == (os.makedev(8, 17), (0o660, 0, 6))


def test_nanoseconds_names_in_any_bytes_and_attributes(bench):
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    top = bench.add(
        images.pax_member([(b"mtime", b"1700000000.123456789"), (b"path", b"odd\xff\n name")])
        + images.raw_member(b"x", b"data")
        + images.pax_member([(b"SCHILY.xattr.security.capability", capability), (b"SCHILY.xattr.user.note", b"\0\xff")])
        + images.raw_member(b"ping", mode=b"0000755")
        + images.END
    )
    assert os.stat(os.fsencode(top) + b"/odd\xff\n name").st_mtime_ns == 1_700_000_000_123_456_789
    assert os.getxattr(f"{top}/ping", "security.capability") == capability
    assert os.getxattr(f"{top}/ping", "user.note") == b"\0\xff"


def test_hard_links_are_one_file(bench):
    top = bench.add(
        images.layer(
            images.file("a", "x", mode=0o4755),
            images.hardlink("b", "a"),
            images.hardlink("/c", "./b"),
            images.hardlink("a", "c"),
        )
    )
    assert {os.stat(f"{top}/{name}").st_ino for name in "abc"} == {os.stat(f"{top}/a").st_ino}
    assert os.stat(f"{top}/a").st_nlink == 3
    assert state(f"{top}/c") == (0o4755, 0, 0)


def test_a_hard_link_to_a_symbolic_link_is_not_followed(bench):
    top = bench.add(images.layer(images.symlink("l", "/etc/passwd"), images.hardlink("h", "l")))
    assert os.readlink(f"{top}/h") == "/etc/passwd"


def test_a_sparse_file_stays_sparse(bench, tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(50_000_000)
        file.seek(30_000_000)
        file.write(b"middle")
    made = subprocess.run(
        ["tar", "--sparse", "--format=pax", "-cf", "-", "-C", str(tmp_path), "sparse"], check=True, capture_output=True
    )
    top = bench.add(made.stdout)
    status = os.stat(f"{top}/sparse")
    assert (status.st_size, status.st_blocks < 1000) == (50_000_000, True)
    with open(f"{top}/sparse", "rb") as file:
        file.seek(30_000_000)
        assert file.read(6) == b"middle"


def test_directories_that_have_no_entry_are_made(bench):
    top = bench.add(images.layer(images.file("a/b/c/file", "x"), images.directory("a/b", mode=0o700)))
    assert text(f"{top}/a/b/c/file") == "x"
    assert state(f"{top}/a/b") == (0o700, 0, 0)


def test_a_later_entry_takes_an_earlier_ones_place(bench):
    top = bench.add(
        images.layer(
            images.file("twice", "one", mode=0o4755),
            images.file("twice", "two"),
            images.directory("was-dir"),
            images.file("was-dir/deep/file"),
            images.file("was-dir", "file now"),
            images.file("was-file"),
            images.directory("was-file"),
            images.file("was-file/inner", "in"),
            images.symlink("was-link", "/nowhere"),
            images.file("was-link", "file"),
            images.file("was-target", "kept"),
            images.symlink("link-to-target", "was-target"),
            images.file("link-to-target", "new"),
            images.directory("dir", mode=0o700),
            images.directory("dir", mode=0o755, uid=4),
        )
    )
    assert (text(f"{top}/twice"), state(f"{top}/twice")) == ("two", (0o644, 0, 0))
    assert text(f"{top}/was-dir") == "file now"
    assert text(f"{top}/was-file/inner") == "in"
    assert text(f"{top}/was-link") == "file"
    assert (text(f"{top}/was-target"), text(f"{top}/link-to-target")) == ("kept", "new")
    assert state(f"{top}/dir") == (0o755, 4, 0)


def test_a_file_is_written_into_a_linked_directory_inside_the_layer(bench):
    top = bench.add(
        images.layer(images.directory("usr/bin"), images.symlink("bin", "usr/bin"), images.file("bin/tool", "x"))
    )
    assert text(f"{top}/usr/bin/tool") == "x"
    assert os.path.islink(f"{top}/bin")


def test_aufs_leftovers_are_no_part_of_the_image(bench):
    top = bench.add(
        images.layer(
            images.directory(".wh..wh.plnk"),
            images.file(".wh..wh.plnk/1.2"),
            images.file(".wh..wh.aufs"),
            images.file("x"),
        )
    )
    assert os.listdir(top) == ["x"]


# -- a layer over others ----------------------------------------------------------------------------------------------

BASE = images.layer(
    images.directory("etc", mode=0o750, uid=5, gid=6),
    images.file("etc/passwd", "root"),
    images.file("etc/old", "old"),
    images.directory("srv/data", mode=0o1777),
    images.file("srv/data/one", "1"),
    images.file("srv/data/two", "2"),
    images.directory("usr/bin"),
    images.symlink("bin", "usr/bin"),
    images.file("usr/bin/tool", "tool"),
)


def test_deleted_files_are_overlays_whiteouts(bench):
    top = bench.add(
        BASE, images.layer(images.whiteout("etc/old"), images.whiteout("srv"), images.whiteout("nothing/there"))
    )
    assert lowerview.is_whiteout(os.lstat(f"{top}/etc/old"))
    assert lowerview.is_whiteout(os.lstat(f"{top}/srv"))
    assert sorted(os.listdir(top)) == ["etc", "srv"]


@pytest.mark.parametrize("first", [True, False])
def test_an_opaque_directory_hides_what_is_below_and_nothing_of_its_own(bench, first):
    mark, file = images.opaque("srv/data"), images.file("srv/data/three", "3")
    again = images.file("srv/data/two", "new")
    order = (mark, file, again) if first else (file, again, mark)
    top = bench.merged(BASE, images.layer(images.directory("srv/data"), *order))
    assert sorted(os.listdir(f"{top}/srv/data")) == ["three", "two"]
    assert text(f"{top}/srv/data/two") == "new"


@pytest.mark.parametrize("first", [True, False])
def test_a_whiteout_of_what_the_layer_has_itself_hides_only_what_is_below(bench, first):
    members = [
        images.whiteout("etc/old"),
        images.file("etc/old", "again"),
        images.whiteout("srv"),
        images.file("srv/new", "n"),
    ]
    top = bench.merged(BASE, images.layer(*(members if first else reversed(members))))
    assert text(f"{top}/etc/old") == "again"
    assert os.listdir(f"{top}/srv") == ["new"]


def test_an_opaque_root_hides_everything(bench):
    top = bench.merged(BASE, images.layer(images.file(".wh..wh..opq"), images.file("only", "x")))
    assert os.listdir(top) == ["only"]


def test_a_directory_without_an_entry_keeps_the_attributes_it_has_below(bench):
    top = bench.merged(BASE, images.layer(images.file("etc/new", "x"), images.file("srv/data/x")))
    assert state(f"{top}/etc") == (0o750, 5, 6)
    assert state(f"{top}/srv/data") == (0o1777, 0, 0)


def test_the_roots_attributes_are_kept_from_layer_to_layer(bench):
    base = images.layer(images.directory("./", mode=0o700, uid=9))
    assert state(bench.add(base, images.layer(images.file("x")), images.layer(images.file("y")))) == (0o700, 9, 0)


def test_a_file_below_a_link_of_a_lower_layer_goes_where_the_link_leads(bench):
    top = bench.merged(BASE, images.layer(images.file("bin/new", "new")))
    assert os.readlink(f"{top}/bin") == "usr/bin"
    assert text(f"{top}/usr/bin/new") == "new"


def test_a_hard_link_to_a_file_of_a_lower_layer(bench):
    top = bench.merged(BASE, images.layer(images.hardlink("usr/bin/alias", "usr/bin/tool")))
    assert text(f"{top}/usr/bin/alias") == "tool"
    assert os.stat(f"{top}/usr/bin/alias").st_ino == os.stat(f"{top}/usr/bin/tool").st_ino


def test_kinds_change_from_layer_to_layer(bench):
    top = bench.merged(
        BASE,
        images.layer(
            images.file("srv", "file now"),
            images.directory("bin"),
            images.file("bin/x", "x"),
            images.symlink("etc", "usr"),
        ),
    )
    assert text(f"{top}/srv") == "file now"
    assert os.listdir(f"{top}/bin") == ["x"]
    assert os.readlink(f"{top}/etc") == "usr"


def test_attributes_a_later_entry_does_not_have_are_taken_away(bench):
    note = {"SCHILY.xattr.user.note": "x"}
    top = bench.merged(images.layer(images.directory("d", pax=note)), images.layer(images.directory("d")))
    assert "user.note" not in os.listxattr(f"{top}/d")


# -- hostile tars -----------------------------------------------------------------------------------------------------

OUTSIDE = images.file("planted", "owned")


def refused(bench, data, message, *below):
    with pytest.raises(errors.CorruptData, match=message):
        bench.add(*below, data)
    assert bench.database.find_layer(digest.chain_ids([images.sha256(one) for one in (*below, data)])[-1]) is None
    assert len(os.listdir(bench.places.layers)) == len(below)


@pytest.mark.parametrize("name", ["../planted", "a/../../planted", "..", "/../planted", "a/b/../../../x"])
def test_a_path_that_climbs_is_refused(bench, name):
    refused(bench, images.layer(images.file(name, "x")), "its path leads out of the layer")


@pytest.mark.parametrize("name", ["/abs/file", "./abs/file", "//abs//file", "x/../abs/./file"])
def test_absolute_and_winding_names_are_taken_inside(bench, name):
    assert text(bench.add(images.layer(images.file(name, "x"))) + "/abs/file") == "x"


@pytest.mark.parametrize("target", ["../../../../../../../..", "/", "/tmp"])
def test_a_link_never_leads_out(bench, target, tmp_path):
    """The layer's root is the process's root: whatever the link says, the file lands inside."""
    marker = f"pouch-{os.getpid()}-planted"
    top = bench.add(
        images.layer(
            images.symlink("out", target),
            images.directory("tmp"),
            images.file(f"out/{marker}", "x"),
            images.directory("out/" + marker + "-d"),
        )
    )
    assert not os.path.exists(f"/{marker}")
    assert not os.path.exists(f"/tmp/{marker}")
    assert any(os.path.exists(f"{top}/{place}{marker}") for place in ("", "tmp/"))


def test_a_chain_of_links_in_one_tar_never_leads_out(bench):
    secret = f"/var/tmp/pouch-{os.getpid()}-secret"
    with open(secret, "w") as file:
        file.write("host")
    try:
        refused(
            bench,
            images.layer(
                images.symlink("a", ".."), images.symlink("b", "a/.."), images.hardlink("stolen", f"b/b/b{secret}")
            ),
            "which is not there",
        )
    finally:
        os.unlink(secret)


@pytest.mark.parametrize("target", ["/etc/passwd", "../etc/passwd", "../../../../etc/passwd"])
def test_a_hard_link_to_the_hosts_files_is_refused(bench, target):
    refused(bench, images.layer(images.hardlink("stolen", target)), "which is not there|its link leads out")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([images.file(".wh.")], "a whiteout of no name"),
        ([images.file("etc/.wh...")], "a whiteout of no name"),
        ([images.file(".wh..")], "a whiteout of no name"),
        ([images.device("x", 0, 0)], "the device 0/0"),
        (
            [images.file("x", pax={"SCHILY.xattr.trusted.overlay.opaque": "y"})],
            "trusted.overlay.opaque.*steer the overlay",
        ),
        ([images.directory("x", pax={"SCHILY.xattr.trusted.overlay.redirect": "/etc"})], "steer the overlay"),
        ([images.hardlink("x", "x")], "a hard link to itself"),
        ([images.directory("d"), images.hardlink("x", "d")], "a hard link to the directory"),
        ([images.file("f"), images.file("f/below")], "no directory|Not a directory"),
        ([images.file(".", "x")], "the root is a file, expected a directory"),
        ([images.symlink("/", "x")], "the root is a symbolic link"),
        ([images.symlink("x", "")], "a symbolic link to nothing"),
        ([images.symlink("loop", "loop"), images.file("loop/x")], "Too many levels of symbolic links|no directory"),
        ([images.file("/".join(["d" * 200] * 30), "x")], "File name too long"),
        ([images.file("n" * 256, "x")], "File name too long"),
        ([images.file("x", uid=2**32 - 1)], "beyond the highest id"),
        ([images.file("x", gid=2**40)], "beyond the highest id"),
        ([images.symlink("x", "y" * 5000)], "File name too long"),
    ],
)
def test_what_no_layer_should_hold_is_named(bench, members, message):
    refused(bench, images.layer(*members), message)


@pytest.mark.parametrize(
    ("major", "minor"), [(b"\x80\0\0\0\0\0\x10\0", b"0000001"), (b"0000001", b"\x80\0\0\0\0\x10\0\0")]
)
def test_device_numbers_beyond_linux_are_refused(bench, major, minor):
    refused(bench, images.raw_member(b"x", kind=b"3", major=major, minor=minor) + images.END, "beyond what Linux has")


def test_other_trusted_attributes_and_foreign_security_labels_are_left_out(bench):
    pax = {"SCHILY.xattr.trusted.other": "x", "SCHILY.xattr.security.selinux": "label", "SCHILY.xattr.user.kept": "k"}
    assert os.listxattr(bench.add(images.layer(images.file("x", pax=pax))) + "/x") == ["user.kept"]


def test_a_damaged_capability_is_named(bench):
    with pytest.raises((errors.CorruptData, errors.Unavailable), match='entry "ping"'):
        bench.add(images.layer(images.file("ping", pax={"SCHILY.xattr.security.capability": "rubbish"})))


def test_a_digest_that_does_not_match_is_named_and_nothing_stays(bench):
    data = images.layer(images.file("x"))
    wrong = digest.of_bytes(b"other")
    with pytest.raises(errors.CorruptData, match=f"layer {wrong}: its content has the digest {images.sha256(data)}"):
        bench.ensure((wrong,), wrong, data)
    assert os.listdir(bench.places.layers) == []


def test_bytes_behind_the_end_count_for_the_digest(bench):
    assert os.listdir(bench.add(images.layer(images.file("x")) + b"trailing")) == ["x"]


@pytest.mark.parametrize("cut", [100, 511, 600, 1500])
def test_a_tar_cut_off_is_corrupt_and_nothing_stays(bench, cut):
    refused(bench, (images.raw_member(b"x", b"d" * 600) + images.raw_member(b"y"))[:cut], "ends early")


def test_a_stream_that_fails_leaves_nothing_and_no_process(bench):
    class Failing(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell() > 1024:
                raise errors.Unavailable("the client went away")
            return super().read(512)

    with pytest.raises(errors.Unavailable, match="the client went away"):
        bench.layers.ensure(
            (digest.of_bytes(b"x"),),
            digest.of_bytes(b"x"),
            lambda: Failing(images.layer(images.file("x", b"d" * 9000))),
            lambda *a: None,
        )
    assert os.listdir(bench.places.layers) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_full_disk_is_named_and_nothing_stays(tmp_path):
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    mount.tmpfs(top, size="4m")
    try:
        bench = Bench(top)
        with pytest.raises(
            errors.Unavailable, match=f"cannot write below {top}/l/tmp: No space left on device"
        ) as caught:
            bench.add(images.layer(images.file("big", bytes(8_000_000))))
        assert caught.value.hint
        assert os.listdir(bench.places.tmp) == []
        assert os.listdir(bench.places.layers) == []
        assert text(bench.add(images.layer(images.file("small", "fits"))) + "/small") == "fits"
        bench.database.close()
    finally:
        mount.unmount(top)
        os.rmdir(top)


# -- what directories keep and pass on --------------------------------------------------------------------------------


def test_a_directory_without_an_entry_keeps_its_time_whatever_happens_in_it(bench):
    base = images.layer(
        images.directory("./", mtime=1000),
        images.directory("etc", mtime=2000),
        images.file("etc/old"),
        images.directory("srv", mtime=3000),
        images.file("srv/x"),
        images.directory("usr/bin", mtime=4000),
        images.symlink("bin", "usr/bin"),
    )
    top = bench.merged(
        base,
        images.layer(images.whiteout("etc/old"), images.file("etc/new"), images.opaque("srv"), images.file("bin/tool")),
    )
    times = {name: os.stat(f"{top}/{name}").st_mtime for name in ("", "etc", "srv", "usr/bin")}
    assert times == {"": 1000, "etc": 2000, "srv": 3000, "usr/bin": 4000}
    assert sorted(os.listdir(f"{top}/etc")) == ["new"]


def test_directories_get_their_times_in_whatever_order_entries_come(bench, monkeypatch):
    members = [images.directory(f"d{number}", mtime=number) for number in range(1, 60)]
    files = [images.file(f"d{1 + (number * 7) % 59}/f{number}", mtime=9) for number in range(400)]
    top = bench.add(images.layer(*members, *files, images.directory("d5", mtime=77)))
    assert {number: os.stat(f"{top}/d{number}").st_mtime for number in range(1, 60)} == {
        number: 77 if number == 5 else number for number in range(1, 60)
    }


def test_few_times_of_directories_are_held_back(tmp_path, monkeypatch):
    monkeypatch.setattr(apply, "_MOST_TIMES", 3)
    times = apply.Times()
    paths = [os.fsencode(tmp_path / str(number)) for number in range(10)]
    for number, path in enumerate(paths):
        os.mkdir(path)
        times.set(path, number * 10**9)
    for path in reversed(paths):
        times.keep(path)
        with open(path + b"/child", "w"):
            pass
        assert len(times._found) <= 4
    times.settle()
    assert [os.stat(path).st_mtime_ns for path in paths] == [number * 10**9 for number in range(10)]


@pytest.mark.parametrize("layered", [True, False])
def test_what_is_made_in_a_set_group_id_directory_has_its_own_group(bench, layered):
    above = [images.directory("shared", mode=0o2775, gid=50)]
    files = [
        images.file("shared/file"),
        images.symlink("shared/link", "file"),
        images.directory("shared/dir"),
        images.file("shared/new/implied"),
        images.file("shared/mail", gid=8, mode=0o2755),
    ]
    tars = [images.layer(*above), images.layer(*files)] if layered else [images.layer(*above, *files)]
    top = bench.add(*tars)
    assert [state(f"{top}/shared/{name}")[1:] for name in ("file", "link", "dir", "new/implied")] == [(0, 0)] * 4
    assert state(f"{top}/shared/dir")[0] == 0o755
    assert state(f"{top}/shared/mail") == (0o2755, 0, 8)


def test_what_is_made_in_a_directory_with_default_rights_has_its_own_mode(bench):
    """An acl of a directory that its children get: user 7 may read and write (acl(5), in the kernel's binary form)."""
    rows = [(1, 7, 0xFFFFFFFF), (2, 6, 7), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 5, 0xFFFFFFFF)]
    acl = b"\2\0\0\0" + b"".join(struct.pack("<HHI", *row) for row in rows)
    data = (
        images.pax_member([(b"SCHILY.xattr.system.posix_acl_default", acl)])
        + images.raw_member(b"d", kind=b"5", mode=b"0000755")
        + images.raw_member(b"d/file", b"x", mode=b"0000644")
        + images.END
    )
    assert stat.S_IMODE(os.stat(bench.add(data) + "/d/file").st_mode) == 0o644
