"""cp in both directions: running and stopped containers, volumes, tmpfs, user namespaces, hostile containers, broken copies."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile

import pytest

KINDS = ["running", "namespaced", "stopped"]


@pytest.fixture(params=KINDS)
def box(request, daemon):
    """A container of each kind, named `box`, with a volume, a bind and a tmpfs."""
    flags = ["--name", "box", "-v", "data:/data", "--tmpfs", "/scratch"]
    if request.param == "stopped":
        daemon.out("create", *flags, "busybox", "sleep", "10000")
    else:
        daemon.box(*flags, *(("--userns", "private") if request.param == "namespaced" else ()))
    return request.param


@pytest.fixture
def tree(tmp_path):
    """Files of all kinds that a person may have."""
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "file").write_text("content")
    os.chown(top / "file", 1234, 567)
    os.chmod(top / "file", 0o4751)
    os.utime(top / "file", (1_600_000_000, 1_600_000_000))
    os.link(top / "file", top / "hard")
    (top / "sub" / "link").symlink_to("../file")
    (top / "sub" / "away").symlink_to("/etc/passwd")
    (top / os.fsdecode(b"not utf8 \xff")).write_text("x")
    with open(top / "holes", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"middle")
    return top


def listed(daemon, place):
    """Entries of the tar of a path in the container."""
    done = subprocess.run(daemon.command("cp", f"box:{place}", "-"), capture_output=True, check=True, timeout=60)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return {member.name: member for member in archive}


def test_a_tree_comes_back_as_it_went(daemon, box, tree, tmp_path):
    daemon.pouch("cp", str(tree), "box:/copy")
    there = listed(daemon, "/copy")
    file = there["copy/file"] if there["copy/file"].isreg() else there["copy/hard"]
    assert (file.mode, file.uid, file.gid, file.mtime) == (0o4751, 1234, 567, 1_600_000_000)
    assert sorted(there[name].islnk() for name in ("copy/file", "copy/hard")) == [False, True]
    assert there["copy/sub/away"].linkname == "/etc/passwd"
    daemon.pouch("cp", "box:/copy", str(tmp_path / "back"))
    done = subprocess.run(["diff", "-r", "--no-dereference", str(tree), str(tmp_path / "back")], check=False)
    assert done.returncode == 0
    assert os.stat(tmp_path / "back" / "file").st_mtime == 1_600_000_000


@pytest.mark.parametrize(
    ("source", "destination", "found"),
    [
        ("tree", "/tmp", "/tmp/tree/file"),
        ("tree/.", "/tmp", "/tmp/file"),
        ("tree", "/new", "/new/file"),
        ("tree/", "/tmp/", "/tmp/tree/file"),
        ("tree/file", "/tmp", "/tmp/file"),
        ("tree/file", "/tmp/other", "/tmp/other"),
        ("tree/file", "/data/f", "/data/f"),
        ("tree/file", "/var/run", "/run/file"),
    ],
)
def test_what_is_copied_where_follows_dockers_rules(daemon, box, tree, tmp_path, source, destination, found):
    if destination == "/var/run":
        link = io.BytesIO()
        with tarfile.open(fileobj=link, mode="w") as archive:
            entry = tarfile.TarInfo("var/run")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/run"
            archive.addfile(entry)
            entry = tarfile.TarInfo("run")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        daemon.pouch("cp", "-", "box:/", input=link.getvalue(), binary=True)
    daemon.pouch("cp", f"{tmp_path}/{source}", f"box:{destination}")
    assert os.path.basename(found) in listed(daemon, found)


def test_names_that_are_missing_are_errors(daemon, box, tree, tmp_path):
    for arguments, message in (
        (("box:/nope", str(tmp_path)), "Could not find the file /nope in container box"),
        ((str(tree / "file"), "box:/nope/x"), "Could not find the file /nope in container box"),
        ((str(tree / "file"), "box:/nope/"), "no such directory"),
        ((str(tree), "box:/etc/passwd"), "cannot copy directory"),
        ((str(tmp_path / "none"), "box:/"), "no such file or directory"),
        (("box:/etc/passwd", "other:/"), "copying between containers is not supported"),
        (("nobody:/etc", str(tmp_path)), "No such container: nobody"),
    ):
        done = daemon.pouch("cp", *arguments, check=False)
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_files_do_not_take_the_place_of_directories(daemon, box, tree):
    daemon.pouch("cp", str(tree / "file"), "box:/sub")
    done = daemon.pouch("cp", f"{tree}/.", "box:/", check=False)
    assert 'cannot overwrite non-directory "sub" with directory "/"' in done.stderr


def test_read_only_places_are_refused(daemon, tree):
    daemon.box("--name", "box", "--read-only", "-v", "data:/data:ro", "--tmpfs", "/scratch")
    for place, message in (("/tmp", "container rootfs is marked read-only"), ("/data", "volume is marked read-only")):
        done = daemon.pouch("cp", str(tree / "file"), f"box:{place}", check=False)
        assert message in done.stderr
    daemon.pouch("cp", str(tree / "file"), "box:/scratch")
    assert daemon.out("exec", "box", "cat", "/scratch/file") == "content"
    daemon.pouch("stop", "-t", "0", "box")
    for place, message in (("/tmp", "container rootfs is marked read-only"), ("/data", "volume is marked read-only")):
        done = daemon.pouch("cp", str(tree / "file"), f"box:{place}", check=False)
        assert message in done.stderr


def test_archive_mode_gives_files_to_the_containers_user(daemon, tree):
    daemon.box("--name", "box", "-u", "app")
    daemon.pouch("cp", "-a", str(tree / "file"), "box:/tmp/file")
    uid = daemon.out("exec", "box", "id", "-u")
    assert daemon.out("exec", "-u", "0", "box", "stat", "-c", "%u", "/tmp/file") == uid != "0"


def test_owners_that_a_user_namespace_does_not_have_become_root(daemon, tmp_path):
    (tmp_path / "f").write_text("x")
    os.chown(tmp_path / "f", 3_000_000, 3_000_000)
    daemon.box("--name", "box", "--userns", "private")
    daemon.pouch("cp", str(tmp_path / "f"), "box:/tmp/f")
    assert daemon.out("exec", "box", "stat", "-c", "%u:%g", "/tmp/f") == "0:0"


def test_a_stopped_container_changes_only_by_what_is_copied(daemon, tree):
    daemon.out("create", "--name", "box", "-v", "data:/deep/er/data", "busybox", "true")
    daemon.pouch("cp", str(tree / "file"), "box:/deep/er/data/f")
    assert daemon.out("diff", "box") == ""
    daemon.pouch("cp", str(tree / "file"), "box:/tmp/f")
    assert daemon.out("diff", "box").split("\n") in (["C /tmp", "A /tmp/f"], ["A /tmp", "A /tmp/f"])
    assert daemon.out("start", "-a", "box") == ""


def test_links_of_the_container_lead_nowhere_outside_of_it(daemon, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    daemon.box("--name", "box")
    script = f"ln -s {outside} /l; ln -s ../../../../../../../..{outside} /r; ln -s /proc/1/root{outside} /p"
    daemon.pouch("exec", "box", "sh", "-c", script)
    (tmp_path / "f").write_text("mine")
    for link in "lrp":
        assert daemon.pouch("cp", f"box:/{link}/secret", str(tmp_path / "got"), check=False).returncode == 1
        assert daemon.pouch("cp", str(tmp_path / "f"), f"box:/{link}/f", check=False).returncode == 1
        assert "secret" not in listed(daemon, f"/{link}")
    assert not (tmp_path / "got").exists()
    assert os.listdir(outside) == ["secret"]


def test_a_container_that_moves_links_about_keeps_the_copy_inside(daemon, tmp_path):
    """It swaps a directory for a link to the host's name of a file, as fast as it can, while files are copied there and back."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("the host's")
    (tmp_path / "f").write_text("copied")
    loop = (
        f"mkdir -p /a /inner; echo inner > /inner/f; while :; do rm -rf /a/d; ln -s {outside} /a/d; "
        "rm -f /a/d; ln -s /inner /a/d; rm -f /a/d; mkdir /a/d; done"
    )
    daemon.box("--name", "box", command=("sh", "-c", loop))
    for _ in range(6):
        daemon.pouch("cp", str(tmp_path / "f"), "box:/a/d/f", check=False)
        done = subprocess.run(daemon.command("cp", "box:/a/d/", "-"), capture_output=True, check=False, timeout=60)
        assert b"the host's" not in done.stdout
    assert (outside / "f").read_text() == "the host's"
    assert os.listdir(outside) == ["f"]


