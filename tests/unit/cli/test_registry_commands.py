"""pull, push, login, logout, search, manifest inspect, and what run and create do about a missing image."""

from __future__ import annotations

import base64
import json
import os
import signal

import pytest
from support import cli
from support.credential_helper import Helper
from support.fake_daemon import Chunked, Reply, refuse

DIGEST = "sha256:" + "e" * 64


def messages(*documents):
    return Chunked([json.dumps(one).encode() + b"\n" for one in documents])


PULLED = messages(
    {"status": "Pulling from library/busybox", "id": "latest"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "a1"},
    {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "a1"},
    {"status": "Download complete", "progressDetail": {}, "id": "a1"},
    {"status": "Download complete", "progressDetail": {}, "id": "a1"},
    {"status": "Pull complete", "progressDetail": {}, "id": "a1"},
    {"status": f"Digest: {DIGEST}"},
    {"status": "Status: Downloaded newer image for busybox:latest"},
)


def sent(seen):
    """The credentials of a request."""
    text = seen.headers.get("x-registry-auth")
    return None if text is None else json.loads(base64.urlsafe_b64decode(text))


@pytest.fixture
def known(configuration):
    """A configuration with entries for two registries."""
    configuration.mkdir()
    entry = {"auth": base64.b64encode(b"ann:s3cret").decode()}
    hub = {"auth": base64.b64encode(b"hub:pw").decode()}
    document = {"auths": {"reg:5000": entry, "https://index.docker.io/v1/": hub}}
    (configuration / "config.json").write_text(json.dumps(document))


def test_a_pull_in_plain_lines_tells_each_change_of_status_once(daemon, pouch):
    daemon.on("POST", "/images/create", PULLED)
    result = pouch("pull", "busybox")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "Using default tag: latest",
        "latest: Pulling from library/busybox",
        "a1: Pulling fs layer",
        "a1: Download complete",
        "a1: Pull complete",
        f"Digest: {DIGEST}",
        "Status: Downloaded newer image for busybox:latest",
        "docker.io/library/busybox:latest",
    ]
    seen = daemon.only("POST", "/images/create")
    assert seen.query == {"fromImage": "busybox", "tag": "latest"}
    assert sent(seen) is None


@pytest.mark.parametrize(
    ("argv", "query", "out"),
    [
        (["reg:5000/a/b:1"], {"fromImage": "reg:5000/a/b", "tag": "1"}, "reg:5000/a/b:1\n"),
        ([f"busybox@{DIGEST}"], {"fromImage": "busybox", "tag": DIGEST}, f"docker.io/library/busybox@{DIGEST}\n"),
        (["-a", "busybox"], {"fromImage": "busybox"}, "docker.io/library/busybox\n"),
        (["--platform", "linux/arm64", "x:1"], {"fromImage": "x", "tag": "1", "platform": "linux/arm64"},
         "docker.io/library/x:1\n"),
        (["busybox"], {"fromImage": "busybox", "tag": "latest"}, "docker.io/library/busybox:latest\n"),
    ],
)  # fmt: skip
def test_a_quiet_pull_says_the_name_in_full(daemon, pouch, argv, query, out):
    daemon.on("POST", "/images/create", PULLED)
    assert pouch("pull", "-q", *argv).out == out
    assert daemon.only("POST", "/images/create").query == query


def test_the_default_registry_is_the_daemons(daemon, pouch, configuration, known):
    daemon.on("POST", "/images/create", PULLED)
    daemon.on("GET", "/info", Reply(document={"IndexServerAddress": "https://reg:5000/", "DefaultNamespace": "team"}))
    assert pouch("pull", "-q", "x:1").out == "reg:5000/team/x:1\n"
    assert pouch("pull", "-q", "docker.io/x:1").out == "docker.io/library/x:1\n"
    pulls = daemon.requests("POST", "/images/create")
    assert [sent(one)["username"] for one in pulls] == ["ann", "hub"]


