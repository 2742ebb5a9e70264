"""Requests and command lines that are wrong: each gets one clear error, leaves nothing, and no traceback."""

from __future__ import annotations

import json
import os
import socket

import pytest

API = "/v1.43"


def created(daemon, **document):
    """Status and answer of a create."""
    return daemon.request("POST", f"{API}/containers/create", {"Image": "busybox", "Cmd": ["true"], **document})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "truncated"),
        (b"nonsense", "JSON is malformed"),
        (b"[]", "object"),
        (b"1", "object"),
        (b'"text"', "object"),
        (b"\xff\xfe", "malformed"),
        (b"{}", "config cannot be empty in order to create a container"),
        (b'{"Image": 1}', "$.Image"),
        (b'{"Image": "busybox", "Cmd": {"a": 1}}', "$.Cmd"),
        (b'{"Image": "busybox", "Env": "A=1"}', "$.Env"),
        (b'{"Image": "busybox", "Env": [1]}', "$.Env[0]"),
        (b'{"Image": "busybox", "Tty": "yes"}', "$.Tty"),
        (b'{"Image": "busybox", "Labels": {"a": 1}}', "$.Labels"),
        (b'{"Image": "busybox", "HostConfig": []}', "$.HostConfig"),
        (b'{"Image": "busybox", "HostConfig": {"Memory": "64m"}}', "$.HostConfig.Memory"),
        (b'{"Image": "busybox", "HostConfig": {"Memory": 1.5}}', "$.HostConfig.Memory"),
        (
            b'{"Image": "busybox", "HostConfig": {"Memory": 99999999999999999999999}}',
            "Memory: 99999999999999999999999 is no 64-bit",
        ),
        (
            b'{"Image": "busybox", "HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": "x"}]}}',
            "$.HostConfig.Ulimits[0].Soft",
        ),
        (b'{"Image": "busybox", "HostConfig": {"RestartPolicy": "always"}}', "$.HostConfig.RestartPolicy"),
        (b'{"Image": "busybox", "StopTimeout": "10"}', "$.StopTimeout"),
        (b'{"Image": "busybox", "Rich": "yes"}', "$.Rich"),
        (b'{"Image": "busybox", "RichMode": "nonsense"}', "invalid RichMode 'nonsense'"),
        (b'{"Image": "busybox", "AppExit": "nonsense", "Rich": true}', "invalid AppExit 'nonsense'"),
        (b'{"Image": "busybox", "Cmd": ["a\\u0000b"]}', "null byte"),
        (b'{"Image": "busybox", "Env": ["A=a\\u0000b"]}', "null byte"),
        (b'{"Image": "busybox", "Env": ["=x"]}', "invalid environment variable"),
        (b'{"Image": "busybox", "WorkingDir": "relative"}', "needs to be an absolute path"),
        (b'{"Image": "busybox", "Cmd": ["' + b"\\ud800" + b'"]}', ""),
        (b"[" * 100000, "deep"),
    ],
)
def test_a_wrong_body_is_named_by_its_place(daemon, body, text):
    status, said = daemon.request("POST", f"{API}/containers/create", body)
    assert (status, set(said)) == (400, {"message"})
    assert text in said["message"]
    assert daemon.out("ps", "-aq") == ""


def test_unknown_members_are_ignored_as_docker_does(daemon):
    status, said = created(daemon, Nonsense={"a": 1}, HostConfig={"Nonsense": [1]})
    assert (status, said["Warnings"]) == (201, [])


def test_null_members_are_as_if_absent(daemon):
    status, _ = created(daemon, Env=None, Labels=None, Entrypoint=None, HostConfig=None, Volumes=None, StopTimeout=None)
    assert status == 201


