"""What config.json sets: formats of lists, keys to detach with."""

from __future__ import annotations

import json

import pytest
from support import cli
from support.fake_daemon import RAW, Hijack, Reply

ROW = {"Id": "a" * 64, "Names": ["/web"], "Image": "x", "Command": "x", "Created": 1, "State": "", "Status": ""}


@pytest.fixture(autouse=True)
def things(daemon):
    """A daemon that has one of each."""
    daemon.on("GET", "/containers/json", Reply(document=[ROW]))
    image = {"Id": "sha256:" + "b" * 64, "RepoTags": ["x:1"], "Created": 1, "Size": 5}
    daemon.on("GET", "/images/json", Reply(document=[image]))
    daemon.on(
        "GET", "/networks", Reply(document=[{"Id": "c" * 64, "Name": "net", "Driver": "bridge", "Scope": "local"}])
    )
    daemon.on("GET", "/volumes", Reply(document={"Volumes": [{"Name": "data", "Driver": "local"}]}))


@pytest.fixture
def configured(configuration):
    def write(content):
        configuration.mkdir(exist_ok=True)
        (configuration / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))

    return write


@pytest.mark.parametrize(
    ("words", "member", "template", "shown"),
    [
        (["ps"], "psFormat", "{{.Names}}!", "web!\n"),
        (["container", "ls"], "psFormat", "table {{.Names}}", "NAMES\nweb\n"),
        (["images"], "imagesFormat", "{{.Repository}}", "x\n"),
        (["network", "ls"], "networksFormat", "{{.Name}}", "net\n"),
        (["volume", "ls"], "volumesFormat", "{{.Name}}", "data\n"),
    ],
)
def test_a_list_is_shown_by_the_configured_format(pouch, configured, words, member, template, shown):
    configured({member: template})
    assert pouch(*words).out == shown
    assert pouch(*words, "--format", "given").out == "given\n"
    assert pouch(*words, "--format", "table").out != shown


def test_quiet_leaves_the_configured_format_out(pouch, configured):
    configured({"psFormat": "{{.Names}}"})
    assert pouch("ps", "-q").out == "a" * 12 + "\n"


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "\x00"])
def test_a_file_that_cannot_be_read_hinders_no_list(pouch, configured, content):
    configured(content)
    result = pouch("ps")
    assert result.code == 0
    assert "web" in result.out
    assert "config.json is left out" in result.err


def test_a_member_of_another_kind_counts_as_none(pouch, configured):
    configured({"psFormat": 5})
    assert "CONTAINER ID" in pouch("ps").out


def exec_of(daemon):
    daemon.on("POST", "/containers/web/exec", Reply(201, {"Id": "e" * 64}))
    daemon.on("POST", f"/exec/{'e' * 64}/start", Hijack(lambda wire: None, RAW))
    daemon.on("GET", f"/exec/{'e' * 64}/json", Reply(document={"ExitCode": 0}))
    return lambda: daemon.requests("POST", "/containers/web/exec")[-1].json()["DetachKeys"]


def test_the_keys_to_detach_with_are_the_configured_ones(pouch, daemon, configured):
    keys = exec_of(daemon)
    configured({"detachKeys": "ctrl-e,e"})
    assert pouch("exec", "web", "true").code == 0
    assert keys() == "ctrl-e,e"
    pouch("exec", "--detach-keys", "a", "web", "true")
    assert keys() == "a"


@pytest.mark.parametrize("words", [["exec", "web", "true"], ["run", "x"]])
def test_keys_that_are_none_are_refused_before_anything_is_made(pouch, daemon, configured, words):
    configured({"detachKeys": "ctrl-ö"})
    result = pouch(*words)
    assert result.code == 125
    assert "detachKeys in config.json: unknown key 'ctrl-ö'" in result.err
    assert not daemon.requests("POST")


def test_the_terminal_really_takes_the_configured_keys(daemon, configured, monkeypatch):
    exec_of(daemon)
    daemon.on("POST", f"/exec/{'e' * 64}/resize", Reply(200))
    daemon.on("POST", f"/exec/{'e' * 64}/start", Hijack(lambda wire: (wire.raw(b"$ "), wire.read_all()), RAW))
    configured({"detachKeys": "ctrl-e,e"})
    with cli.on_terminal(daemon, "exec", "-it", "web", "sh") as terminal:
        terminal.until(b"$ ")
        terminal.type(b"\x05e")
        terminal.until(b"read escape sequence")
        assert terminal.wait() == 0
