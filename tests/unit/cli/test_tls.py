"""The program over TCP, TLS and ssh, against the daemon's real edge: the same streams and ends as over a unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys

import pytest
from support import certificates, cli, edge_client, fake_engine, tcp_edge

from pouch.cli import ssh
from pouch.cli.errors import CliError
from pouch.engine import views
from pouch.spec import container


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority):
    return authority.server()


@pytest.fixture(scope="module")
def client(authority):
    return authority.client("person")


OPEN_STDIN = container.ContainerConfig(image="debian", open_stdin=True, stdin_once=True)


async def through(engine, argv, environment=None, size=1 << 20):
    """`run -i`: what is typed arrives whole, its end too, and what is said after that comes whole to stdout and stderr."""
    engine.containers.views = [fake_engine.container_view(config=OPEN_STDIN)]
    data = os.urandom(size)
    async with cli.piped([*argv, "run", "-i", "debian", "cat"], environment) as process:
        process.stdin.write(data)
        process.stdin.close()
        await engine.reached("containers.start")
        stdio = engine.containers.stdio
        await stdio.typed_is(data)
        await stdio.eof.wait()
        for place in range(0, size, 65536):
            stdio.say(data[place : place + 65536], 1)
        stdio.say(b"err", 2)
        stdio.end()
        engine.containers.ended.set_result(views.WaitResult(7))
        assert await process.communicate() == (data, b"err")
        assert process.returncode == 7


@pytest.mark.parametrize("by", ["options", "environment"])
async def test_streams_over_tls_end_in_one_direction_and_go_on_in_the_other(authority, files, client, by, tmp_path):
    async with tcp_edge.serving(tcp_edge.mutual(authority, files)) as (engine, _, port):
        host = f"tcp://localhost:{port}"
        if by == "options":
            await through(engine, ["-H", host, *tcp_edge.tls_words(authority, client)])
            return
        for name, path in (("ca", authority.certificate), ("cert", client.certificate), ("key", client.key)):
            (tmp_path / f"{name}.pem").symlink_to(path)
        environment = {"POUCH_HOST": host, "POUCH_TLS_VERIFY": "1", "POUCH_CERT_PATH": str(tmp_path)}
        await through(engine, [], environment)


async def test_streams_over_plain_tcp():
    async with tcp_edge.serving() as (engine, _, port):
        await through(engine, ["-H", f"tcp://127.0.0.1:{port}"])


async def test_what_was_typed_last_arrives_though_the_program_ends(authority, files, client):
    """The detach keys end the program; what stood before them is the process's."""
    async with tcp_edge.serving(tcp_edge.mutual(authority, files)) as (engine, _, port):
        tty = container.ContainerConfig(image="debian", open_stdin=True, tty=True)
        engine.containers.views = [fake_engine.container_view(config=tty)]
        words = ["-H", f"tcp://localhost:{port}", *tcp_edge.tls_words(authority, client)]

        def person():
            with cli.on_terminal_of([sys.executable, "-IS", "-c", cli.LAUNCHER, *words, "attach", "web"]) as terminal:
                terminal.until(b"prompt> ")
                terminal.type(b"last words\x10\x11")
                terminal.until(b"read escape sequence")
                return terminal.wait()

        sitting = asyncio.create_task(asyncio.to_thread(person))
        await engine.reached("containers.attach")
        engine.containers.stdio.say(b"prompt> ")
        await engine.containers.stdio.typed_is(b"last words")
        assert await sitting == 0


@pytest.mark.parametrize(
    "who", ["nobody", "a stranger", "a stranger's daemon", "a daemon of another name", "not listed"]
)
async def test_why_tls_failed_is_told(authority, files, client, who, tmp_path):
    stranger = certificates.Authority(tmp_path)
    pair, names, words = files, (), []
    if who == "nobody":
        words = ["--tlsverify", "--tlscacert", authority.certificate]
    elif who == "a stranger":
        words = tcp_edge.tls_words(authority, stranger.client())
    else:
        words = tcp_edge.tls_words(authority, client)
    if who == "a stranger's daemon":
        pair = stranger.server()
    elif who == "a daemon of another name":
        pair = authority.server("elsewhere", "DNS:elsewhere.example")
    elif who == "not listed":
        names = ("somebody",)
    async with tcp_edge.serving(tcp_edge.mutual(authority, pair, *names)) as (engine, _, port):
        code, _, err = await tcp_edge.output("-H", f"tcp://127.0.0.1:{port}", *words, "ps")
        expected = {
            "nobody": "certificate required",
            "a stranger": "unknown ca",
            "a stranger's daemon": "the daemon's certificate is not trusted",
            "a daemon of another name": "'127.0.0.1'",
            "not listed": "(person) is valid, but not allowed here",
        }[who]
        assert (code, expected in err) == (1, True), err
        assert engine.calls == []


