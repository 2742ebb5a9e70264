"""load, rmi, image bootstrap, and progress."""

from __future__ import annotations

import json

from support import cli
from support.fake_daemon import Chunked, Reply, refuse


def messages(*documents):
    return Chunked([json.dumps(one).encode() + b"\n" for one in documents])


def test_load_sends_the_file(daemon, pouch, tmp_path):
    archive = tmp_path / "x.tar"
    archive.write_bytes(b"tar" * 200_000)
    daemon.on("POST", "/images/load", messages({"stream": "Loaded image: x:latest\n"}))
    result = pouch("load", "-i", str(archive))
    assert (result.code, result.out) == (0, "Loaded image: x:latest\n")
    seen = daemon.only("POST", "/images/load")
    assert seen.body == archive.read_bytes()
    assert seen.headers["content-type"] == "application/x-tar"


def test_load_reads_stdin(daemon):
    daemon.on("POST", "/images/load", messages({"stream": "Loaded image: x:latest\n"}))
    result = cli.run(daemon, "load", "-q", stdin=b"tar")
    assert result.stdout == b"Loaded image: x:latest\n"
    seen = daemon.only("POST", "/images/load")
    assert (seen.body, seen.query) == (b"tar", {"quiet": "1"})


def test_load_from_a_terminal_is_a_mistake(daemon):
    with cli.on_terminal(daemon, "load") as terminal:
        terminal.until(b"requested load from stdin")
        assert terminal.wait() == 1
    assert not daemon.seen


def test_load_names_a_file_that_cannot_be_read(daemon, pouch, tmp_path):
    assert f"open {tmp_path}/nope: no such file or directory" in pouch("load", "-i", f"{tmp_path}/nope").err
    assert "is a directory" in pouch("load", "-i", str(tmp_path)).err


def test_an_error_in_the_stream_is_the_commands_error(daemon, pouch, tmp_path):
    archive = tmp_path / "x.tar"
    archive.write_bytes(b"no tar")
    daemon.on("POST", "/images/load", messages({"errorDetail": {"message": "no archive"}, "error": "no archive"}))
    result = pouch("load", "-i", str(archive))
    assert (result.code, result.err) == (1, "Error response from daemon: no archive\n")


def test_rmi_tells_what_was_removed(daemon, pouch):
    daemon.on("DELETE", "/images/docker.io/library/x:1", Reply(document=[{"Untagged": "x:1"}, {"Deleted": "sha256:a"}]))
    daemon.on("DELETE", "/images/nope", refuse(404, "No such image: nope:latest"))
    result = pouch("rmi", "-f", "docker.io/library/x:1", "nope")
    assert (result.code, result.out) == (1, "Untagged: x:1\nDeleted: sha256:a\n")
    assert result.err == "Error response from daemon: No such image: nope:latest\n"
    assert daemon.seen[0].query == {"force": "1"}


def test_bootstrap_passes_its_options(daemon, pouch):
    daemon.on("POST", "/images/bootstrap", messages({"status": "Made debian:bookworm"}))
    argv = ["--include", "cron,dbus", "--include", "sudo", "--variant", "minbase", "--mirror", "http://m"]
    result = pouch("image", "bootstrap", *argv, "debian:bookworm")
    assert (result.code, result.out) == (0, "Made debian:bookworm\n")
    assert daemon.only("POST", "/images/bootstrap").query == {
        "name": "debian:bookworm", "include": "cron,dbus,sudo", "variant": "minbase", "mirror": "http://m",
    }  # fmt: skip


STEPS = (
    {"status": "Resolving", "id": "packages"},
    {"status": "Fetching", "id": "packages", "progressDetail": {"current": 500, "total": 1000}},
    {"status": "Fetching", "id": "packages", "progressDetail": {"current": 1000, "total": 1000}},
    {"status": "Packing", "id": "layer", "progressDetail": {"current": 4_000_000}},
    {"status": "Made x"},
)


def test_bootstrap_takes_a_keyring_and_is_quiet(daemon, pouch):
    daemon.on("POST", "/images/bootstrap", messages(*STEPS))
    result = pouch("image", "bootstrap", "-q", "--keyring", "/k/keys.gpg", "x")
    assert result.out == "Made x\n"
    assert daemon.only("POST", "/images/bootstrap").query == {"name": "x", "keyring": "/k/keys.gpg"}


def test_progress_without_a_terminal_is_plain_lines(daemon, pouch):
    daemon.on("POST", "/images/bootstrap", messages(*STEPS))
    assert pouch("image", "bootstrap", "x").out == "packages: Resolving\nMade x\n"
