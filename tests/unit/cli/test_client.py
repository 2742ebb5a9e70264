"""HTTP to the daemon."""

from __future__ import annotations

import socket

import pytest
from support.fake_daemon import Chunked, Reply, refuse

from pouch.cli import client as clients
from pouch.cli.errors import ApiError, CliError, EngineError, Unreachable


@pytest.fixture
def client(daemon):
    return clients.Client(daemon.host)


def test_the_version_stands_before_every_path(client, daemon):
    daemon.on("GET", "/x", Reply(document=[1]))
    assert client.get("/x", {"all": True, "none": None, "name": "a b&ü", "many": ["1", "2"]}) == [1]
    seen = daemon.only("GET", "/x")
    assert seen.version == clients.VERSION.removeprefix("v")
    assert seen.query == {"all": "1", "name": "a b&ü", "many": "2"}


def test_a_body_is_json_in_utf_8(client, daemon):
    daemon.on("POST", "/x", Reply(204))
    assert client.post("/x", None, {"ü": [1, None]}) is None
    assert daemon.only("POST", "/x").body == '{"ü":[1,null]}'.encode()


def test_an_argument_that_is_no_utf_8_is_refused_before_it_is_sent(client, daemon):
    with pytest.raises(CliError, match="not valid UTF-8"):
        client.post("/x", None, {"Cmd": ["\udcff"]})
    assert not daemon.seen


def test_a_refusal_carries_status_message_and_exit_code(client, daemon):
    daemon.on("GET", "/x", refuse(400, "exec: not found", exitCode=127))
    with pytest.raises(ApiError) as raised:
        client.get("/x")
    assert raised.value.message == "Error response from daemon: exec: not found"
    assert (raised.value.status, raised.value.exit_code) == (400, 127)


def test_a_refusal_without_json_is_shown_as_it_is(client, daemon):
    daemon.on("GET", "/x", Reply(502, body=b"bad gateway\n", content_type="text/plain"))
    with pytest.raises(ApiError, match=r"daemon: bad gateway$"):
        client.get("/x")


def test_a_stream_of_messages_may_be_cut_anywhere(client, daemon):
    daemon.on("GET", "/x", Chunked([b'{"a"', b':1}\n{"a":2', b'}\n\n{"a":3}']))
    assert [message["a"] for message in client.request("GET", "/x").messages()] == [1, 2, 3]


def test_an_upload_goes_out_in_chunks(client, daemon):
    daemon.on("POST", "/x", Reply(document={}))
    client.request("POST", "/x", upload=[b"abc", b"", b"def"]).json()
    assert daemon.only("POST", "/x").body == b"abcdef"


def test_a_refusal_during_an_upload_is_heard():
    """The daemon answers and closes while we still send: its answer tells why, not the broken pipe."""
    from support import cli

    def refuses(connection):
        connection.recv(10)
        body = b'{"message":"disk full"}'
        connection.sendall(b"HTTP/1.1 507 -\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        connection.shutdown(socket.SHUT_RDWR)

    with cli.one_connection(refuses) as host, pytest.raises(ApiError, match="disk full"):
        clients.Client(host).request("POST", "/x", upload=iter([b"x" * 65536] * 1000))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-", "before its answer was complete"),
        (b"SSH-2.0-x\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "the connection to the daemon broke"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "the connection to the daemon broke"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "is no JSON"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * (3 << 20), "endless head"),
    ],
)
def test_an_answer_that_is_none_is_one_clear_error(answer, message):
    from support import cli

    def answers(connection):
        connection.recv(65536)
        connection.sendall(answer)

    with cli.one_connection(answers) as host, pytest.raises(EngineError, match=message):
        clients.Client(host).get("/x")


def test_a_daemon_that_does_not_answer_in_time_is_an_error():
    from support import cli

    def stays_silent(connection):
        connection.recv(65536)
        connection.recv(1)

    with cli.one_connection(stays_silent) as host, pytest.raises(EngineError, match="timed out"):
        clients.Client(host).within(0.05).get("/x")


def test_nobody_listening_says_what_to_do(tmp_path):
    with pytest.raises(Unreachable, match=r"(?s)Is pouchd running.*hint"):
        clients.Client(f"unix://{tmp_path}/s").get("/x")


@pytest.mark.parametrize("host", ["foo", "unix://", "tcp://", "ssh://", "ftp://x"])
def test_an_address_that_is_none_says_what_is_expected(host):
    with pytest.raises(CliError, match="expected unix://PATH, tcp://HOST:PORT or ssh://"):
        clients.Client(host).get("/x")


def test_a_socket_path_that_is_too_long_is_named():
    with pytest.raises(CliError, match="107 bytes"):
        clients.Client("unix:///" + "x" * 200).get("/x")


def test_a_tcp_port_that_is_none_is_unreachable():
    with pytest.raises(Unreachable):
        clients.Client("tcp://127.0.0.1:x").get("/x")


def test_names_are_one_part_of_the_path(client, daemon):
    assert clients.segment("a b?#%") == "a%20b%3F%23%25"
    assert clients.segment("docker.io/library/x:1@sha256:a") == "docker.io/library/x:1@sha256:a"
    daemon.on("GET", "/images/.*/json", Reply(document={}))
    client.get(f"/images/{clients.segment('ünï?/x')}/json")
    assert daemon.seen[0].path == "/images/ünï?/x/json"