async def test_with_tls_alone_the_daemon_may_be_anybody(files, authority, tmp_path):
    stranger = certificates.Authority(tmp_path).server()
    async with tcp_edge.serving(tcp_edge.mutual(authority, stranger)) as (_, _, port):
        words = [word for word in tcp_edge.tls_words(authority, authority.client()) if word != "--tlsverify"]
        code, _, err = await tcp_edge.output("-H", f"tcp://127.0.0.1:{port}", "--tls", *words, "ps")
        assert (code, err) == (0, "")


@pytest.mark.parametrize("side", ["client", "daemon"])
async def test_tls_on_one_side_only_is_told(authority, files, client, side):
    terms = tcp_edge.mutual(authority, files) if side == "daemon" else None
    async with tcp_edge.serving(terms) as (_, _, port):
        words = tcp_edge.tls_words(authority, client) if side == "client" else []
        code, _, err = await tcp_edge.output("-H", f"tcp://127.0.0.1:{port}", *words, "ps")
        assert code == 1
        assert ("does it speak TLS" if side == "client" else "error during connect") in err


def test_missing_files_are_named(pouch, authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        found = pouch(
            "-H", f"tcp://127.0.0.1:{listener.getsockname()[1]}", "--tlsverify", "--tlscacert", "/no/ca.pem", "ps"
        )
    assert (found.code, found.err) == (1, "pouch: could not read /no/ca.pem: no such file or directory\n")


# -- ssh --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_ssh(tmp_path, monkeypatch):
    """A program `ssh` that runs the remote command here, with a shell as sshd does; what it was called with is in the file `calls`."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / "ssh").write_text(
        f'#!/bin/sh\nfor word in "$@"; do echo "$word"; done >> {tmp_path}/calls\nfor last in "$@"; do :; done\nexec sh -c "$last"\n'
    )
    (place / "pouch").write_text(f"#!{sys.executable} -IS\n{cli.LAUNCHER.replace('; ', chr(10))}\n")
    for name in ("ssh", "pouch"):
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return tmp_path / "calls"


async def test_streams_over_ssh_end_in_one_direction_and_go_on_in_the_other(fake_ssh):
    async with edge_client.running() as daemon:
        await through(daemon.engine, ["-H", f"ssh://me@far.example:2222{daemon.path}"])
    words = fake_ssh.read_text().splitlines()
    assert words[words.index("-l") :][:6] == ["-l", "me", "-p", "2222", "--", "far.example"]
    assert words[-1] == f"pouch --host unix://{daemon.path} system dial-stdio"


def test_an_ssh_that_fails_is_told(pouch, tmp_path, monkeypatch):
    (tmp_path / "ssh").write_text("#!/bin/sh\necho 'ssh: no route' >&2\nexit 255\n")
    (tmp_path / "ssh").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = pouch("-H", "ssh://far.example", "ps")
    assert found.code == 1
    assert "ssh: no route" in found.err
    assert "ssh ended with exit code 255" in found.err


@pytest.mark.parametrize(
    "address",
    [
        "-oProxyCommand=x",
        "me@-x",
        "-l@host",
        "me:secret@host",
        "a b",
        "host;reboot",
        "$(x)",
        "host:ssh",
        "",
        "@",
        "host/\0",
        "host/\n",
    ],
)
def test_no_part_of_an_ssh_address_becomes_an_option_or_a_shells_word(address):
    with pytest.raises(CliError, match=r"expected ssh://\[USER@\]HOST") as caught:
        ssh.command(address)
    assert "secret" not in str(caught.value)


def test_the_path_of_a_socket_is_quoted_for_the_remote_shell():
    assert ssh.command("host/run/a b;x")[-1] == "pouch --host 'unix:///run/a b;x' system dial-stdio"


def test_an_ipv6_address_stands_in_brackets():
    assert ssh.command("[2001:db8::1]:22")[-5:] == ["-p", "22", "--", "2001:db8::1", "pouch system dial-stdio"]