def test_modules_that_a_container_has_are_not_loaded(daemon, tmp_path):
    """The program that goes inside is Python: what lies at its own places inside must stay a file."""
    source = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "src"))
    daemon.box("--name", "box")
    evil = "open('/pwned', 'w')"
    for place in (f"{source}/pouch/image", f"{source}/encodings", "/"):
        script = (
            f'mkdir -p {place}; for f in gathering putting visitor latin_1 idna; do echo "{evil}" > {place}/$f.py; done'
        )
        daemon.pouch("exec", "box", "sh", "-c", script)
    (tmp_path / "f").write_text("x")
    daemon.pouch("cp", str(tmp_path / "f"), "box:/tmp/f")
    daemon.pouch("cp", "box:/tmp", str(tmp_path / "out"))
    assert daemon.pouch("exec", "box", "ls", "/pwned", check=False).returncode == 1


def test_fifos_and_devices_do_not_hold_a_copy_up(daemon, tmp_path):
    daemon.box("--name", "box")
    daemon.pouch("exec", "box", "sh", "-c", "mkdir /d; mkfifo /d/fifo; mknod /d/null c 1 3; mknod /d/zero c 1 5")
    names = listed(daemon, "/d")
    assert names["d/fifo"].isfifo()
    assert names["d/zero"].ischr()
    assert (names["d/zero"].devmajor, names["d/zero"].devminor) == (1, 5)