@pytest.mark.parametrize(
    ("name", "user"), [("reg:5000/x:1", "ann"), ("busybox", "hub"), ("other/x.y/z", "hub"), ("o.x/y", None)]
)
def test_credentials_go_to_their_registry_and_to_no_other(daemon, pouch, known, name, user):
    daemon.on("POST", "/images/create", PULLED)
    daemon.on("POST", "/images/.*/push", messages({"status": "pushed"}))
    assert pouch("pull", name).code == 0
    assert (sent(daemon.only("POST", "/images/create")) or {}).get("username") == user
    assert pouch("push", name).code == 0
    assert (sent(daemon.only("POST", "/images/.*/push")) or {}).get("username") == user


def test_a_helper_that_fails_is_told_and_the_pull_goes_on(daemon, pouch, configuration, tmp_path, monkeypatch):
    helper = Helper(tmp_path / "bin", "test")
    helper.script("#!/bin/sh\necho locked; exit 1\n")
    monkeypatch.setenv("PATH", helper.path)
    configuration.mkdir()
    (configuration / "config.json").write_text('{"credsStore": "test"}')
    daemon.on("POST", "/images/create", PULLED)
    result = pouch("pull", "reg:5000/x:1")
    assert (result.code, sent(daemon.only("POST", "/images/create"))) == (0, None)
    assert result.err.splitlines() == [
        "WARNING: pouch: docker-credential-test get failed: locked",
        "WARNING: going on without credentials",
    ]


def test_errors_of_a_pull_are_the_commands(daemon, pouch):
    daemon.on("POST", "/images/create", refuse(404, "pull access denied for x"))
    result = pouch("pull", "x")
    assert (result.code, result.err) == (1, "Error response from daemon: pull access denied for x\n")
    daemon.on("POST", "/images/create", messages({"status": "Pulling", "id": "1"}, {"error": "reg\x1b[2J: stalled"}))
    result = pouch("pull", "x")
    assert (result.code, result.err) == (1, "Error response from daemon: reg\\x1b[2J: stalled\n")
    assert "docker.io" not in result.out


@pytest.mark.parametrize("command", ["pull", "push"])
def test_a_tag_and_all_tags_exclude_each_other(daemon, pouch, command):
    result = pouch(command, "-a", "x:1")
    assert (result.code, daemon.seen) == (1, [])
    assert "tag can't be used with --all-tags/-a" in result.err


def test_a_push_names_repository_and_tag(daemon, pouch):
    pushed = messages(
        {"status": "The push refers to repository [reg:5000/a]"},
        {"status": "Pushed", "progressDetail": {}, "id": "a1"},
        {"status": f"latest: digest: {DIGEST} size: 5"},
        {"progressDetail": {}, "aux": {"Tag": "latest", "Digest": DIGEST, "Size": 5}},
    )
    daemon.on("POST", "/images/.*/push", pushed)
    result = pouch("push", "reg:5000/a")
    assert result.out.splitlines() == [
        "Using default tag: latest",
        "The push refers to repository [reg:5000/a]",
        "a1: Pushed",
        f"latest: digest: {DIGEST} size: 5",
    ]
    seen = daemon.only("POST", "/images/reg:5000/a/push")
    assert (seen.query, sent(seen)) == ({"tag": "latest"}, {})
    assert pouch("push", "-q", "reg:5000/a:2").out == "reg:5000/a:2\n"
    assert pouch("push", "-q", "-a", "reg:5000/a").out == "reg:5000/a\n"
    assert [one.query for one in daemon.requests("POST", "/images/.*/push")[1:]] == [{"tag": "2"}, {}]


