"""images, load, rmi, history, image inspect; archives of every kind, and those that are wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from pathlib import Path

import pytest
from support import images, leaks

from pouch.kernel import mount


@pytest.fixture
def loaded(daemon):
    """load(*pictures, **options): load images; they are removed after the test."""
    made = []

    def load(*pictures, archive=images.docker_archive, **options):
        done = daemon.pouch("load", input=archive(None, *pictures, **options), binary=True)
        made.extend(tag for picture in pictures for tag in picture.tags or (picture.id,))
        return done.stdout.decode()

    yield load
    ids = daemon.out("ps", "-aq").split()
    if ids:
        daemon.pouch("rm", "-f", *ids)
    for ref in made:
        daemon.pouch("rmi", "-f", ref, check=False)


def small(tag="small:1", *members, config=None):
    """An image of a few files."""
    files = members or (images.file("hello", b"hi\n"), images.directory("tmp", mode=0o1777))
    return images.Picture(
        layers=[images.layer(*files)], config=config or {"Cmd": ["/hello"]}, tags=(tag,) if tag else ()
    )


def kept(daemon):
    """What is stored: layer directories and blobs."""
    layers = set(os.listdir(f"{daemon.root}/layers")) - {"skeleton"}
    return layers, set(os.listdir(f"{daemon.root}/blobs/sha256"))


# -- load and list ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [images.docker_archive, images.oci_archive])
@pytest.mark.parametrize("compress", [None, images.zipped])
def test_load_keeps_an_image_and_rmi_takes_all_of_it_away(daemon, loaded, archive, compress):
    before = kept(daemon)
    picture = images.busybox_picture(tag="mine:1", cmd=("echo", "hello"))
    assert loaded(picture, archive=archive, compress=compress).splitlines()[-1] == "Loaded image: mine:1"
    assert daemon.out("run", "--rm", "mine:1") == "hello"
    said = daemon.out("rmi", "mine:1").splitlines()
    assert said[0] == "Untagged: mine:1"
    assert said[1] == f"Deleted: {picture.id}"
    assert kept(daemon) == before


def test_load_reads_a_file_and_stdin_and_refuses_what_is_missing(daemon, tmp_path):
    images.docker_archive(tmp_path / "a.tar", small())
    assert daemon.out("load", "-i", f"{tmp_path}/a.tar").splitlines()[-1] == "Loaded image: small:1"
    daemon.pouch("rmi", "small:1")
    done = daemon.pouch("load", "-i", f"{tmp_path}/nonesuch.tar", check=False)
    assert (done.returncode, "nonesuch.tar" in done.stderr) == (1, True)


def test_the_list_of_images(daemon, loaded):
    picture = small("example.org:5000/team/app:v1")
    loaded(picture)
    rows = [line.split() for line in daemon.out("images").splitlines()]
    assert rows[0] == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    row = next(row for row in rows if row[0] == "example.org:5000/team/app")
    assert row[1:3] == ["v1", picture.id.removeprefix("sha256:")[:12]]
    assert daemon.out("images", "-q", "--no-trunc", "example.org:5000/team/app") == picture.id
    assert (
        daemon.out("images", "--format", "{{.Repository}}:{{.Tag}}", "-f", "reference=*/team/app*")
        == "example.org:5000/team/app:v1"
    )


def test_inspect_and_history_of_an_image(daemon, loaded):
    picture = small(config={"Cmd": ["/hello"], "Env": ["A=1"], "Labels": {"l": "x"}, "User": "app"})
    picture.history = [{"created_by": "ADD all"}]
    loaded(picture)
    found = json.loads(daemon.out("image", "inspect", "small:1"))[0]
    assert (found["Id"], found["RepoTags"]) == (picture.id, ["small:1"])
    assert (found["Config"]["Cmd"], found["Config"]["Labels"], found["Config"]["User"]) == (
        ["/hello"],
        {"l": "x"},
        "app",
    )
    assert found["RootFS"]["Layers"] == [images.sha256(picture.layers[0])]
    assert daemon.out("image", "inspect", "-f", "{{.Os}}", picture.id[7:19]) == "linux"
    assert daemon.out("history", "-q", "--no-trunc", "small:1") == picture.id


def test_layers_are_shared_and_go_with_the_last_image(daemon, loaded):
    base = images.layer(images.file("base", b"x"))
    one = images.Picture(layers=[base, images.layer(images.file("one", b"1"))], config={"Cmd": ["a"]}, tags=("one:1",))
    two = images.Picture(layers=[base, images.layer(images.file("two", b"2"))], config={"Cmd": ["b"]}, tags=("two:1",))
    before = len(kept(daemon)[0])
    loaded(one)
    loaded(two)
    assert len(kept(daemon)[0]) == before + 3
    daemon.pouch("rmi", "one:1")
    assert len(kept(daemon)[0]) == before + 2
    daemon.pouch("rmi", "two:1")
    assert len(kept(daemon)[0]) == before


def test_a_tag_that_moves_leaves_the_old_image_without_a_name(daemon, loaded):
    old, new = small(), small("small:1", images.file("other", b"o"))
    loaded(old)
    loaded(new)
    assert json.loads(daemon.out("image", "inspect", "small:1"))[0]["Id"] == new.id
    assert old.id in daemon.out("images", "-q", "--no-trunc", "-f", "dangling=true").split()
    daemon.pouch("rmi", old.id)


def test_layers_upon_layers_whiteouts_links_and_special_names(daemon, loaded):
    busybox = images.busybox_picture(
        tag="deep:1", extra=(images.file("d/gone"), images.file("d/kept", b"k"), images.file("o/old"))
    )
    busybox.layers += [
        images.layer(images.whiteout("d/gone"), images.opaque("o"), images.file("o/new", b"n")),
        images.layer(
            images.hardlink("d/hard", "d/kept"),
            images.symlink("d/soft", "../../../../etc/passwd"),
            images.file("d/sp ace\n\u00fc", b"s"),
            images.file("d/setid", b"", mode=0o6755),
        ),
    ]
    loaded(busybox)
    script = "ls /d; ls /o; cat /d/hard; echo; head -1 /d/soft; stat -c %a /d/setid; wc -c < '/d/sp ace\n\u00fc'"
    found = daemon.out("run", "--rm", "deep:1", "sh", "-c", script).splitlines()
    assert {"hard", "kept", "setid", "soft"} <= set(found)
    assert not {"gone", "old"} & set(found)
    assert found[-5:] == ["new", "k", "root:x:0:0:root:/root:/bin/sh", "6755", "1"]


def test_what_an_image_says_is_used_unless_the_client_says_otherwise(daemon, loaded):
    picture = images.busybox_picture(
        tag="said:1",
        entrypoint=("sh", "-c"),
        cmd=('echo "$A|$B|$(pwd)|$(id -un)"; sleep 10000',),
        env=(images.PATH, "A=image", "B=image"),
        user="app",
        workdir="/srv/app/new",
        labels={"one": "image", "two": "image"},
        stop_signal="SIGKILL",
        volumes={"/data": {}},
    )
    loaded(picture)
    id_ = daemon.out("run", "-d", "-e", "B=client", "-l", "two=client", "said:1")
    daemon.until(lambda: daemon.out("logs", id_) == "image|client|/srv/app/new|app")
    config = daemon.inspect(id_)["Config"]
    assert config["Labels"] == {"one": "image", "two": "client"}
    assert config["Entrypoint"] == ["sh", "-c"]
    daemon.pouch("stop", id_)
    assert daemon.inspect(id_)["State"]["ExitCode"] == 137
    assert daemon.out("run", "--rm", "said:1", "echo other") == "other"
    assert daemon.out("run", "--rm", "-u", "0", "-w", "/", "--entrypoint", "id", "said:1", "-u") == "0"
    done = daemon.pouch("run", "--rm", "--entrypoint", "", "said:1", "echo", "bare")
    assert done.stdout == "bare\n"


def test_an_image_without_a_command_needs_one(daemon, loaded):
    loaded(images.busybox_picture(tag="mute:1", cmd=None))
    done = daemon.pouch("run", "--rm", "mute:1", check=False)
    assert (done.returncode, "no command specified" in done.stderr) == (125, True)
    assert daemon.out("run", "--rm", "mute:1", "echo", "x") == "x"


def test_an_image_without_users_or_a_shell_runs(daemon, loaded):
    with open(images.BUSYBOX, "rb") as file:
        files = (images.file("busybox", file.read(), mode=0o755),)
    loaded(images.Picture(layers=[images.layer(*files)], config={"Cmd": ["/busybox", "id"]}, tags=("bare:1",)))
    assert daemon.out("run", "--rm", "bare:1") == "uid=0 gid=0 groups=0"
    assert daemon.out("run", "--rm", "-u", "7:8", "bare:1") == "uid=7 gid=8 groups=8"
    done = daemon.pouch("run", "--rm", "-u", "name", "bare:1", check=False)
    assert (done.returncode, "unable to find user name" in done.stderr) == (125, True)


def test_an_image_of_another_platform_is_loaded_with_a_warning(daemon, loaded):
    picture = small("alien:1")
    picture.architecture = "s390x"
    assert "s390x" in loaded(picture)


# -- rmi --------------------------------------------------------------------------------------------------------------


def test_an_image_in_use_is_not_removed_unless_forced(daemon, loaded):
    picture = images.busybox_picture(tag="used:1", cmd=("sleep", "10000"))
    loaded(picture)
    id_ = daemon.out("create", "used:1")
    done = daemon.pouch("rmi", "used:1", check=False)
    assert (done.returncode, id_[:12] in done.stderr, "must force" in done.stderr) == (1, True, True)
    daemon.pouch("start", id_)
    done = daemon.pouch("rmi", "-f", picture.id, check=False)
    assert (done.returncode, "cannot be forced" in done.stderr) == (1, True)
    daemon.pouch("rm", "-f", id_)
    daemon.pouch("rmi", "used:1")


def test_an_image_that_was_forced_away_still_serves_its_container(daemon, loaded):
    loaded(images.busybox_picture(tag="used:1", cmd=("echo", "alive")))
    id_ = daemon.out("create", "used:1")
    daemon.pouch("rmi", "-f", "used:1")
    assert daemon.out("start", "-a", id_) == "alive"
    assert id_[:12] in daemon.out("ps", "-a")


def test_one_of_two_tags_only_untags(daemon, loaded):
    picture = small()
    picture.tags = ("two:a", "two:b")
    loaded(picture)
    assert daemon.out("rmi", "two:a") == "Untagged: two:a"
    assert daemon.out("images", "-q", "--no-trunc", "two") == picture.id


def test_a_missing_image_is_named(daemon):
    for words in (("rmi", "nonesuch"), ("image", "inspect", "nonesuch"), ("history", "nonesuch")):
        done = daemon.pouch(*words, check=False)
        assert (done.returncode, "No such image: nonesuch:latest" in done.stderr) == (1, True), done
    done = daemon.pouch("run", "--pull", "never", "nonesuch", "true", check=False)
    assert (done.returncode, "No such image: nonesuch:latest" in done.stderr) == (125, True)
    assert daemon.out("ps", "-aq") == ""


@pytest.mark.parametrize("name", ["UPPER", "a b", "a:b:c", "-x/..", "a@sha256:12", "x" * 300, "/a", "a//b"])
def test_a_bad_reference_is_refused(daemon, name):
    done = daemon.pouch("create", "--", name, "true", check=False)
    assert done.returncode in (1, 125), done
    assert "reference" in done.stderr or "No such image" in done.stderr or "Unable to find image" in done.stderr


# -- wrong archives ---------------------------------------------------------------------------------------------------


def wrong_archives():
    """Name -> bytes."""
    whole = images.docker_archive(None, small())
    flipped = bytearray(whole)
    place = whole.index(b"hi\n")
    flipped[place] ^= 1
    layer = images.layer(images.file("../../../../tmp/escaped", b"x"))
    yield "no tar at all", b"this is no tar" * 100
    yield "nothing", b""
    yield "a cut archive", whole[: len(whole) // 2]
    yield "a cut gzip", images.zipped(whole)[:-20]
    yield "a layer that was changed", bytes(flipped)
    yield "no manifest", images.archive_of(None, {"etc/passwd": b"root"})
    yield "a manifest that is no JSON", images.archive_of(None, {"manifest.json": b"{"})
    yield "a manifest of a wrong type", images.archive_of(None, {"manifest.json": b'[{"Config": 1}]'})
    yield "an empty manifest", images.archive_of(None, {"manifest.json": b"[]"})
    yield "a missing configuration", images.archive_of(None, {"manifest.json": b'[{"Config":"c.json","Layers":[]}]'})
    yield (
        "a configuration of a wrong type",
        images.archive_of(None, {"manifest.json": b'[{"Config":"c.json","Layers":[]}]', "c.json": b"[]"}),
    )
    yield (
        "a wrong diff-id",
        images.docker_archive(
            None, images.Picture(layers=[images.layer()], diff_ids=["sha256:" + "0" * 64], tags=("w:1",))
        ),
    )
    yield (
        "fewer layers than said",
        images.docker_archive(
            None, images.Picture(layers=[images.layer()], diff_ids=["sha256:" + "0" * 64] * 2, tags=("w:1",))
        ),
    )
    yield "a bad tag", images.docker_archive(None, small("UPPER CASE"))
    yield "a climbing name", images.docker_archive(None, images.Picture(layers=[layer], tags=("w:1",)))
    oci = images.oci_files(small())
    blob = next(name for name in oci if name.startswith("blobs/") and b"hi\n" in oci[name])
    yield "an OCI blob that was changed", images.archive_of(None, {**oci, blob: oci[blob].replace(b"hi\n", b"ho\n")})
    yield "an OCI blob that is missing", images.archive_of(None, {k: v for k, v in oci.items() if k != blob})


@pytest.mark.parametrize(("what", "data"), [pytest.param(*one, id=one[0]) for one in wrong_archives()])
def test_a_wrong_archive_is_one_clear_error_and_leaves_nothing(daemon, what, data):
    before, listed = kept(daemon), daemon.out("images", "-aq")
    done = daemon.pouch("load", input=data, binary=True, check=False)
    text = done.stderr.decode()
    if what == "a climbing name":  # it stays inside the layer, or is refused: both are right
        daemon.pouch("rmi", "w:1", check=False)
        assert not os.path.exists("/tmp/escaped")
    else:
        assert done.returncode == 1, done
        assert re.search("archive|layer|config|reference|gzip|tar", text), text
        assert 1 <= text.strip().count("\n") + 1 <= 3, text
    assert kept(daemon) == before
    assert daemon.out("images", "-aq") == listed
    assert os.listdir(f"{daemon.root}/tmp") == []


def test_a_client_that_stops_half_way_leaves_nothing(daemon):
    before = kept(daemon)
    data = images.docker_archive(None, images.busybox_picture(tag="half:1"))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(daemon.socket)
        head = f"POST /v1.43/images/load HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[: len(data) // 2])
    daemon.until(lambda: os.listdir(f"{daemon.root}/tmp") == [])
    assert kept(daemon) == before
    assert "half" not in daemon.out("images")


# -- a full disk ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def filled(directory):
    """All but a little of a file system taken."""
    path = Path(directory, "filler")
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    try:
        yield path
    finally:
        path.unlink()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount.tmpfs(str(place), size="16m")
    yield str(place)
    mount.unmount(str(place))


def test_a_full_disk_is_told_and_nothing_half_made_is_left(make_daemon, busybox_tar, small_disk):
    daemon = make_daemon("--root", f"{small_disk}/root")
    daemon.root = f"{small_disk}/root"
    with filled(small_disk):
        done = daemon.pouch("load", "-i", busybox_tar, check=False)
        assert (done.returncode, "no space left" in done.stderr.lower() or "full" in done.stderr.lower()) == (
            1,
            True,
        ), done
        assert daemon.out("images", "-q") == ""
        assert os.listdir(f"{daemon.root}/tmp") == []
    daemon.pouch("load", "-i", busybox_tar)
    daemon.pouch("create", "--name", "before", "busybox", "sh", "-c", "echo x > /written && cat /written")
    with filled(small_disk):
        for words in (("run", "--rm", "busybox", "true"), ("create", "busybox", "true"), ("start", "before")):
            done = daemon.pouch(*words, check=False)
            if done.returncode:  # what needs no space may go well
                assert done.returncode in (1, 125), done
                assert re.search("no space left|full", done.stderr.lower()), done
        assert daemon.pouch("ps", "-a").returncode == 0
    daemon.pouch("rm", "-f", *daemon.out("ps", "-aq").split())
    leaks.assert_none(daemon)
    assert daemon.out("run", "--rm", "busybox", "echo", "again") == "again"


def test_a_container_that_fills_the_disk_hears_of_it_and_can_be_removed(make_daemon, busybox_tar, small_disk):
    daemon = make_daemon("--root", f"{small_disk}/root")
    daemon.root = f"{small_disk}/root"
    daemon.pouch("load", "-i", busybox_tar)
    done = daemon.pouch("run", "--name", "greedy", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", check=False)
    assert (done.returncode, "No space left on device" in done.stderr) == (1, True)
    daemon.pouch("rm", "greedy")
    assert daemon.out("run", "--rm", "busybox", "echo", "again") == "again"