def test_a_body_that_is_too_large_is_refused(daemon):
    status, said = daemon.request("POST", f"{API}/containers/create", b'{"Image": "' + b"x" * (64 << 20) + b'"}')
    assert status in (400, 413), said


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nonsense", 404),
        ("GET", f"{API}/nonsense", 404),
        ("GET", "/", 404),
        ("GET", "//", 404),
        ("GET", f"{API}/containers/", 404),
        ("GET", f"{API}/containers/nonesuch/json", 404),
        ("GET", f"{API}/containers/..%2f..%2fetc/json", 404),
        ("GET", f"{API}/containers/%00/json", 404),
        ("GET", f"{API}/containers/%ff/json", 404),
        ("PUT", f"{API}/containers/json", 405),
        ("DELETE", f"{API}/containers/json", 404),
        ("GET", f"{API}/containers/json?limit=x", 400),
        ("GET", f"{API}/containers/json?filters=x", 400),
        ("GET", f"{API}/containers/json?filters=%5B1%5D", 400),
        ("GET", f"{API}/containers/json?filters=%7B%22status%22%3A1%7D", 400),
        ("GET", f"{API}/events?since=x", 400),
        ("GET", f"{API}/images/nonesuch/json", 404),
        ("GET", f"{API}/exec/nonesuch/json", 404),
        ("POST", f"{API}/exec/nonesuch/start", 404),
        ("POST", f"{API}/images/create", 400),
        ("POST", f"{API}/images/create?fromImage=Nonsense&tag=1", 400),
        ("POST", f"{API}/images/create?fromImage=x&tag=%00", 400),
        ("POST", f"{API}/images/create?fromSrc=http://127.0.0.1:1/x.tar", 400),
        ("POST", f"{API}/images/create?fromSrc=-&repo=Nonsense", 400),
        ("POST", f"{API}/images/nonesuch/tag?repo=x", 404),
        ("POST", f"{API}/images/busybox/tag?repo=Nonsense", 400),
        ("POST", f"{API}/images/busybox/tag", 400),
        ("GET", f"{API}/images/nonesuch/get", 404),
        ("GET", f"{API}/images/busybox/get?format=zip", 400),
        ("GET", f"{API}/images/busybox/get?compression=xz", 400),
        ("GET", f"{API}/images/get", 400),
        ("POST", f"{API}/images/prune?filters=%7B%22until%22%3A%5B%22nonsense%22%5D%7D", 400),
        ("POST", f"{API}/images/prune?filters=%7B%22dangling%22%3A%5B%22nonsense%22%5D%7D", 400),
        ("GET", f"{API}/images/search", 400),
        ("GET", f"{API}/distribution/Nonsense/json", 400),
        ("GET", f"{API}/system/df?type=nonsense", 400),
        ("POST", f"{API}/auth", 400),
        ("POST", f"{API}/commit", 400),
        ("POST", f"{API}/commit?container=nonesuch", 404),
        ("GET", f"{API}/containers/nonesuch/export", 404),
        ("POST", f"{API}/containers/nonesuch/wait?condition=nonsense", 400),
        ("POST", f"{API}/images/bootstrap", 400),
        ("GET", "/vx.y/info", 404),
        ("GET", "/v1.43.1/info", 404),
    ],
)
def test_a_wrong_request_has_its_status_and_a_message(daemon, method, path, status):
    found, said = daemon.request(method, path, b"{}" if method == "POST" else None)
    assert found == status, said
    assert isinstance(said, dict), said
    assert said["message"]


def test_wrong_calls_of_a_container(daemon):
    id_ = daemon.box("--name", "on")
    calls = {
        "on/kill?signal=NONSENSE": 400,
        "on/stop?t=x": 400,
        "on/resize?h=10&w=10": 400,
        "on/resize?h=x&w=10": 400,
        "on/rename?name=": 400,
        "on/rename?name=-": 400,
        "on/rename?name=on": 400,
        "on/attach?detachKeys=nonsense": 400,
        "on/unpause": 409,
    }
    for call, status in calls.items():
        found, said = daemon.request("POST", f"{API}/containers/{call}", b"")
        assert (found, bool(said["message"])) == (status, True), (call, said)
    for call, status in {"on/logs": 400, "on/logs?stdout=1&tail=x": 200, "on/logs?stdout=1&since=x": 400}.items():
        assert daemon.request("GET", f"{API}/containers/{call}")[0] == status, call
    assert daemon.request("DELETE", f"{API}/containers/on")[0] == 409
    assert daemon.request("POST", f"{API}/containers/on/start", b"")[0] == 304
    for body, text in (
        ({"Cmd": []}, "No exec command"),
        ({"Cmd": [""]}, "No exec command"),
        ({"Cmd": 1}, "$.Cmd"),
        ([], "object"),
    ):
        found, said = daemon.request("POST", f"{API}/containers/on/exec", body)
        assert (found, text in said["message"]) == (400, True), said
    assert daemon.inspect(id_)["State"]["Running"]


