"""Layers become files: everything a tar may hold, and nothing of it outside the layer."""

from __future__ import annotations

import bz2
import contextlib
import hashlib
import io
import lzma
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

import pytest
import zstandard
from support import images

from pouch.image import apply, crew, layers, tar, unpack, unpacker
from pouch.kernel import confine, mount
from pouch.spec import digest, errors
from pouch.store import content, db, paths
from pouch.store.snapshot import lowerview


def _probe() -> str:
    home = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    try:
        os.mkdir(f"{home}/fs")
        unpack.unpack(io.BytesIO(images.layer(images.device("null", 1, 3))), home, (), "probe")
        return "" if os.path.exists(f"{home}/fs/null") else "devices cannot be made here"
    except (errors.PouchError, OSError) as error:
        return f"layers cannot be unpacked here: {error}"
    finally:
        shutil.rmtree(home)


REASON = _probe()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


class Bench:
    """Layers in a store of their own."""

    def __init__(self, top):
        self.places = paths.Paths(f"{top}/l", f"{top}/r")
        self.places.ensure()
        self.database = db.Database(self.places.db)
        self.content = content.Content(self.places, self.database)
        self.layers = layers.Layers(self.places, self.database, self.content)
        self.said = []

    def add(self, *tars):
        """Unpack tars one over the other; the directory of the last."""
        diff_ids = [images.sha256(data) for data in tars]
        chain = digest.chain_ids(diff_ids)
        for position, data in enumerate(tars):
            self.ensure(chain[: position + 1], diff_ids[position], data)
        return self.places.layer(chain[-1])

    def ensure(self, chain, diff_id, data):
        return self.layers.ensure(chain, diff_id, lambda: _Opened(data), lambda status, *more: self.said.append(status))

    def merged(self, *tars):
        """The view of all of them, mounted read-only: to be taken off by the test's bench."""
        self.add(*tars)
        chain = digest.chain_ids([images.sha256(data) for data in tars])
        target = f"{self.places.run}/view"
        os.makedirs(target)
        mount.overlay([self.places.layer(layer) for layer in reversed(chain)], "", "", target)
        return target


class _Opened(io.BytesIO):
    """A stream as a context."""


@pytest.fixture
def bench():
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    made = Bench(top)
    yield made
    mount.unmount(f"{made.places.run}/view")
    left = os.listdir(made.places.tmp)
    made.database.close()
    shutil.rmtree(top)
    assert left == []


def state(path):
    status = os.lstat(path)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def text(path):
    with open(path) as file:
        return file.read()


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


# -- the helper process -----------------------------------------------------------------------------------------------


def test_the_helper_keeps_few_capabilities_no_way_back_and_no_descriptors(tmp_path):
    """Run in the helper's place: what it could do is looked at after it has confined itself."""
    script = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from pouch.image import unpacker; from pouch.kernel import confine;"
        "status = os.open('/proc/self/status', os.O_RDONLY); confine.into(sys.argv[2], unpacker.KEPT);"
        "print(os.pread(status, 65536, 0).decode()); print(os.listdir('/'), os.getcwd());"
        "\ntry:\n    os.chroot('.')\nexcept PermissionError:\n    print('no way back')"
    )
    (tmp_path / "inside").write_text("")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", script, crew._SOURCE, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    fields = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    kept = int(fields["CapEff"], 16)
    assert kept == int(fields["CapPrm"], 16)
    from pouch.kernel import process

    assert {name for number, name in enumerate(process.CAPABILITIES) if kept >> number & 1} == set(unpacker.KEPT)
    assert (fields["NoNewPrivs"], int(fields["CapInh"], 16)) == ("1", 0)
    assert "['inside'] /" in done.stdout
    assert "no way back" in done.stdout