def test_run_pulls_what_is_missing_and_keeps_stdout_for_the_container(daemon, pouch):
    made = Reply(201, {"Id": "c" * 64, "Warnings": []})
    daemon.on("POST", "/containers/create", refuse(404, "No such image: busybox:latest"), made)
    daemon.on("POST", "/containers/c+/start", Reply(204))
    daemon.on("POST", "/images/create", PULLED)
    result = pouch("run", "-d", "--platform", "linux/amd64", "busybox")
    assert (result.code, result.out) == (0, "c" * 64 + "\n")
    lines = result.err.splitlines()
    assert lines[0] == "Unable to find image 'busybox:latest' locally"
    assert lines[-1] == "Status: Downloaded newer image for busybox:latest"
    assert daemon.only("POST", "/images/create").query == {
        "fromImage": "busybox", "tag": "latest", "platform": "linux/amd64",
    }  # fmt: skip
    assert [seen.query for seen in daemon.requests("POST", "/containers/create")] == [{"platform": "linux/amd64"}] * 2


def test_an_image_of_another_platform_is_pulled_too(daemon, pouch):
    other = "image with reference x was found but does not match the specified platform"
    daemon.on("POST", "/containers/create", refuse(404, other), Reply(201, {"Id": "c" * 64}))
    daemon.on("POST", "/images/create", PULLED)
    assert pouch("create", "-q", "--platform", "linux/arm64", "x").err == ""
    assert len(daemon.requests("POST", "/images/create")) == 1


def test_other_things_that_are_missing_are_not_pulled(daemon, pouch):
    daemon.on("POST", "/containers/create", refuse(404, "network x not found"))
    assert pouch("create", "x").code == 1
    assert daemon.requests("POST", "/images/create") == []


@pytest.mark.parametrize("name", ["sha256:" + "a" * 64, "a" * 64])
def test_an_id_is_not_looked_for_in_registries(daemon, pouch, name):
    daemon.on("POST", "/containers/create", refuse(404, f"No such image: {name}"))
    result = pouch("create", name)
    assert (result.code, result.err) == (1, f"Error response from daemon: No such image: {name}\n")
    assert daemon.requests("POST", "/images/create") == []


def test_create_may_pull_always_or_never(daemon, pouch):
    daemon.on("POST", "/containers/create", Reply(201, {"Id": "c" * 64}))
    daemon.on("POST", "/images/create", PULLED)
    assert pouch("create", "--pull", "always", "-q", "busybox").err == ""
    assert [one.path for one in daemon.seen] == ["/images/create", "/containers/create"]
    daemon.on("POST", "/containers/create", refuse(404, "No such image: busybox:latest"))
    assert pouch("create", "--pull", "never", "busybox").code == 1
    assert len(daemon.requests("POST", "/images/create")) == 1


def test_a_pull_that_fails_ends_run_with_125(daemon, pouch):
    daemon.on("POST", "/containers/create", refuse(404, "No such image: busybox:latest"))
    daemon.on("POST", "/images/create", messages({"error": "cut off\nhint: again"}))
    result = pouch("run", "-d", "busybox")
    assert result.code == 125
    assert "Error response from daemon: cut off\nhint: again\n" in result.err
    assert "bootstrap" not in result.err


def accepts(seen):
    """The daemon's answer to a login: only with the right password."""
    if seen.json().get("password") == "s3cret" or seen.json().get("identitytoken") == "tok":
        return Reply(document={"Status": "Login Succeeded", "IdentityToken": ""})
    return refuse(401, "unauthorized: wrong password")


def auths(configuration):
    return json.loads((configuration / "config.json").read_text())["auths"]


def test_a_login_by_stdin_is_kept(daemon, configuration):
    daemon.on("POST", "/auth", accepts)
    done = cli.run(daemon, "login", "-u", "ann", "--password-stdin", "https://reg:5000/v2/", stdin=b"s3cret\n")
    assert (done.returncode, done.stdout) == (0, b"Login Succeeded\n")
    assert b"stored unencrypted in" in done.stderr
    assert daemon.only("POST", "/auth").json() == {"username": "ann", "password": "s3cret", "serveraddress": "reg:5000"}
    assert auths(configuration) == {"reg:5000": {"auth": base64.b64encode(b"ann:s3cret").decode()}}


