"""A daemon that is killed anywhere in a volume's life: after the next start each volume is whole or gone, and nothing else is left.

The child kills itself at its n-th call of something that is not Python: system calls and statements of the database among them.
POUCH_EACH_CRASH=1 tries each of some thousand, which takes minutes.
"""

from __future__ import annotations

import os
import signal
import sys

import pytest
from support import kernel, treedigest

from pouch.kernel import mount
from pouch.spec import volume
from pouch.store import db, paths
from pouch.volume import plugins, volumes

pytestmark = [kernel.needs(kernel.private_mount_namespace), pytest.mark.usefixtures("private_mounts")]
STRIDE = 1 if os.environ.get("POUCH_EACH_CRASH") else 211
"""A prime, so that the moments are of every kind."""
MOST = 50_000


@pytest.fixture
def view(tmp_path):
    """What the image has."""
    made = tmp_path / "view"
    (made / "data/inner/deep").mkdir(parents=True)
    for number in range(4):
        (made / f"data/inner/{number}").write_bytes(os.urandom(10_000 * number))
    os.link(made / "data/inner/1", made / "data/inner/deep/one")
    os.chown(made / "data/inner", 12, 34)
    (made / "data/link").symlink_to("inner")
    os.mkfifo(made / "data/inner/fifo")
    return made


def opened(root):
    """The volumes of a daemon that starts."""
    places = paths.Paths(str(root), "/tmp")
    for path in (places.root, places.volumes):
        os.makedirs(path, exist_ok=True)
    database = db.Database(places.db)
    return places, database, volumes.Volumes(places, database, plugins=plugins.Plugins(()))


def life(root, view):
    """Everything that happens to two volumes."""
    _, database, ours = opened(root)
    ours.restore({})
    ours.create(volume.VolumeConfig(name="plain", labels={"a": "b"}))
    ours.fill("plain", ours.mount("plain", "c1"), str(view), "/data")
    ours.unmount("plain", "c1")
    ours.create(volume.VolumeConfig(name="memory", options={"type": "tmpfs"}))
    ours.mount("memory", "c1")
    ours.unmount("memory", "c1")
    ours.remove("memory")
    ours.remove("plain")
    database.close()


def killed(count, root, view):
    """Live that life in a child that kills itself at the count-th call; whether it came to its end before."""
    pid = os.fork()
    if pid == 0:
        left = count

        def hook(frame, event, argument):
            nonlocal left
            if event in ("c_call", "c_return"):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(hook)
        try:
            life(root, view)
        except BaseException:  # reported by the status; nothing of the parent's may run here
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


def test_wherever_it_is_killed_the_next_start_makes_it_whole(tmp_path, view):
    count = tried = 0
    ended = False
    while not ended:
        count += STRIDE
        tried += 1
        root = tmp_path / str(count)
        ended = killed(count, root, view)
        assert count < MOST
        check(root, view, f"killed at {count}")
    assert tried > 5


def check(root, view, moment):
    """What a start after the crash finds and makes."""
    places, database, ours = opened(root)
    try:
        assert ours.restore({}) == [], moment
        assert database.all_volume_users() == [], moment
        assert mount.mount_points(str(root)) == [], moment
        names = [one.name for one in ours.list()[0]]
        assert set(os.listdir(places.volumes)) <= set(names), moment
        ours.create(volume.VolumeConfig(name="plain"))
        place = ours.mount("plain", "c2")
        ours.fill("plain", place, str(view), "/data")
        assert treedigest.differences(view / "data", place) == [], moment
        ours.unmount("plain", "c2")
        for name in {"plain", *names}:
            ours.remove(name)
        assert os.listdir(places.volumes) == [], moment
    finally:
        database.close()
