"""A daemon whose containers are copies of their layers: what hosts without a usable overlay have, end to end."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import pytest
from support import images, machines
from support import rich as rich_images

from pouch.kernel import mount


@pytest.fixture
def native(make_daemon, busybox_tar):
    """Such a daemon, with the image `busybox` and one of two layers."""
    one = make_daemon("--snapshotter", "native")
    one.pouch("load", "-i", busybox_tar)
    return one


def test_an_ordinary_container_lives_restarts_and_is_committed_on_a_copy(native):
    assert native.out("info", "-f", "{{.Driver}}") == "native"
    assert "native snapshotter copies" in native.out("doctor", check=False)
    script = "cat /etc/own 2>/dev/null; echo own >/etc/own; rm -f /etc/group; id -u"
    native.pouch("create", "--name", "box", "-v", "/proc/self:/made/for/it", "busybox", "sh", "-c", script)
    assert native.out("start", "-a", "box") == "0"
    assert native.out("start", "-a", "box") == "own\n0"
    assert native.out("diff", "box").splitlines() == ["C /etc", "D /etc/group", "A /etc/own"]
    assert json.loads(native.out("inspect", "box"))[0]["GraphDriver"]["Name"] == "native"
    native.pouch("commit", "box", "kept")
    look = "cat /etc/own; for name in /etc/group /made; do test -e $name || echo no $name; done"
    assert native.out("run", "--rm", "kept", "sh", "-c", look).splitlines() == ["own", "no /etc/group", "no /made"]
    native.kill()
    native.start()
    assert native.out("diff", "box").splitlines() == ["C /etc", "D /etc/group", "A /etc/own"]


@pytest.mark.skipif(bool(rich_images.missing()), reason=rich_images.missing() or "-")
def test_a_machine_boots_on_a_copy_in_a_user_namespace_and_its_diff_shows_nothing_of_ours(native):
    box = machines.boot(native, machines.BUSYBOX, "machine", "sh", "-c", "echo up; exec sleep 1000")
    assert native.out("exec", box, "cat", "/proc/self/uid_map").split()[1] != "0"
    native.pouch("exec", box, "sh", "-c", "echo x >/root/mine")
    native.pouch("stop", "-t", "5", box)
    changed = [line for line in native.out("diff", box).splitlines() if not line[2:].startswith("/var")]
    assert changed == ["C /root", "A /root/mine"]
    native.pouch("start", box)
    machines.ready(native, box)
    assert native.out("exec", box, "cat", "/root/mine") == "x"


def test_layers_of_an_image_are_unpacked_and_deleted_files_stay_deleted(native, tmp_path):
    above = images.layer(images.whiteout("etc/group"), images.file("etc/added", "added"))
    native.pouch("load", "-i", images.busybox_archive(tmp_path / "two.tar", tag="two:latest", layers=(above,)))
    assert (
        native.out("run", "--rm", "two", "sh", "-c", "cat /etc/added; test -e /etc/group || echo gone") == "addedgone"
    )


@pytest.fixture
def on_an_overlay():
    """A directory on an overlay, as everything is in a container of another engine."""
    home = tempfile.mkdtemp(prefix="po-", dir="/var/tmp")
    os.chmod(home, 0o711)
    for name in ("lower", "upper", "work", "root"):
        os.mkdir(f"{home}/{name}")
    mount.overlay([f"{home}/lower"], f"{home}/upper", f"{home}/work", f"{home}/root")
    yield f"{home}/root"
    for point in mount.mount_points(home):
        mount.unmount(point)
    shutil.rmtree(home)


def test_a_store_on_an_overlay_chooses_copies_by_itself_and_says_so(on_an_overlay, make_daemon, tmp_path):
    native = make_daemon("--root", on_an_overlay)
    assert native.out("info", "-f", "{{.Driver}}") == "native"
    assert "host check overlay: overlay does not work" in native.log()
    above = images.layer(images.whiteout("etc/group"), images.file("etc/added", "added"))
    native.pouch("load", "-i", images.busybox_archive(tmp_path / "two.tar", tag="two:latest", layers=(above,)))
    box = native.out("run", "-d", "two", "sh", "-c", "rm /etc/added; test -e /etc/group || echo gone; sleep 100")
    assert native.out("diff", box).splitlines()[-1] == "D /etc/added"
    native.pouch("rm", "-f", box)
    native.pouch("rmi", "two")
