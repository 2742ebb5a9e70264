"""What only root can plant in a root file system, and the root of a process in another mount namespace."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess

import pytest
from support import kernel

from pouch.kernel import inroot, mount
from pouch.spec import errors

pytestmark = kernel.needs(kernel.private_mount_namespace, kernel.device_nodes)


@pytest.mark.parametrize(("kind", "device"), [(stat.S_IFCHR, (1, 3)), (stat.S_IFBLK, (7, 0)), (stat.S_IFCHR, (0, 0))])
def test_a_device_node_is_never_opened(place, kind, device):
    os.mknod(place / "passwd", kind | 0o666, os.makedev(*device))
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):
        with pytest.raises(errors.KernelError) as caught:
            inroot.open_file(str(place), "passwd", flags)
        assert caught.value.errno == errno.EINVAL
        assert "device, expected a regular file" in caught.value.hint
    assert inroot.exists(str(place), "passwd")
    assert not inroot.is_executable(str(place), "passwd")


def test_made_directories_belong_to_the_owner_that_was_named(place):
    inroot.make_directories(str(place), "srv/app", 300_000)
    assert [(os.stat(place / each).st_uid, os.stat(place / each).st_gid) for each in ("srv", "srv/app")] == [
        (300_000, 300_000)
    ] * 2


def test_names_are_resolved_across_mounts_below_the_root(place):
    (place / "var").mkdir()
    mount.tmpfs(str(place / "var"))
    (place / "var/log").mkdir()
    (place / "log").symlink_to("/var/log")
    assert inroot.resolve(str(place), "log") == "/var/log"


@kernel.needs(kernel.static_busybox)
def test_the_root_of_a_process_in_its_own_mount_namespace_can_be_read(place):
    (place / "root/etc").mkdir(parents=True)
    (place / "root/etc/name").write_text("inner")
    (place / "root/link").symlink_to("/etc/name")
    shutil.copy(kernel.BUSYBOX, place / "root/busybox")
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f"cd {place}/root && exec chroot . /busybox cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        running.stdin.write(b"x\n")
        running.stdin.flush()
        assert running.stdout.readline() == b"x\n"  # the cat behind chroot has answered
        root = f"/proc/{running.pid}/root"
        try:
            assert inroot.read_file(root, "/link") == b"inner"
            assert inroot.resolve(root, "link") == "/etc/name"
        finally:
            running.stdin.close()
            running.wait()
