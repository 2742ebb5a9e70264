"""pouchd over TCP with mutual TLS: its own program, docker's, docker-py and curl; and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
from support import certificates
from support import daemon as daemons

SIZE = 16 << 20
"""Bytes that go through a connection both ways."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def person(authority, tmp_path_factory):
    """A folder as DOCKER_CERT_PATH names it, of the client `person`."""
    pair, place = authority.client("person"), tmp_path_factory.mktemp("person")
    for name, path in (("ca", authority.certificate), ("cert", pair.certificate), ("key", pair.key)):
        shutil.copyfile(path, place / f"{name}.pem")
    return place


class Remote:
    """A daemon that listens on a port, too."""

    def __init__(self, one, folder):
        self.daemon = one
        (port,) = re.findall(r"listening on tcp://127\.0\.0\.1:(\d+)", one.log())
        self.host = f"tcp://127.0.0.1:{port}"
        self.port = int(port)
        self.folder = folder

    def environment(self, prefix):
        """What docker (`DOCKER`) or pouch (`POUCH`) takes for options."""
        names = {f"{prefix}_HOST": self.host, f"{prefix}_TLS_VERIFY": "1", f"{prefix}_CERT_PATH": str(self.folder)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "POUCH_"))}
        return {**kept, **names, "DOCKER_CONFIG": f"{self.daemon.home}/docker"}

    def run(self, program, *words, input=b"", check=True):
        """A command of docker's or pouch's to its end."""
        prefix = "POUCH" if program == "pouch" else "DOCKER"
        argv = [*self.daemon.command()[:-2], *words] if program == "pouch" else [program, *words]
        done = subprocess.run(
            argv, input=input, capture_output=True, env=self.environment(prefix), timeout=60, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def remote(can_run, busybox_tar, authority, person, tmp_path_factory):
    """A daemon on a free port of loopback, for `person`."""
    pair = authority.server()
    options = ["--listen", "tcp://127.0.0.1:0", "--tlsverify", "--tlscacert", authority.certificate]
    options += ["--tlscert", pair.certificate, "--tlskey", pair.key, "--tls-allow-name", "person"]
    with daemons.running(*options) as one:
        one.pouch("load", "-i", busybox_tar)
        yield Remote(one, person)


DOCKERS = [path for path in ("/usr/local/bin/docker", "/usr/bin/docker") if os.access(path, os.X_OK)]
PROGRAMS = ["pouch", *DOCKERS]


@pytest.mark.parametrize("program", PROGRAMS)
def test_streams_go_both_ways_whole_and_end_one_after_the_other(remote, program):
    """`cat` ends because its input does; all it says still comes."""
    data = os.urandom(SIZE)
    done = remote.run(
        program, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end >&2; exit 7", input=data, check=False
    )
    assert (done.returncode, done.stderr, done.stdout == data) == (7, b"end\n", True)
    remote.run(program, "run", "-d", "--name", "box", "busybox", "sleep", "1000")
    try:
        done = remote.run(program, "exec", "-i", "box", "sh", "-c", "sha256sum; exit 3", input=data, check=False)
        assert done.returncode == 3
        assert done.stdout == subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout
        assert remote.run(program, "logs", "box").stdout == b""
    finally:
        remote.run(program, "rm", "-f", "box")


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_goes_out_and_in(remote, program, tmp_path):
    remote.run(program, "save", "-o", str(tmp_path / "image.tar"), "busybox")
    assert b"Loaded image: busybox:latest" in remote.run(program, "load", "-i", str(tmp_path / "image.tar")).stdout


def test_docker_py(remote, person, monkeypatch):
    for name in (
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):  # of a host behind a proxy; requests prefers them to what it is given
        monkeypatch.delenv(name, raising=False)
    docker = pytest.importorskip("docker", reason="docker-py is not installed")
    tls = docker.tls.TLSConfig(
        client_cert=(str(person / "cert.pem"), str(person / "key.pem")), ca_cert=str(person / "ca.pem"), verify=True
    )
    client = docker.DockerClient(base_url=remote.host, tls=tls, version="auto", timeout=60)
    try:
        assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
        box = client.containers.run("busybox", ["sleep", "1000"], detach=True)
        try:
            assert box.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True).output == (b"out\n", b"err\n")
        finally:
            box.remove(force=True)
    finally:
        client.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(remote, person):
    address = f"https://127.0.0.1:{remote.port}/_ping"
    files = ["--cacert", str(person / "ca.pem"), "--cert", str(person / "cert.pem"), "--key", str(person / "key.pem")]
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *files, address], capture_output=True, check=True)
    assert done.stdout == b"OK"
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *files[:2], address], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"certificate required" in done.stderr


