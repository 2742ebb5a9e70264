"""The local driver's mounts: there while somebody has the volume, and never deleted through."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from support import kernel

from pouch.kernel import mount
from pouch.spec import errors, volume
from pouch.store import db, paths
from pouch.volume import volumes

pytestmark = [kernel.needs(kernel.private_mount_namespace), pytest.mark.usefixtures("private_mounts")]


@pytest.fixture
def places(tmp_path, private_mounts):
    made = paths.Paths(str(tmp_path / "root"), "/tmp")
    for path in (made.root, made.volumes, made.tmp):
        os.mkdir(path)
    return made


@pytest.fixture
def database(places):
    made = db.Database(places.db)
    yield made
    made.close()


@pytest.fixture
def all_volumes(places, database):
    return volumes.Volumes(places, database)


def made(all_volumes, **options):
    return all_volumes.create(volume.VolumeConfig(name="data", options=options))[0]


def mounted(place):
    """Lines of mountinfo about a place: (options of the mount, type, source, options of the file system)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        rows = [line.split() for line in table]
    found = []
    for row in rows:
        if row[4] == place:
            dash = row.index("-")
            found.append((row[5], *row[dash + 1 :]))
    return found


def test_a_tmpfs_is_there_from_the_first_user_to_the_last(all_volumes):
    one = made(all_volumes, type="tmpfs", device="tmpfs", o="size=1m,uid=1000,noexec")
    place = all_volumes.mountpoint(one)
    assert mounted(place) == []
    assert all_volumes.mount("data", "c1") == place
    open(f"{place}/file", "w", encoding="ascii").close()
    assert all_volumes.mount("data", "c2") == place
    [(flags, kind, _, own)] = mounted(place)
    assert (kind, "noexec" in flags, "size=1024k" in own, "uid=1000" in own) == ("tmpfs", True, True, True)
    all_volumes.unmount("data", "c1")
    assert os.path.exists(f"{place}/file")
    all_volumes.unmount("data", "c2")
    assert mounted(place) == []


def test_a_directory_of_the_host_with_flags_of_its_own(all_volumes, tmp_path):
    (tmp_path / "host").mkdir()
    (tmp_path / "host/file").write_text("x")
    made(all_volumes, type="none", device=str(tmp_path / "host"), o="bind,ro,nosuid")
    place = all_volumes.mount("data", "c1")
    assert os.listdir(place) == ["file"]
    flags = mounted(place)[0][0].split(",")
    assert {"ro", "nosuid"} <= set(flags)
    all_volumes.unmount("data", "c1")
    all_volumes.remove("data")
    assert (tmp_path / "host/file").read_text() == "x"


def test_what_is_mounted_below_a_directory_comes_with_rbind_only(all_volumes, tmp_path):
    (tmp_path / "host/inner").mkdir(parents=True)
    mount.tmpfs(str(tmp_path / "host/inner"))
    (tmp_path / "host/inner/file").touch()
    one = made(all_volumes, type="none", device=str(tmp_path / "host"), o="rbind")
    assert os.listdir(all_volumes.mount("data", "c1") + "/inner") == ["file"]
    all_volumes.unmount("data", "c1")
    assert kernel.unmounted(all_volumes.mountpoint(one))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "none", "device": "/nothing/here", "o": "bind"}, "failed to mount directory /nothing/here: No such file"),
        ({"type": "nosuchfs", "device": "x"}, "failed to mount nosuchfs x: No such device\nhint: this kernel has no file system nosuchfs"),
        ({"type": "tmpfs", "o": "nonsense=1"}, "failed to mount tmpfs tmpfs: Invalid argument\nhint: the kernel takes some"),
        ({"type": "none", "device": "/dev/null", "o": "bind"}, "directory /dev/null is no directory"),
        ({"type": "none", "device": "/", "o": "bind,size=1m"}, 'a bind mount has no option "size=1m"'),
        ({"type": "ext4", "device": "/nothing/here"}, "failed to mount ext4 /nothing/here: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_mounted_says_why_and_has_no_user(all_volumes, options, message):
    made(all_volumes, **options)
    with pytest.raises(errors.PouchError) as caught:
        all_volumes.mount("data", "c1")
    assert message in str(caught.value)
    assert all_volumes.users("data") == ()
    all_volumes.remove("data")


def test_passwords_of_options_are_in_no_message(all_volumes):
    made(all_volumes, type="nosuchfs", device="//server/share", o="username=me,password=secret")
    with pytest.raises(errors.Unavailable) as caught:
        all_volumes.mount("data", "c1")
    assert "secret" not in str(caught.value)


def test_the_mount_of_a_killed_daemon_is_taken_off_when_nobody_has_it(all_volumes, places, database):
    one = made(all_volumes, type="tmpfs")
    all_volumes.mount("data", "c1")
    restarted = volumes.Volumes(places, database)
    restarted.restore({"data": ["c1"]})
    assert len(mounted(all_volumes.mountpoint(one))) == 1
    assert restarted.mount("data", "c1") == all_volumes.mountpoint(one)
    assert len(mounted(all_volumes.mountpoint(one))) == 1
    restarted.restore({})
    assert mounted(all_volumes.mountpoint(one)) == []


def test_the_mount_of_a_daemon_killed_while_it_removed_is_not_deleted_through(all_volumes, places, database, tmp_path):
    (tmp_path / "host").mkdir()
    (tmp_path / "host/file").write_text("x")
    made(all_volumes, type="none", device=str(tmp_path / "host"), o="bind")
    all_volumes.mount("data", "c1")
    database.drop_volume_user("data", "c1")
    all_volumes.remove("data")
    assert (tmp_path / "host/file").read_text() == "x"
    assert os.listdir(places.volumes) == []


def test_what_somebody_mounted_in_a_volume_keeps_it(all_volumes, places):
    one = made(all_volumes)
    place = all_volumes.mount("data", "c1")
    all_volumes.unmount("data", "c1")
    os.mkdir(f"{place}/mine")
    mount.tmpfs(f"{place}/mine")
    open(f"{place}/mine/file", "w", encoding="ascii").close()
    with pytest.raises(errors.Conflict, match=f"something is mounted at {place}/mine"):
        all_volumes.remove("data")
    assert os.path.exists(f"{place}/mine/file")
    assert all_volumes.get("data") == one
    mount.unmount(f"{place}/mine")
    all_volumes.remove("data")
    assert os.listdir(places.volumes) == []


@kernel.needs(kernel.loop_devices)
def test_a_file_with_a_file_system_is_mounted_by_a_loop_device_that_goes_with_it(all_volumes, tmp_path):
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 8 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    made(all_volumes, type="ext4", device=str(image), o="noatime")
    place = all_volumes.mount("data", "c1")
    [(_, kind, device, _)] = mounted(place)
    assert kind == "ext4"
    view = tmp_path / "view/etc"
    view.mkdir(parents=True)
    (view / "file").write_text("x")
    assert all_volumes.fill("data", place, str(tmp_path / "view"), "/etc") == []
    assert sorted(os.listdir(place)) == ["file", "lost+found"]
    all_volumes.unmount("data", "c1")
    deadline = time.monotonic() + 20
    while _backing(device) == str(image):  # the kernel lets go of it when it comes to it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    place = all_volumes.mount("data", "c1")
    assert sorted(os.listdir(place)) == ["file", "lost+found"]
    all_volumes.unmount("data", "c1")


def _backing(device):
    try:
        with open(f"/sys/block/{os.path.basename(device)}/loop/backing_file", encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""