def test_a_wrong_password_is_not_kept(daemon, configuration):
    daemon.on("POST", "/auth", accepts)
    done = cli.run(daemon, "login", "-u", "ann", "--password-stdin", "reg:5000", stdin=b"wrong")
    assert (done.returncode, done.stderr) == (1, b"Error response from daemon: unauthorized: wrong password\n")
    assert not configuration.exists()


def test_a_token_takes_the_passwords_place(daemon, pouch, configuration):
    daemon.on("POST", "/auth", Reply(document={"Status": "Login Succeeded", "IdentityToken": "tok"}))
    result = pouch("login", "-u", "ann", "-p", "s3cret", "reg:5000")
    assert result.code == 0
    assert "--password via the CLI is insecure" in result.err
    kept = auths(configuration)["reg:5000"]
    assert (base64.b64decode(kept["auth"]), kept["identitytoken"]) == (b"ann:", "tok")


def test_a_login_goes_to_the_helper_where_there_is_one(daemon, pouch, configuration, tmp_path, monkeypatch):
    helper = Helper(tmp_path / "bin", "test")
    monkeypatch.setenv("PATH", helper.path)
    configuration.mkdir()
    (configuration / "config.json").write_text('{"credsStore": "test"}')
    daemon.on("POST", "/auth", accepts)
    result = pouch("login", "-u", "ann", "-p", "s3cret", "reg:5000")
    assert "unencrypted" not in result.err
    assert helper.kept == {"reg:5000": ["ann", "s3cret"]}
    assert pouch("logout", "reg:5000").out == "Removing login credentials for reg:5000\n"
    assert helper.kept == {}
    assert pouch("logout", "reg:5000").out == "Not logged in to reg:5000\n"


@pytest.mark.parametrize(
    ("argv", "stdin", "complaint"),
    [
        (["--password-stdin"], b"x", "Must provide --username with --password-stdin"),
        (["-u", "a", "-p", "x", "--password-stdin"], b"x", "mutually exclusive"),
        (["-u", "a", "--password-stdin"], b"\n", "the password is empty"),
        (["-u", "a", "--password-stdin"], b"\xff", "the password is not UTF-8"),
        (["-u", "a", "--password-stdin"], b"x" * 70_000, "no password"),
        (["-u", "a"], b"x\n", "cannot perform an interactive login from a non TTY device"),
        ([], b"x\n", "cannot perform an interactive login from a non TTY device"),
    ],
)
def test_a_wrong_login_is_refused_before_anybody_is_asked(daemon, argv, stdin, complaint):
    done = cli.run(daemon, "login", *argv, "reg:5000", stdin=stdin)
    assert done.returncode == 1
    assert complaint in done.stderr.decode()
    assert daemon.requests("POST") == []


def test_at_a_terminal_name_and_password_are_asked_for_and_the_password_not_shown(daemon, configuration):
    daemon.on("POST", "/auth", accepts)
    with cli.on_terminal(daemon, "login", "reg:5000") as terminal:
        terminal.until(b"Username: ")
        terminal.type(b"ann\n")
        terminal.until(b"Password: ")
        terminal.type(b"s3cret\n")
        terminal.until(b"Login Succeeded")
        assert terminal.wait() == 0
        assert b"s3cret" not in terminal.shown
    assert "reg:5000" in auths(configuration)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_the_password_gives_the_echo_back(daemon, number, code):
    with cli.on_terminal(daemon, "login", "-u", "ann", "reg:5000") as terminal:
        before = terminal.local_flags()
        terminal.until(b"Password: ")
        terminal.process.send_signal(number)
        assert terminal.wait() == code
        assert terminal.local_flags() == before
    assert daemon.requests("POST") == []


def test_what_is_known_already_is_tried_first(daemon, pouch, known):
    daemon.on("POST", "/auth", accepts)
    result = pouch("login", "reg:5000")
    assert (result.code, result.out) == (0, "Authenticating with existing credentials...\nLogin Succeeded\n")