def test_another_client_of_the_authority_is_told_that_it_is_not_listed(remote, authority):
    pair = authority.client("stranger")
    words = ["-H", remote.host, "--tlsverify", "--tlscacert", authority.certificate]
    words += ["--tlscert", pair.certificate, "--tlskey", pair.key]
    done = subprocess.run([*remote.daemon.command()[:-2], *words, "ps"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "(stranger) is valid, but not allowed here (tls-allow-name)" in done.stderr


def test_an_interrupted_follower_leaves_nothing(remote):
    """Ctrl-C of `logs -f` over TLS: the daemon lets go of the connection at once."""
    remote.run("pouch", "run", "-d", "--name", "talker", "busybox", "sh", "-c", "echo ready; sleep 1000")
    try:
        argv = [*remote.daemon.command()[:-2], "logs", "-f", "talker"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=remote.environment("POUCH")) as process:
            assert process.stdout.readline() == b"ready\n"
            assert connections(remote) == 1
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        remote.daemon.until(lambda: connections(remote) == 0)
    finally:
        remote.run("pouch", "rm", "-f", "talker")


def connections(remote):
    """Established connections that the daemon has at its port."""
    state = f"( sport = :{remote.port} )"
    done = subprocess.run(["ss", "-Htn", "state", "established", state], capture_output=True, text=True, check=True)
    return len(done.stdout.splitlines())


def test_hangup_takes_new_certificates_and_keeps_the_old_ones_where_they_are_wrong(make_daemon, authority, tmp_path):
    pair = authority.server("first")
    paths = {name: tmp_path / name for name in ("cert", "key")}
    shutil.copyfile(pair.certificate, paths["cert"])
    shutil.copyfile(pair.key, paths["key"])
    options = ["--listen", "tcp://127.0.0.1:0", "--tlsverify", "--tlscacert", authority.certificate]
    one = make_daemon(*options, "--tlscert", str(paths["cert"]), "--tlskey", str(paths["key"]))
    remote = Remote(one, tmp_path)

    def hang_up(words):
        read = len(one.log())
        one.process.send_signal(signal.SIGHUP)
        one.until(lambda: words in one.log()[read:])

    assert shown(remote) == "first"
    second = authority.server("second")
    shutil.copyfile(second.certificate, paths["cert"])
    hang_up("SIGHUP: the certificates in use stay")
    assert shown(remote) == "first"
    shutil.copyfile(second.key, paths["key"])
    hang_up("SIGHUP: certificates are read anew")
    assert shown(remote) == "second"


def shown(remote):
    """The common name of the daemon's certificate."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{remote.port}", "-showcerts"]
    done = subprocess.run(argv, input=b"", capture_output=True, timeout=30, check=False)
    return re.search(rb"subject=CN ?= ?(\w+)", done.stdout)[1].decode()


def test_tcp_that_lets_everybody_in_is_refused(can_run, tmp_path):
    one = daemons.Daemon("--listen", "tcp://127.0.0.1:0")
    try:
        with pytest.raises(AssertionError, match=r"whoever reaches it would be root of this host\n.*--insecure-tcp"):
            one.start()
    finally:
        shutil.rmtree(one.home)


def test_what_was_meant_to_be_open_is_warned_of(make_daemon):
    one = make_daemon("--listen", "tcp://127.0.0.1:0", "--insecure-tcp")
    remote = Remote(one, "")
    words = "the API is served at tcp://127.0.0.1:0 without TLS: whoever reaches it is root of this host"
    assert f"WARNING pouchd: {words}" in one.log()
    assert f"WARNING: {words}" in one.request("GET", "/info")[1]["Warnings"]
    done = subprocess.run(
        [*one.command()[:-2], "-H", remote.host, "ps", "-q"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_port_that_is_taken_is_named(can_run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = daemons.Daemon("--listen", f"tcp://127.0.0.1:{port}", "--insecure-tcp")
        try:
            with pytest.raises(AssertionError, match=f"cannot listen on tcp://127.0.0.1:{port}: "):
                one.start()
        finally:
            one.close()