@pytest.mark.parametrize("name", ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_READ_SEARCH"])
def test_what_leads_out_again_cannot_be_kept(name):
    with pytest.raises(errors.InvalidInput, match="is not confined"):
        confine.into("/nowhere", (*unpacker.KEPT, name))


def test_the_helpers_mounts_are_its_own(bench):
    bench.add(BASE, images.layer(images.whiteout("etc/old")))
    assert mount.mount_points(os.path.dirname(bench.places.root)) == []


def test_many_warnings_are_cut_short(monkeypatch):
    sink = []
    applier = apply.Applier(layered=False, warn=sink.append)
    monkeypatch.setattr(os, "mknod", lambda *_: (_ for _ in ()).throw(PermissionError(1, "x")))
    monkeypatch.setattr(os, "makedirs", lambda *a, **k: None)
    reader = tar.Reader(io.BytesIO(images.layer(images.device("null", 1, 3))), "layer")
    applier.apply(reader)
    assert sink == ['device "null" was left out: this host does not let us make one']


# -- many at once -----------------------------------------------------------------------------------------------------


def test_a_layer_wanted_by_many_at_once_is_unpacked_once(bench):
    data = images.layer(*(images.file(f"f{number}", b"x" * 1000) for number in range(300)))
    diff_id = images.sha256(data)
    made = []
    threads = [threading.Thread(target=lambda: made.append(bench.ensure((diff_id,), diff_id, data))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 5 + [True]
    assert len(os.listdir(bench.places.layer(diff_id))) == 300
    assert bench.layers._making == {}


def test_what_a_crash_left_in_a_layers_place_is_replaced(bench):
    data = images.layer(images.file("x", "whole"))
    half = bench.places.layer(images.sha256(data))
    os.makedirs(half)
    with open(f"{half}/half", "w"):
        pass
    assert os.listdir(bench.add(data)) == ["x"]


def test_a_recorded_layer_whose_files_are_gone_is_made_again(bench):
    data = images.layer(images.file("x", "whole"))
    top = bench.add(data)
    shutil.rmtree(os.path.dirname(top))
    assert os.listdir(bench.add(data)) == ["x"]


def test_the_digest_and_size_of_a_large_stream(bench):
    data = images.layer(images.file("big", os.urandom(5_000_000)))
    seen = []
    with bench.layers._home() as home:
        made = unpack.unpack(io.BytesIO(data), home, (), "layer", progress=seen.append)
    assert (made.diff_id, made.size) == ("sha256:" + hashlib.sha256(data).hexdigest(), len(data))
    assert seen[-1] == len(data)


# -- as it is stored --------------------------------------------------------------------------------------------------

STORED = {
    "plain": lambda data: data,
    "gzip": images.zipped,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
SEVERAL = images.layer(images.directory("d", mtime=5), *(images.file(f"d/{n}", bytes([n]) * 70_000) for n in range(90)))


def unpacked(bench, data, below=(), crew=None, **limits):
    """The bare unpacker on a stream: what it says; its files are gone again."""
    stream = data if hasattr(data, "read") else io.BytesIO(data)
    with bench.layers._home() as home:
        return unpack.unpack(stream, home, below, "layer X", limits=unpack.Limits(**limits), crew=crew)


@pytest.mark.parametrize("form", STORED)
@pytest.mark.parametrize("by_kernel", [True, False])
def test_each_form_of_storage_is_unpacked_and_the_digest_is_the_tars(bench, form, by_kernel, tmp_path):
    (tmp_path / "stored").write_bytes(STORED[form](SEVERAL))
    with open(tmp_path / "stored", "rb") as file:
        made = unpacked(bench, file if by_kernel else io.BytesIO(file.read()))
    assert made == unpack.Unpacked(images.sha256(SEVERAL), len(SEVERAL), ())


def test_a_file_is_sent_from_the_place_it_was_read_to(bench, tmp_path):
    (tmp_path / "stored").write_bytes(b"something else" + SEVERAL)
    with open(tmp_path / "stored", "rb") as file:
        file.read(14)
        assert unpacked(bench, file).diff_id == images.sha256(SEVERAL)


def test_progress_counts_stored_bytes(bench):
    told = []
    data = images.zipped(SEVERAL)
    bench.layers.ensure(
        (images.sha256(SEVERAL),),
        images.sha256(SEVERAL),
        lambda: _Opened(data),
        lambda *step: told.append(step),
        total=len(data),
        status="Extracting",
    )
    assert told == [("Extracting", images.sha256(SEVERAL)[7:19], len(data), len(data))]


@pytest.mark.parametrize("form", [form for form in STORED if form != "plain"])
def test_a_stream_cut_off_is_named_by_its_kind(bench, form):
    data = STORED[form](SEVERAL)
    with pytest.raises(errors.CorruptData, match=f"layer X: the {form} stream ends early"):
        unpacked(bench, data[: len(data) // 2])


@pytest.mark.parametrize("form", ["gzip", "xz", "bzip2", "zstd"])
def test_rubbish_behind_a_stream_is_named(bench, form):
    with pytest.raises(errors.CorruptData, match=f"layer X: damaged {form} stream"):
        unpacked(bench, STORED[form](SEVERAL) + b"rubbish rubbish rubbish")


def test_a_wrong_checksum_of_gzip_is_named(bench):
    data = bytearray(images.zipped(SEVERAL))
    data[-8] ^= 1
    with pytest.raises(errors.CorruptData, match="layer X: damaged gzip stream"):
        unpacked(bench, bytes(data))


def test_a_layer_is_compared_without_being_unpacked(bench):
    bench.layers.compare(images.sha256(SEVERAL), io.BytesIO(images.zipped(SEVERAL)))
    with pytest.raises(errors.CorruptData, match=f"its content has the digest {images.sha256(SEVERAL)}"):
        bench.layers.compare(images.sha256(b"x"), io.BytesIO(SEVERAL))


# -- limits -----------------------------------------------------------------------------------------------------------


def refused_by(key):
    return pytest.raises(
        errors.Forbidden, match=rf"^layer X: (?s:.*)\nhint: the limit is {key} in pouchd's configuration"
    )


def test_a_layer_beyond_the_limit_of_bytes_ends_early(bench):
    with refused_by("max-layer-size") as caught:
        unpacked(bench, images.zipped(SEVERAL), size=1_000_000)
    assert caught.value.message == "layer X: unpacks to more than 1000000 bytes"
    assert unpacked(bench, SEVERAL, size=len(SEVERAL)).size == len(SEVERAL)


def test_a_layer_of_more_files_than_allowed_is_refused(bench):
    with refused_by("max-layer-files") as caught:
        unpacked(bench, SEVERAL, files=90)
    assert caught.value.message == "layer X: has more than 90 entries"
    assert unpacked(bench, SEVERAL, files=91).size == len(SEVERAL)


def test_a_bomb_of_ten_gigabytes_ends_after_the_first(bench):
    """Its data belongs to no file, so that only the decompressor has work: 10 GiB behind some 300 KB."""
    zeros = zstandard.ZstdCompressor().compress(bytes(16 << 20))
    bomb = (
        STORED["zstd"](images.raw_header(b"label", b"V", size=b"\x80" + (10 << 30).to_bytes(11, "big"))) + zeros * 640
    )
    with refused_by("max-layer-ratio") as caught:
        unpacked(bench, bomb)
    size = int(caught.value.message.split(": ")[2].split()[0])
    assert caught.value.message.startswith("layer X: unpacks to more than 250 times its size: ")
    assert 1 << 30 < size < (1 << 30) + (80 << 20)


def test_nothing_is_left_of_a_layer_beyond_a_limit(bench):
    bench.layers.limits = unpack.Limits(size=1_000_000)
    with pytest.raises(errors.Forbidden, match=f"layer {images.sha256(SEVERAL)}: unpacks to more than"):
        bench.add(SEVERAL)
    assert os.listdir(bench.places.layers) == []


def test_many_members_take_little_memory(monkeypatch):
    """Of most names only a hash in a row is kept; whiteouts still find them."""
    monkeypatch.setattr(apply, "_MOST_RECENT", 50)
    names = apply._Names()
    for number in range(2000):
        names.add(b"dir%d/sub/file%d" % (number // 10, number))
    assert len(names._recent) < 50
    assert sum(map(len, names._rows)) < 2000 + 2 * 200 + 3 * len(names._rows)
    assert all(b"dir%d/sub/file%d" % (number // 10, number) in names for number in range(2000))
    assert b"dir7/sub" in names
    assert b"dir7" in names
    assert b"dir7/sub/file7" not in names
    assert b"dir200" not in names


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
    times = apply._Times()
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


# -- the first stage --------------------------------------------------------------------------------------------------


def test_the_first_stage_has_nothing_but_its_pipes():
    """Run in its place: what it could do is looked at after it has sealed itself."""
    script = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from pouch.kernel import confine;"
        "status = os.open('/proc/self/status', os.O_RDONLY); confine.sealed(); print(os.read(status, 65536).decode())\n"
        "for attempt in (lambda: os.open('/', 0), lambda: os.listdir('.'), os.fork, lambda: os.kill(1, 0)):\n"
        "    try:\n        attempt()\n    except PermissionError:\n        print('refused')\n"
        "sys.stdout.flush(); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-IS", "-c", script, crew._SOURCE], check=True, capture_output=True, text=True
    )
    fields = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["65534"] * 4
    assert fields["Gid"].split() == ["65534"] * 4
    assert {int(fields[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Amb")} == {0}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert done.stdout.count("refused") == 4


def test_no_process_of_ours_stays_when_a_stream_fails(bench):
    class Failing(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell() > 100_000:
                raise errors.Unavailable("the client went away")
            return super().read(50_000)

    with pytest.raises(errors.Unavailable, match="the client went away"):
        unpacked(bench, Failing(images.zipped(os.urandom(300_000))))
    _all_gone()


def _all_gone():
    """Wait until no unpacking process of ours is left."""
    deadline = time.monotonic() + 20
    while _unpackers() and time.monotonic() < deadline:
        os.sched_yield()
    assert _unpackers() == []


def _unpackers():
    """Pids of unpacking processes for this one."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().endswith(b"\0for %d\0" % os.getpid()):
                    found.append(int(pid))
        except OSError:
            continue
    return found


# -- one program for several layers -----------------------------------------------------------------------------------


def test_a_crews_layers_share_a_program_that_ends_with_it(bench):
    with crew.Crew() as team:
        assert _unpackers() == []
        for number in range(3):
            data = images.layer(images.file(f"f{number}", "x" * 5000))
            with bench.layers._home() as home:
                made = unpack.unpack(io.BytesIO(images.zipped(data)), home, (), "layer X", crew=team)
                assert os.listdir(f"{home}/fs") == [f"f{number}"]
            assert made.diff_id == images.sha256(data)
            assert team._process.pid in _unpackers()
        with pytest.raises(errors.CorruptData, match="leads out"):
            unpacked(bench, images.layer(images.file("../x")), crew=team)
    _all_gone()


def test_layers_of_a_crew_are_unpacked_at_the_same_time(bench):
    data = [images.layer(images.file(f"f{number}", os.urandom(200_000))) for number in range(8)]
    made = {}
    with crew.Crew() as team:

        def one(number):
            diff_id = images.sha256(data[number])
            made[number] = bench.layers.ensure(
                (diff_id,), diff_id, lambda: _Opened(data[number]), lambda *_: None, crew=team
            )

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert made == dict.fromkeys(range(8), True)
    assert sorted(os.listdir(bench.places.layers)) == sorted(images.sha256(one)[7:] for one in data)
    _all_gone()


def test_a_program_that_was_killed_is_started_again(bench):
    with crew.Crew() as team:
        unpacked(bench, SEVERAL, crew=team)
        os.kill(team._process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, team._process.pid, os.WEXITED | os.WNOWAIT)
        assert unpacked(bench, SEVERAL, crew=team).diff_id == images.sha256(SEVERAL)


def test_a_process_that_is_killed_at_work_is_told(bench):
    class Killing(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell():
                for pid in _unpackers():
                    if pid != team._process.pid:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
            return super().read(50_000)

    with (
        crew.Crew() as team,
        pytest.raises(errors.Unavailable, match="layer X: the unpacking process ended without a word"),
    ):
        unpacked(bench, Killing(SEVERAL), crew=team)
    _all_gone()


def test_a_first_stage_that_is_killed_is_told(bench):
    """What it has sent by then is not taken for the whole."""

    class Killing(io.BytesIO):
        def read(self, size=-1, /):
            piece = super().read(60_000)
            if not piece:
                for pid in _first_stages():
                    os.kill(pid, signal.SIGKILL)
            return piece

    whole = images.layer(images.file("x", "x")) + bytes(100_000)
    with pytest.raises(errors.Unavailable, match=r"layer X: .*the decompressing process ended with status 9"):
        unpacked(bench, Killing(whole + bytes(50_000)))
    _all_gone()


def _first_stages():
    """Those of our unpacking processes that have given up every id: wait for the first."""
    while True:
        found = [pid for pid in _unpackers() if os.stat(f"/proc/{pid}").st_uid == 65534]
        if found:
            return found
        os.sched_yield()
