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
    assert result.err.count("config.json is left out") == 1


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


PROXY = {"httpProxy": "http://proxy:3128", "noProxy": "localhost,.example"}


def environment_of(pouch, daemon, *words):
    daemon.on("POST", "/containers/create", Reply(201, {"Id": "a" * 64}))
    result = pouch("create", *words, "x")
    assert result.code == 0, result.err
    return daemon.requests("POST", "/containers/create")[-1].json()["Env"]


def test_the_proxies_of_the_file_are_variables_of_new_containers(pouch, daemon, configured):
    configured({"proxies": {"default": PROXY}})
    assert environment_of(pouch, daemon) == [
        "HTTP_PROXY=http://proxy:3128",
        "http_proxy=http://proxy:3128",
        "NO_PROXY=localhost,.example",
        "no_proxy=localhost,.example",
    ]


def test_what_the_command_line_says_of_a_proxy_is_left(pouch, daemon, configured, tmp_path):
    (tmp_path / "file").write_text("NO_PROXY=of-the-file\nOTHER=1\n")
    configured({"proxies": {"default": PROXY}})
    words = ("--env-file", str(tmp_path / "file"), "-e", "HTTP_PROXY=", "-e", "no_proxy")
    assert environment_of(pouch, daemon, *words) == [
        "NO_PROXY=of-the-file",
        "OTHER=1",
        "HTTP_PROXY=",
        "no_proxy",
        "http_proxy=http://proxy:3128",
        "NO_PROXY=localhost,.example",
    ]


def test_the_proxies_of_this_daemon_stand_for_the_default_ones(pouch, daemon, configured):
    configured({"proxies": {"default": PROXY, daemon.host: {"allProxy": "socks5://other", "ftpProxy": ""}}})
    assert environment_of(pouch, daemon) == ["ALL_PROXY=socks5://other", "all_proxy=socks5://other"]


@pytest.mark.parametrize("proxies", [None, [], {"default": None}, {"default": {"httpProxy": 5}}, {"elsewhere": PROXY}])
def test_proxies_of_another_kind_or_place_count_as_none(pouch, daemon, configured, proxies):
    configured({"proxies": proxies})
    assert environment_of(pouch, daemon) == []


def test_exec_gets_no_proxies(pouch, daemon, configured):
    exec_of(daemon)
    configured({"proxies": {"default": PROXY}})
    assert pouch("exec", "web", "true").code == 0
    assert daemon.requests("POST", "/containers/web/exec")[-1].json()["Env"] == []


def test_headers_go_with_every_request_and_replace_none(pouch, daemon, configured):
    exec_of(daemon)
    configured({"HttpHeaders": {"X-Meta": "a b", "user-agent": "mine", "Content-Length": "9", "UPGRADE": "x"}})
    assert pouch("exec", "web", "true").code == 0
    seen = daemon.requests("GET") + daemon.requests("POST")
    assert len(seen) == 3
    assert {one.headers["x-meta"] for one in seen} == {"a b"}
    assert {one.headers["user-agent"] for one in seen} == {"pouch-cli"}


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nY: b"}, {"X: y\n": "b"}, {"": "a"}, {"X": 5}, {"X": "ö"}, {"X y": "b"}]
)
def test_headers_that_are_none_are_refused(pouch, daemon, configured, headers):
    configured({"HttpHeaders": headers})
    result = pouch("ps")
    assert result.code == 1
    assert "HttpHeaders in config.json" in result.err
    assert not daemon.requests("GET")


@pytest.mark.parametrize("noun", ["container", "image", "network", "volume"])
def test_filters_of_the_file_narrow_what_is_pruned(pouch, daemon, configured, noun):
    configured({"pruneFilters": ["label!=keep", "label=old", "label=a", "nothing", "until=", 5]})
    daemon.on("POST", f"/{noun}s/prune", Reply(document={}))
    result = pouch(noun, "prune", "--force", "--filter", "label!=a")
    assert result.code == 0, result.err
    filters = json.loads(daemon.requests("POST")[-1].query["filters"])
    filters.pop("dangling", None)
    assert filters == {"label!": ["a", "keep"], "label": ["old"]}


def test_the_question_of_a_prune_shows_the_filters_of_the_file(pouch, daemon, configured):
    configured({"pruneFilters": ["label=old"]})
    for noun in ("containers", "images", "networks"):
        daemon.on("POST", f"/{noun}/prune", Reply(document={}))
    assert "  - label=old\n" in pouch("system", "prune").out
    assert pouch("system", "prune", "--force").code == 0
    assert all(one.query["filters"].find('"label":["old"]') > 0 for one in daemon.requests("POST"))