def test_all_of_a_running_container_has_no_kernel_in_it(daemon):
    daemon.box("--name", "box")
    names = listed(daemon, "/")
    inside = [name for name in names if name.lstrip("/").startswith(("proc/", "sys/", "dev/"))]
    assert inside == []
    assert daemon.pouch("cp", "box:/proc/version", "-", check=False).returncode == 1


def test_the_api_says_what_stands_at_a_path(daemon, box, tree):
    daemon.pouch("cp", str(tree), "box:/copy")

    def stat(path):
        status, raw = head(daemon, f"/containers/box/archive?path={path}")
        return json.loads(base64.b64decode(raw)) if status == 200 else status

    file = stat("/copy/file")
    assert (file["name"], file["size"], file["mode"]) == ("file", 7, 1 << 23 | 0o751)
    assert file["mtime"] == "2020-09-13T12:26:40Z"
    link = stat("/copy/sub/away")
    assert (link["linkTarget"], link["mode"]) == ("/etc/passwd", 1 << 27 | 0o777)
    assert stat("/copy/sub/link")["linkTarget"] == "/copy/file"
    assert stat("/copy/")["mode"] & 1 << 31
    assert stat("/copy/../copy/sub/.")["name"] == "."
    assert stat("/none") == 404
    assert stat("/") == {**stat("/"), "name": "/"}


def head(daemon, target):
    """Status and the header of a HEAD request."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
        wire.connect(daemon.socket)
        wire.sendall(f"HEAD /v1.43{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        text = b"".join(iter(lambda: wire.recv(65536), b"")).decode()
    found = re.search(r"(?i)^x-docker-container-path-stat: (\S+)", text, re.MULTILINE)
    return int(text.split()[1]), found[1] if found else ""


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_archives_come_plain_and_compressed(daemon, box, tree, compression):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=f"w:{compression}") as file:
        file.add(tree, "tree")
    status, _, body = daemon.answer("PUT", "/containers/box/archive?path=/tmp", archive.getvalue())
    assert (status, body) == (200, b"")
    assert "file" in listed(daemon, "/tmp/tree/file")


def test_an_archive_that_breaks_off_leaves_what_was_there(daemon, box, tree):
    daemon.pouch("cp", str(tree / "file"), "box:/tmp/f")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        entry = tarfile.TarInfo("f")
        entry.size = 1 << 20
        file.addfile(entry, io.BytesIO(bytes(1 << 20)))
    status, document = daemon.request("PUT", "/containers/box/archive?path=/tmp", archive.getvalue()[: 1 << 19])
    assert status == 500
    assert document["message"] == "unexpected EOF"
    names = listed(daemon, "/tmp")
    assert [name for name in names if "pouch" in name] == []
    assert names["tmp/f"].size == 7


@pytest.mark.parametrize("name", ["../../../etc/x", "a/../../x"])
def test_an_archive_cannot_leave_the_directory(daemon, box, name):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        file.addfile(tarfile.TarInfo(name))
    status, _ = daemon.request("PUT", "/containers/box/archive?path=/tmp", archive.getvalue())
    assert status == 500


def test_events_tell_of_copies(daemon, tree, tmp_path):
    daemon.box("--name", "box")
    daemon.pouch("cp", str(tree / "file"), "box:/tmp")
    daemon.pouch("cp", "box:/tmp/file", str(tmp_path / "f"))
    told = daemon.out(
        "events", "--since", "1h", "--until", "0s", "--filter", "container=box", "--format", "{{.Action}}"
    )
    assert told.split()[-2:] == ["extract-to-dir", "archive-path"]


def test_a_copy_that_nobody_takes_ends_with_its_container(daemon):
    """The client reads the head and stops: the container can still be removed, and nothing of the visit is left."""
    daemon.out("create", "--name", "box", "busybox", "true")
    big = io.BytesIO()
    with tarfile.open(fileobj=big, mode="w") as archive:
        entry = tarfile.TarInfo("big")
        entry.size = 64 << 20
        archive.addfile(entry, io.BytesIO(bytes(64 << 20)))
    daemon.answer("PUT", "/containers/box/archive?path=/", big.getvalue())
    with subprocess.Popen(daemon.command("cp", "box:/big", "-"), stdout=subprocess.PIPE) as client:
        assert client.stdout.read(1 << 16)
        daemon.pouch("rm", "-f", "box", timeout=60)
        client.stdout.close()
        client.wait(60)
    assert daemon.pouch("inspect", "box", check=False).returncode == 1


def test_dockers_own_client_copies(daemon, tree, tmp_path):
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("needs docker's command line")
    daemon.box("--name", "box")
    environment = {**os.environ, "DOCKER_HOST": f"unix://{daemon.socket}"}

    def run(*words):
        return subprocess.run([docker, "cp", *words], env=environment, capture_output=True, check=True, timeout=60)

    run(str(tree), "box:/copy")
    run("box:/copy/.", str(tmp_path / "back"))
    assert (
        subprocess.run(["diff", "-r", "--no-dereference", str(tree), str(tmp_path / "back")], check=False).returncode
        == 0
    )
    with tarfile.open(fileobj=io.BytesIO(run("box:/copy/file", "-").stdout)) as archive:
        assert archive.getnames() == ["file"]