def test_logout_forgets_one_or_all(daemon, pouch, known, configuration):
    daemon.on("GET", "/info", Reply(document={}))
    assert pouch("logout").out == "Removing login credentials for https://index.docker.io/v1/\n"
    assert list(auths(configuration)) == ["reg:5000"]
    assert pouch("logout", "--all").out == "Removing login credentials for reg:5000\n"
    assert auths(configuration) == {}


def test_logout_needs_no_daemon(known, configuration, tmp_path, capfd):
    from pouch.cli import main

    assert main.main(["-H", f"unix://{tmp_path}/none", "logout"]) == 0
    assert list(auths(configuration)) == ["reg:5000"]


FOUND = [
    {"name": "debian", "description": "a\nbase " + "x" * 60, "star_count": 5, "is_official": True},
    {"name": "ann/debian\x1b[2J", "description": "", "star_count": 0},
]


def test_search_is_a_table(daemon, pouch, known):
    daemon.on("GET", "/images/search", Reply(document=FOUND))
    head, first, second = pouch("search", "--limit", "7", "-f", "stars=3", "reg:5000/deb").out.splitlines()
    assert head.split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert first.split() == ["debian", "a", "base", "x" * 37 + "…", "5", "[OK]"]
    assert second.split() == [r"ann/debian\x1b[2J", "0"]
    seen = daemon.only("GET", "/images/search")
    assert seen.query == {"term": "reg:5000/deb", "limit": "7", "filters": '{"stars":["3"]}'}
    assert sent(seen)["username"] == "ann"
    assert pouch("search", "--no-trunc", "--format", "{{.Name}} {{.StarCount}} {{.Description}}", "x").out.startswith(
        "debian 5 a base " + "x" * 60
    )


def test_manifest_inspect_shows_what_the_registry_has(daemon, pouch, known):
    manifest = {"schemaVersion": 2, "config": {"digest": DIGEST}, "name": "ä"}
    raw = base64.b64encode(json.dumps(manifest).encode()).decode()
    found = {"Descriptor": {"mediaType": "m", "digest": DIGEST, "size": 5}, "Platforms": [{"architecture": "amd64"}]}
    daemon.on("GET", "/distribution/reg:5000/x:latest/json", Reply(document=found | {"Raw": raw}))
    result = pouch("manifest", "inspect", "reg:5000/x")
    assert json.loads(result.out) == manifest
    assert sent(daemon.seen[0])["username"] == "ann"
    verbose = json.loads(pouch("manifest", "inspect", "-v", "reg:5000/x").out)
    assert verbose == {"Ref": "reg:5000/x:latest", **found, "Manifest": manifest}
    assert pouch("manifest", "inspect", "-f", "{{.config.digest}}", "reg:5000/x").out == f"{DIGEST}\n"
    assert pouch("manifest", "inspect", "reg:5000/none").code == 1
    hostile = base64.b64encode('{"a": "\\u009b2J\u202e\U000e0001\x7f é"}'.encode()).decode()
    daemon.on("GET", "/distribution/reg:5000/x:latest/json", Reply(document={"Raw": hostile}))
    shown = pouch("manifest", "inspect", "reg:5000/x").out
    assert shown == '{\n    "a": "\\u009b2J\\u202e\\udb40\\udc01\\u007f é"\n}\n'
    assert json.loads(shown) == {"a": "\x9b2J\u202e\U000e0001\x7f é"}
    daemon.on("GET", "/distribution/reg:5000/x:latest/json", Reply(document=found))
    assert "does not tell the manifest" in pouch("manifest", "inspect", "reg:5000/x").err


def test_a_bad_configuration_stops_what_needs_it_and_nothing_else(daemon, pouch, configuration):
    configuration.mkdir()
    (configuration / "config.json").write_text("{")
    daemon.on("POST", "/images/create", PULLED)
    result = pouch("pull", "x")
    assert (result.code, daemon.requests("POST")) == (1, [])
    assert f"{os.fspath(configuration)}/config.json is no JSON" in result.err
    daemon.on("GET", "/images/json", Reply(document=[]))
    assert pouch("images", "-q").code == 0
