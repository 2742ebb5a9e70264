"""tag, save, import, export, commit, image prune, system df, and images with digests."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from urllib import parse

import pytest
from support import cli
from support.fake_daemon import PATIENCE, Chunked, Reply, refuse

ID = "sha256:" + "ab" * 32
TAR = "application/x-tar"


def archive(*pieces):
    return Chunked(pieces or (b"tar" * 50_000, b"end"), TAR)


def test_tag_sends_repository_and_tag(daemon, pouch):
    daemon.on("POST", "/images/.*/tag", Reply(201))
    assert pouch("tag", "a/b:1", "reg:5000/c:2").code == 0
    assert pouch("image", "tag", "a", "c").code == 0
    seen = daemon.requests("POST", "/images/.*/tag")
    assert [(one.path, one.query) for one in seen] == [
        ("/images/a/b:1/tag", {"repo": "reg:5000/c", "tag": "2"}),
        ("/images/a/tag", {"repo": "c"}),
    ]


@pytest.mark.parametrize(
    "argv", [["rmi", ""], ["tag", "", "x"], ["push", ""], ["history", ""], ["export", ""], ["image", "inspect", ""]]
)
def test_an_empty_name_is_said_to_be_one(daemon, pouch, argv):
    result = pouch(*argv)
    assert (result.code, daemon.requests("POST")) == (1, [])
    assert "a name is empty" in result.err


def test_save_to_a_file_is_whole_and_private(daemon, pouch, tmp_path):
    seen = []
    daemon.on("GET", "/images/get", lambda request: seen.append(request) or archive())
    target = tmp_path / "x.tar"
    argv = ["--format", "oci-archive", "--compression", "zstd", "-o", str(target)]
    assert pouch("save", *argv, "a:1", "reg:5000/b").code == 0
    assert target.read_bytes() == b"tar" * 50_000 + b"end"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["x.tar"]
    assert seen[0].query == {"names": "reg:5000/b", "format": "oci-archive", "compression": "zstd"}


def test_save_asks_for_all_names(daemon, tmp_path, pouch):
    with cli.one_connection(lambda connection: targets.append(connection.recv(65536).split(b" ")[1])) as host:
        targets: list[bytes] = []
        from pouch.cli import main

        main.main(["-H", host, "save", "a:1", "b&c"])
    assert parse.parse_qsl(targets[0].decode().partition("?")[2]) == [("names", "a:1"), ("names", "b&c")]


@pytest.mark.parametrize("argv", [["save", "x"], ["export", "x"]])
def test_an_archive_goes_to_stdout_but_to_no_terminal(daemon, argv):
    daemon.on("GET", "/images/get", archive())
    daemon.on("GET", "/containers/x/export", archive())
    assert cli.run(daemon, *argv).stdout == b"tar" * 50_000 + b"end"
    count = len(daemon.seen)
    with cli.on_terminal(daemon, *argv) as terminal:
        terminal.until(b"cowardly refusing to save to a terminal")
        assert terminal.wait() == 1
    assert len(daemon.seen) == count


@pytest.mark.parametrize(
    "answer",
    [refuse(404, "No such image: x:latest"), Chunked((b"begin" for _ in range(3)), TAR), Reply(200, body=b"x")],
)
def test_a_save_that_fails_leaves_the_old_file(daemon, pouch, tmp_path, answer):
    target = tmp_path / "x.tar"
    target.write_bytes(b"old")
    if isinstance(answer, Chunked):

        def breaks(seen):
            def pieces():
                yield b"begin"
                raise ConnectionError

            return Chunked(pieces(), TAR)

        answer = breaks
    daemon.on("GET", "/images/get", answer)
    result = pouch("save", "-o", str(target), "x")
    if result.code == 0:  # a whole answer
        assert target.read_bytes() == b"x"
    else:
        assert target.read_bytes() == b"old"
        assert result.err
    assert os.listdir(tmp_path) == ["x.tar"]


def test_a_place_that_cannot_be_written_is_said_before_the_daemon_is_asked(daemon, pouch, tmp_path):
    result = pouch("save", "-o", f"{tmp_path}/none/x.tar", "x")
    assert (result.code, daemon.seen) == (1, [])
    assert f"open {tmp_path}/none/x.tar: no such file or directory" in result.err
    assert "is a directory" in pouch("export", "-o", str(tmp_path), "x").err
    assert daemon.seen == []


def test_a_full_disk_is_one_message(daemon, pouch):
    daemon.on("GET", "/containers/x/export", archive())
    result = pouch("export", "-o", "/dev/full", "x")
    assert (result.code, result.err) == (1, "pouch: write /dev/full: no space left on device\n")
    assert pouch("export", "-o", "/dev/null", "x").code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_within_a_save_leaves_no_part_of_it(daemon, tmp_path, number, code):
    leaves = threading.Event()

    def pieces():
        yield b"begin"
        leaves.wait(PATIENCE)

    daemon.on("GET", "/images/get", Chunked(pieces(), TAR))
    with cli.started(daemon, "save", "-o", f"{tmp_path}/x.tar", "x") as process:
        daemon.wait_for("GET", "/images/get")
        deadline = time.monotonic() + PATIENCE
        while not any((tmp_path / name).stat().st_size for name in os.listdir(tmp_path)):
            assert time.monotonic() < deadline
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
    leaves.set()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("argv", [["--format", "zip"], ["--compression", "xz"]])
def test_save_names_the_formats_it_has(daemon, pouch, argv):
    result = pouch("save", *argv, "x")
    assert (result.code, daemon.seen) == (125, [])
    assert "expected one of" in result.err


def test_import_sends_a_file_or_stdin_with_all_that_is_said_of_it(daemon, pouch, tmp_path):
    steps = [{"status": "Importing", "id": "", "progressDetail": {"current": 1 << 20, "total": 0}}, {"status": ID}]
    daemon.on("POST", "/images/create", Chunked([json.dumps(one).encode() + b"\n" for one in steps]))
    (tmp_path / "x.tar").write_bytes(b"tar" * 100_000)
    argv = ["-c", "CMD a", "-m", "why", "--platform", "linux/arm64", str(tmp_path / "x.tar"), "reg:5000/a:1"]
    assert pouch("import", *argv).out == f"{ID}\n"
    seen = daemon.only("POST", "/images/create")
    assert seen.body == b"tar" * 100_000
    assert seen.query == {
        "fromSrc": "-", "repo": "reg:5000/a", "tag": "1", "message": "why", "changes": "CMD a", "platform": "linux/arm64",
    }  # fmt: skip
    assert cli.run(daemon, "image", "import", "-", stdin=b"tar").stdout == f"{ID}\n".encode()
    assert daemon.requests("POST", "/images/create")[1].query == {"fromSrc": "-"}


def test_import_refuses_addresses_and_terminals(daemon, pouch):
    assert "addresses are not fetched\nhint: `curl" in pouch("import", "http://x/y.tar").err
    assert "no such file" in pouch("import", "/nonesuch").err
    with cli.on_terminal(daemon, "import", "-") as terminal:
        terminal.until(b"stdin is a terminal")
        assert terminal.wait() == 1
    assert daemon.seen == []


def test_commit_prints_the_image(daemon, pouch):
    daemon.on("POST", "/commit", Reply(201, {"Id": ID}))
    argv = ["-a", "Ann <a@x>", "-m", "why", "-c", "USER www", "--pause=false", "web", "reg:5000/a:1"]
    assert pouch("commit", *argv).out == f"{ID}\n"
    assert daemon.only("POST", "/commit").query == {
        "container": "web", "repo": "reg:5000/a", "tag": "1", "author": "Ann <a@x>", "comment": "why",
        "changes": "USER www", "pause": "0",
    }  # fmt: skip
    assert pouch("container", "commit", "web").code == 0
    assert daemon.requests("POST", "/commit")[1].query == {"container": "web", "pause": "1"}


def test_prune_with_force_asks_nobody(daemon, pouch):
    removed = [{"Untagged": "a:1"}, {"Deleted": ID}]
    daemon.on("POST", "/images/prune", Reply(document={"ImagesDeleted": removed, "SpaceReclaimed": 1_234_567}))
    result = pouch("image", "prune", "-af", "--filter", "until=24h", "--filter", "label!=keep")
    assert result.out == f"Deleted Images:\nuntagged: a:1\ndeleted: {ID}\n\nTotal reclaimed space: 1.235MB\n"
    assert json.loads(daemon.only("POST", "/images/prune").query["filters"]) == {
        "until": ["24h"], "label!": ["keep"], "dangling": ["false"],
    }  # fmt: skip


def test_prune_asks_first_and_only_yes_is_yes(daemon):
    daemon.on("POST", "/images/prune", Reply(document={"ImagesDeleted": None, "SpaceReclaimed": 0}))
    done = cli.run(daemon, "image", "prune", stdin=b"n\n")
    assert (done.returncode, daemon.seen) == (1, [])
    assert b"remove all dangling images" in done.stdout
    assert b"cancelled" in done.stderr
    assert cli.run(daemon, "image", "prune", "-a", stdin=b"").returncode == 1
    done = cli.run(daemon, "image", "prune", "-a", "--filter", "until=1h", stdin=b"y\n")
    assert b"without at least one container" in done.stdout
    assert b"  - until=1h\n" in done.stdout
    assert done.stdout.endswith(b"[y/N] Total reclaimed space: 0B\n")


USAGE = {
    "LayersSize": 300_000_000,
    "Images": [
        {"Id": ID, "RepoTags": ["a:1"], "Size": 200_000_000, "SharedSize": 100_000_000, "Containers": 1, "Created": 1},
        {"Id": "sha256:" + "cd" * 32, "RepoTags": [], "Size": 200_000_000, "SharedSize": 100_000_000, "Containers": 0,
         "Created": 1},
    ],
    "Containers": [
        {"Id": "c" * 64, "Names": ["/web"], "Image": "a:1", "Command": "x", "SizeRw": 3_000_000, "State": "running",
         "Status": "Up 5 minutes", "Created": 1},
        {"Id": "d" * 64, "Names": ["/old"], "Image": "a:1", "Command": "x", "SizeRw": 1_000_000, "State": "exited",
         "Status": "Exited (0)", "Created": 1},
    ],
    "Volumes": [{"Name": "v", "UsageData": {"RefCount": 0, "Size": 5000}}],
    "BuildCache": None,
}  # fmt: skip


def test_df_sums_up_by_kind(daemon, pouch):
    daemon.on("GET", "/system/df", Reply(document=USAGE))
    rows = [line.split("  ") for line in pouch("system", "df").out.splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"],
        ["Images", "2", "1", "300MB", "200MB (66%)"],
        ["Containers", "2", "1", "4MB", "1MB (25%)"],
        ["Local Volumes", "1", "0", "5kB", "5kB (100%)"],
        ["Build Cache", "0", "0", "0B", "0B"],
    ]
    assert pouch("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Reclaimable}}").out.startswith(
        "Images 2 200MB"
    )


def test_df_in_detail(daemon, pouch):
    daemon.on("GET", "/system/df", Reply(document=USAGE))
    out = pouch("system", "df", "-v").out
    images, containers, volumes = out.split("\n\n")[1::2]
    assert images.splitlines()[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE", "SHARED", "SIZE",
                                             "UNIQUE", "SIZE", "CONTAINERS"]  # fmt: skip
    assert [line.split()[0] for line in images.splitlines()[1:]] == ["a", "<none>"]
    assert images.splitlines()[1].split()[-4:] == ["200MB", "100MB", "100MB", "1"]
    assert [line.split()[-1] for line in containers.splitlines()[1:]] == ["web", "old"]
    assert volumes.splitlines()[1].split() == ["v", "0", "5kB"]
    assert pouch("system", "df", "-v", "--format", "json").code == 1


def image(tags, digests):
    return {"Id": ID, "RepoTags": tags, "RepoDigests": digests, "Created": 1, "Size": 5, "Containers": -1}


@pytest.mark.parametrize(
    ("tags", "digests", "plain", "with_digests"),
    [
        (["a:1"], [], ["a:1"], ["a:1 <none>"]),
        (["a:1"], ["a@sha256:e"], ["a:1"], ["a:1 sha256:e"]),
        (["r:5/a:1", "b:2"], ["r:5/a@sha256:e", "r:5/a@sha256:f"], ["r:5/a:1", "b:2"],
         ["r:5/a:1 sha256:e", "r:5/a:1 sha256:f", "b:2 <none>"]),
        (["a:1", "a:2"], ["a@sha256:e"], ["a:1", "a:2"], ["a:1 sha256:e", "a:2 sha256:e"]),
        ([], ["a@sha256:e"], ["a:<none>"], ["a:<none> sha256:e"]),
        (["b:1"], ["a@sha256:e"], ["b:1"], ["b:1 <none>", "a:<none> sha256:e"]),
        ([], [], ["<none>:<none>"], ["<none>:<none> <none>"]),
        (["<none>:<none>"], ["<none>@<none>"], ["<none>:<none>"], ["<none>:<none> <none>"]),
        (None, None, ["<none>:<none>"], ["<none>:<none> <none>"]),
    ],
)  # fmt: skip
def test_images_have_a_row_for_each_name_and_each_digest(daemon, pouch, tags, digests, plain, with_digests):
    daemon.on("GET", "/images/json", Reply(document=[image(tags, digests)]))
    assert pouch("images", "--format", "{{.Repository}}:{{.Tag}}").out.splitlines() == plain
    found = pouch("images", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}").out.splitlines()
    assert found == with_digests
