"""What of images stays, what goes, what is said of the disk; by a daemon and its clients."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import pytest
from support import images, kill


@pytest.fixture
def store(daemon):
    with contextlib.closing(kill.Store(daemon.root)) as made:
        yield made


def load(daemon, *words, name):
    """An image whose layers have a file each, called by words."""
    layers = [images.busybox_layer(), *(images.layer(images.file(word, word * 1000)) for word in words)]
    picture = images.Picture(layers=layers, config={"Cmd": ["sh"]}, tags=(name,))
    daemon.pouch("load", "-q", input=images.docker_archive(None, picture), binary=True)
    return picture.id


def test_a_container_keeps_its_image_and_takes_it_along(daemon, store):
    before = store.check(daemon)
    image = load(daemon, "own", name="web:1")
    daemon.out("create", "--name", "box", "--network", "none", "web:1", "cat", "/own")
    assert daemon.out("rmi", "-f", "web:1") == "Untagged: web:1"
    assert image in store.check(daemon)
    daemon.stop()
    daemon.start()
    assert daemon.out("start", "-a", "box") == "own" * 1000
    daemon.out("rm", "box")
    assert store.check(daemon) == before


def test_a_name_given_meanwhile_keeps_the_image(daemon, store):
    before = store.check(daemon)
    image = load(daemon, "own", name="web:1")
    daemon.out("create", "--name", "box", "web:1")
    daemon.pouch("rmi", "-f", "web:1")
    daemon.pouch("tag", image, "saved:1")
    daemon.out("rm", "box")
    assert image in store.check(daemon)
    daemon.pouch("rmi", "saved:1")
    assert store.check(daemon) == before


def test_prune_takes_what_nobody_names_or_uses_and_says_how_much(daemon, store):
    before = store.check(daemon)
    old = load(daemon, "first", name="web:1")
    new = load(daemon, "second", name="web:1")
    used = load(daemon, "third", name="used:1")
    daemon.out("create", "--name", "box", "used:1")
    daemon.pouch("rmi", "-f", "used:1")
    status, answer = daemon.request("POST", "/images/prune")
    assert status == 200
    assert {one["Deleted"] for one in answer["ImagesDeleted"] if "Deleted" in one} >= {old}
    assert answer["SpaceReclaimed"] > len("first") * 1000
    assert set(store.check(daemon)) == {*before, new, used}
    assert (
        daemon.request("POST", '/images/prune?filters={"dangling":["false"],"label":["none"]}')[1]["SpaceReclaimed"]
        == 0
    )
    status, answer = daemon.request("POST", '/images/prune?filters={"dangling":["false"],"until":["1h"]}')
    assert {one["Deleted"] for one in answer["ImagesDeleted"] if "Deleted" in one} >= {new}
    daemon.out("rm", "box")
    left = store.check(daemon)
    assert used not in left
    daemon.pouch("load", "-q", input=images.busybox_archive(None, tag="busybox:latest"), binary=True)
    assert daemon.request("POST", '/images/prune?filters={"until":["tomorrow"]}')[0] == 400


def test_what_is_said_of_the_disk_and_that_it_is_flushed(daemon):
    image = load(daemon, "own", name="web:1")
    script = "dd if=/dev/zero of=/data bs=1M count=3 2>/dev/null; ln /data /again; truncate -s 1G /hole"
    daemon.out("run", "--name", "box", "--network", "none", "web:1", "sh", "-c", script)
    status, found = daemon.request("GET", "/system/df")
    assert status == 200
    [mine] = [one for one in found["Images"] if one["Id"] == image]
    [base] = [one for one in found["Images"] if "busybox:latest" in one["RepoTags"]]
    own = mine["Size"] - mine["SharedSize"]
    assert mine["Containers"] == 1
    assert base["SharedSize"] == mine["SharedSize"] == base["Size"] > 1_000_000
    assert 3000 < own < 50_000
    assert base["Size"] + own < found["LayersSize"] < base["Size"] + own + 50_000
    assert 0 <= found["ReclaimableSize"] < 50_000
    [box] = found["Containers"]
    assert box["Names"] == ["/box"]
    assert 3 << 20 <= box["SizeRw"] < 4 << 20
    assert box["SizeRootFs"] > box["SizeRw"] + (1 << 20)
    assert found["Volumes"] == found["BuildCache"] == []
    daemon.out("rm", "box")
    daemon.pouch("rmi", "web:1")

    def unflushed():
        with contextlib.closing(sqlite3.connect(f"file:{daemon.root}/pouch.db?mode=ro", uri=True)) as records:
            return records.execute(
                "SELECT (SELECT count(*) FROM layers WHERE boot <> '') + (SELECT count(*) FROM blobs WHERE boot <> '')"
            ).fetchone()[0]

    daemon.until(lambda: unflushed() == 0)


def test_what_a_dead_daemon_left_is_deleted_behind_the_ready_one(make_daemon, busybox_tar):
    daemon = make_daemon()
    daemon.pouch("load", "-i", busybox_tar)
    daemon.kill()
    os.makedirs(f"{daemon.root}/tmp/layer-x/fs/deep")
    os.makedirs(f"{daemon.root}/layers/{'0' * 64}/fs")
    with open(f"{daemon.root}/blobs/sha256/{'0' * 64}", "w", encoding="utf-8") as file:
        file.write("half")
    daemon.start()
    with contextlib.closing(kill.Store(daemon.root)) as store:
        assert len(store.check(daemon)) == 1


def cut_power(daemon):
    """Kill it, and let its records say that another boot of the host wrote what is not flushed."""
    daemon.kill()
    with contextlib.closing(sqlite3.connect(f"{daemon.root}/pouch.db")) as records:
        for table in ("layers", "blobs"):
            records.execute(f"UPDATE {table} SET boot = 'another'")
        records.commit()


def test_after_a_power_cut_a_container_finds_its_files_again(make_daemon, busybox_tar):
    daemon = make_daemon()
    daemon.pouch("load", "-i", busybox_tar)
    daemon.out("create", "--name", "box", "--network", "none", "busybox", "echo", "alive")
    cut_power(daemon)
    [layer] = set(os.listdir(f"{daemon.root}/layers")) - {"skeleton"}
    os.truncate(f"{daemon.root}/layers/{layer}/fs/bin/busybox", 0)
    daemon.start()
    assert "1 layers are made anew" in daemon.log()
    assert daemon.out("start", "-a", "box") == "alive"


def test_after_a_power_cut_a_damaged_image_says_what_to_do_and_a_load_heals_its_containers(make_daemon, busybox_tar):
    daemon = make_daemon()
    daemon.pouch("load", "-i", busybox_tar)
    daemon.out("create", "--name", "box", "--network", "none", "busybox", "echo", "alive")
    cut_power(daemon)
    for blob in os.listdir(f"{daemon.root}/blobs/sha256"):
        os.truncate(f"{daemon.root}/blobs/sha256/{blob}", 10)
    daemon.start()
    assert "docker.io/library/busybox:latest: blob sha256:" in daemon.log()
    assert "its names are removed: pull or load it again" in daemon.log()
    assert "No such image: busybox:latest" in daemon.pouch("history", "busybox", check=False).stderr
    failed = daemon.pouch("start", "box", check=False)
    assert failed.returncode == 1
    assert "No such layer: sha256:" in failed.stderr
    assert "hint: the image is damaged" in failed.stderr
    daemon.pouch("load", "-i", busybox_tar)
    assert daemon.out("start", "-a", "box") == "alive"
