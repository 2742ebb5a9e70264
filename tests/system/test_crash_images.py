"""SIGKILL at any moment of a load, pull, commit, remove or prune: the next start puts the store right.

A dozen kills here; `scripts/kill-test 200` does as many as one likes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

import pytest
from support import kill, registry

from pouch.image import images, load, silent
from pouch.store import content, db, paths

KILLS = int(os.environ.get("POUCH_TEST_KILLS", "12"))
ROUNDS = 6
"""Kills of one daemon's store, before another begins with an empty one."""


@pytest.mark.parametrize("seed", range(-(-KILLS // ROUNDS)))
def test_a_kill_at_a_random_moment_leaves_every_image_whole_or_absent(make_daemon, busybox_tar, tmp_path, seed):
    daemon = make_daemon()
    with contextlib.ExitStack() as stack:
        installed = shutil.which(registry.PROGRAM)
        address = stack.enter_context(registry.Registry(tmp_path)).address if installed else ""
        storm = kill.Storm(daemon, seed=seed, registry=address)
        stack.callback(storm.close)
        storm.prepare(busybox_tar)
        for _ in range(min(ROUNDS, KILLS - seed * ROUNDS)):
            storm.round()
    print("", *storm.told(), sep="\n")  # for scripts/kill-test


def test_many_clients_at_once_leave_every_image_whole_or_absent(make_daemon, busybox_tar, tmp_path):
    daemon = make_daemon()
    with contextlib.ExitStack() as stack:
        installed = shutil.which(registry.PROGRAM)
        address = stack.enter_context(registry.Registry(tmp_path)).address if installed else ""
        storm = kill.Storm(daemon, seed="no kill", registry=address)
        stack.callback(storm.close)
        storm.prepare(busybox_tar)
        storm.round(kill=False)
        storm.round(kill=False)
    assert storm.done["POST images/load", "done"]
    assert not [kind for kind, end in storm.done if end == "cut off"]


DAMAGES = {
    "a blob that is not what it should be": lambda root, blob, layer: os.truncate(blob, 3),
    "a blob that is missing": lambda root, blob, layer: os.unlink(blob),
    "a blob that nobody knows": lambda root, blob, layer: shutil.copy(blob, f"{os.path.dirname(blob)}/{'0' * 64}"),
    "a layer without a file": lambda root, blob, layer: os.unlink(f"{layer}/fs/bin/sh"),
    "a file that is longer": lambda root, blob, layer: os.truncate(f"{layer}/fs/etc/passwd", 9999),
    "a layer that is missing": lambda root, blob, layer: os.rename(layer, f"{root}/away"),
    "a layer that nobody knows": lambda root, blob, layer: os.mkdir(f"{os.path.dirname(layer)}/{'0' * 64}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_looks_at_a_store_sees_each_damage(can_run, busybox_tar, tmp_path, damage):
    """Nothing else says that the test above could fail."""
    with tempfile.TemporaryDirectory(prefix="p", dir="/tmp") as run:  # short enough for unix sockets
        places = paths.Paths(str(tmp_path / "root"), run)
        places.ensure()
    with contextlib.closing(db.Database(places.db)) as database, open(busybox_tar, "rb") as archive:
        made = images.Images(places, database, content.Content(places, database))
        load.load(made, archive, silent)
    with contextlib.closing(kill.Store(places.root)) as store:
        store.check()
        blob = f"{places.blobs}/{min(os.listdir(places.blobs))}"
        layer = f"{places.layers}/{os.listdir(places.layers)[0]}"
        DAMAGES[damage](places.root, blob, layer)
        with pytest.raises((AssertionError, OSError)):
            store.check()
