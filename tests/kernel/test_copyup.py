"""Copy-up on real file systems, as root: everything comes along that a file has, and nothing leads out of the volume."""

from __future__ import annotations

import os
import socket
import stat
import struct

import pytest
from support import kernel, treedigest

from pouch.kernel import mount
from pouch.spec import errors
from pouch.volume import copyup

pytestmark = [kernel.needs(kernel.private_mount_namespace), pytest.mark.usefixtures("place")]

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""`cap_net_bind_service+ep` as the kernel keeps it (capability.h, vfs_cap_data)."""


@pytest.fixture
def view(tmp_path):
    """A root file system."""
    made = tmp_path / "view"
    (made / "data").mkdir(parents=True)
    return made


@pytest.fixture
def volume(place):
    """An empty volume."""
    made = place / "volume"
    made.mkdir()
    return made


def copied(view, volume, target="/data"):
    return copyup.copy_up(str(view), target, str(volume))


def everything(top):
    """A tree of whatever an image may hold, but for devices and sockets."""
    (top / "inner/deep").mkdir(parents=True)
    (top / "inner/file").write_text("text")
    (top / "program").write_bytes(b"\x7fELF")
    os.chown(top / "program", 12, 34)
    os.setxattr(top / "program", "security.capability", CAPABILITY)
    os.chmod(top / "program", 0o4755)
    os.link(top / "program", top / "inner/deep/again")
    (top / "link").symlink_to("/etc/passwd")
    os.chown(top / "link", 5, 6, follow_symlinks=False)
    os.mkfifo(top / "fifo")
    os.chown(top / "fifo", 7, 8)
    os.chmod(top / "fifo", 0o622)
    (top / "empty").mkdir(mode=0o500)
    os.chmod(top / "inner", 0o2770)
    os.chown(top, 1000, 1001)
    os.chmod(top, 0o1730)
    for number, path in enumerate(sorted(top.rglob("*"), reverse=True)):
        os.utime(path, ns=(number, 10**18 + number * 7), follow_symlinks=False)


def test_owners_modes_times_links_attributes_and_kinds_come_along(view, volume):
    everything(view / "data")
    assert copied(view, volume) == []
    assert treedigest.differences(view / "data", volume) == []
    assert os.stat(volume).st_mtime_ns == os.stat(view / "data").st_mtime_ns


def test_the_names_that_mean_one_file_are_one_file_again(view, volume):
    everything(view / "data")
    copied(view, volume)
    assert os.stat(volume / "program").st_ino == os.stat(volume / "inner/deep/again").st_ino


def test_devices_are_refused_with_a_warning_and_sockets_left_out(view, volume):
    os.mknod(view / "data/sda", stat.S_IFBLK | 0o660, os.makedev(8, 0))
    os.mknod(view / "data/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(view / "data")
        try:
            one.bind("socket")
        finally:
            os.chdir(here)
    (view / "data/file").write_text("x")
    warnings = copied(view, volume)
    assert os.listdir(volume) == ["file"]
    assert warnings == [f"/data/{name} is a device: it is not copied into the volume" for name in ("null", "sda")]


def test_holes_stay_holes(view, volume):
    with open(view / "data/sparse", "wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 30)
        file.write(b"island")
    copied(view, volume)
    made = os.stat(volume / "sparse")
    assert made.st_size == 1 << 40
    assert made.st_blocks * 512 < 1 << 20
    with open(volume / "sparse", "rb") as file:
        file.seek(1 << 30)
        assert file.read(6) == b"island"


def test_a_link_at_the_target_is_looked_up_inside_the_image(view, volume, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("of the host")
    (view / "real").mkdir()
    (view / "real/file").write_text("of the image")
    (view / "absolute").symlink_to("/real")
    (view / "climbing").symlink_to("../../../../../../../.." + str(tmp_path / "outside"))
    copied(view, volume, "/absolute")
    assert os.listdir(volume) == ["file"]
    (volume / "file").unlink()
    assert copied(view, volume, "/climbing") == []
    assert os.listdir(volume) == []


@pytest.mark.parametrize("target", ["/none", "/none/of/it", "/file"])
def test_where_the_image_has_no_directory_nothing_is_copied(view, volume, target):
    (view / "file").write_text("x")
    before = os.stat(volume)
    assert copied(view, volume, target) == []
    assert os.listdir(volume) == []
    assert os.stat(volume).st_mode == before.st_mode


def test_what_is_there_stays_as_it_is_and_the_rest_comes(view, volume):
    """A copy that was cut off goes on: what has a name is whole."""
    everything(view / "data")
    (view / "data/first").write_text("of the image")
    (volume / "first").write_text("of the volume")
    (volume / "inner").mkdir()
    (volume / ".pouch-copy-0").write_text("half of some fil")
    copied(view, volume)
    assert (volume / "first").read_text() == "of the volume"
    assert (volume / "inner/file").read_text() == "text"
    assert not (volume / ".pouch-copy-0").exists()
    assert os.stat(volume / "program").st_ino == os.stat(volume / "inner/deep/again").st_ino


def test_an_image_that_knows_our_names_loses_none(view, volume):
    for number in range(4):
        (view / f"data/.pouch-copy-{number}").write_text(str(number))
    (view / "data/file").write_text("x")
    copied(view, volume)
    assert treedigest.differences(view / "data", volume) == []


def test_links_that_others_put_into_the_volume_meanwhile_lead_nowhere(view, volume, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    os.chmod(outside, 0o700)
    (outside / "again").write_text("of the host")
    for name in ("dir", "z"):
        (view / "data" / name).mkdir()
        (view / "data" / name / "file").write_text("x")
    (view / "data/a").write_text("one")
    os.link(view / "data/a", view / "data/z/a")
    (volume / "dir").symlink_to(outside)
    (volume / "a").symlink_to(outside / "again")
    before = treedigest.of(outside)
    copied(view, volume)
    assert treedigest.of(outside) == before
    assert (volume / "dir").is_symlink()
    assert (volume / "z/a").read_text() == "one"
    assert os.stat(volume / "z/a").st_nlink == 1


def test_directories_nested_without_end_are_refused(view, volume):
    fd = os.open(view / "data", os.O_RDONLY)
    for _ in range(copyup.DEEPEST + 20):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    with pytest.raises(
        errors.InvalidInput, match=f"/data of the image has directories more than {copyup.DEEPEST} deep"
    ):
        copied(view, volume)


def test_a_volume_that_is_too_small_says_so_and_keeps_no_half_file(view, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount.tmpfs(str(small), size="64k")
    (view / "data/a").write_text("fits")
    (view / "data/b").write_bytes(os.urandom(1 << 20))
    with pytest.raises(errors.Unavailable, match="copying /data of the image to its volume: No space left on device"):
        copied(view, small)
    assert os.listdir(small) == ["a"]


def test_only_what_a_new_file_system_has_counts_as_empty(volume):
    assert copyup.is_empty(str(volume))
    (volume / "lost+found").mkdir()
    assert copyup.is_empty(str(volume))
    (volume / ".hidden").touch()
    assert not copyup.is_empty(str(volume))