def raw(daemon, data, *, until=b""):
    """Bytes to the socket, and all that comes back."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(daemon.socket)
        connection.sendall(data)
        if not until:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(65536):
            found += piece
            if until and until in found:
                break
    return found


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\n" + b"A: " + b"x" * 200000 + b"\r\n\r\n",
        b"POST /v1.43/containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /_ping HTTP/1.1\r\nNo colon\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_bad_request(daemon, data):
    assert raw(daemon, data).startswith(b"HTTP/1.1 4")
    assert daemon.request("GET", "/_ping")[0] == 200


def test_a_client_that_says_nothing_or_half_a_request_holds_up_nobody(daemon):
    silent = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    try:
        for number, each in enumerate(silent):
            each.connect(daemon.socket)
            if number % 2:
                each.sendall(b"POST /v1.43/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert daemon.request("GET", "/_ping")[0] == 200
        assert daemon.out("run", "--rm", "busybox", "echo", "x") == "x"
    finally:
        for each in silent:
            each.close()


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("nonsense",), 1, "nonsense"),
        (("run",), 1, "requires at least 1 argument"),
        (("run", "--nonsense", "busybox"), 125, "--nonsense"),
        (("run", "--memory"), 125, "memory"),
        (("run", "--rich-mode", "nonsense", "busybox"), 125, "nonsense"),
        (("run", "--app-exit", "nonsense", "--rich", "busybox"), 125, "nonsense"),
        (("run", "--detach-keys", "nonsense", "busybox"), 125, "nonsense"),
        (("run", "--env-file", "/nonesuch", "busybox", "true"), 125, "/nonesuch"),
        (("run", "-d", "-a", "stdout", "busybox", "true"), 125, "--attach"),
        (("ps", "nonsense"), 1, "accepts no arguments"),
        (("inspect",), 1, "requires at least 1 argument"),
        (("rename", "a"), 1, "requires 2 arguments"),
        (("stop", "-t", "x", "a"), 125, "x"),
        (("-H", "nonsense", "ps"), 1, "nonsense"),
    ],
)
def test_a_wrong_command_line_is_one_clear_error(daemon, words, code, text):
    done = daemon.pouch(*words, check=False)
    assert (done.returncode, done.stdout, text in done.stderr) == (code, "", True), done
    assert "Traceback" not in done.stderr
    assert daemon.out("ps", "-aq") == ""


def test_a_socket_nobody_listens_on_and_none_at_all(daemon, tmp_path):
    path = f"/var/tmp/{os.path.basename(daemon.home)}-dead"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    try:
        for place in (path, f"{path}er"):
            for words, code in (
                (("ps",), 1),
                (("run", "busybox", "true"), 125),
                (("exec", "a", "true"), 1),
                (("info",), 1),
            ):
                done = daemon.pouch("-H", f"unix://{place}", *words, check=False)
                assert done.returncode == code, done
                assert f"Cannot connect to the pouch daemon at unix://{place}. Is pouchd running?" in done.stderr
                assert "hint: " in done.stderr
    finally:
        os.unlink(path)


def test_a_second_daemon_in_the_same_place_is_refused(daemon):
    import subprocess
    import sys

    from support import daemon as daemons

    argv = [sys.executable, "-m", "pouch.daemon", "--config", "/dev/null", "--root", daemon.root, "--run", daemon.run]
    done = subprocess.run(
        [*argv, "--bridge", daemon.bridge],
        env={**os.environ, "PYTHONPATH": daemons.SOURCE},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert daemon.run in done.stderr or daemon.root in done.stderr
    assert daemon.request("GET", "/_ping")[0] == 200


def test_only_those_who_may_reach_the_socket(daemon):
    found = os.stat(daemon.socket)
    assert oct(found.st_mode & 0o777) == "0o660"
    assert oct(os.stat(f"{daemon.root}/pouch.db").st_mode & 0o777) == "0o600"


def test_json_of_errors_has_one_message(daemon):
    status, said = daemon.request("POST", f"{API}/containers/create", {"Image": "nonesuch", "Cmd": ["true"]})
    assert (status, said) == (404, {"message": "No such image: nonesuch:latest"})
    assert json.dumps(said)
