"""Streams of real processes over the API: many bytes, clients that do not read, WebSockets, and sizes that come early."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import struct
import subprocess
import threading

import pytest

websockets = pytest.importorskip("websockets.asyncio.client", reason="websockets is not installed")

MIB = int(os.environ.get("POUCH_STREAM_MIB", "64"))
"""How much goes through one exec; a gigabyte takes some ten seconds."""
NUMBERS = "dd if=/dev/urandom of=/dev/shm/data bs=1M count={0} 2>/dev/null; sha256sum /dev/shm/data"


def hijacked(daemon, path, body=None):
    """A connection that has become a raw stream, and what came with the head."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.connect(daemon.socket)
    content = json.dumps(body or {}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
    )
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return connection


def created(daemon, box, *command, **options):
    """An exec in a container: its id."""
    body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **options}
    status, answer = daemon.request("POST", f"/containers/{box}/exec", body)
    assert status == 201, answer
    return answer["Id"]


def frames(connection):
    """The pieces of a multiplexed stream to its end."""
    stream = connection.makefile("rb", buffering=1 << 20)
    while head := stream.read(8):
        number, size = struct.unpack(">BxxxL", head)
        data = stream.read(size)
        assert len(data) == size
        yield number, data


def test_what_an_exec_says_comes_whole(daemon):
    """Stdout of many MiB with words on stderr between: every byte, once, in its stream."""
    box = daemon.box("--shm-size", f"{MIB + 16}m")
    expected = daemon.out("exec", box, "sh", "-c", NUMBERS.format(MIB)).split()[0]
    id_ = created(daemon, box, "sh", "-c", "echo before >&2; cat /dev/shm/data; echo after >&2")
    digests, sizes = {1: hashlib.sha256(), 2: hashlib.sha256()}, {1: 0, 2: 0}
    with hijacked(daemon, f"/exec/{id_}/start") as connection:
        for number, data in frames(connection):
            digests[number].update(data)
            sizes[number] += len(data)
    assert sizes == {1: MIB << 20, 2: 13}
    assert digests[1].hexdigest() == expected
    assert digests[2].digest() == hashlib.sha256(b"before\nafter\n").digest()
    assert daemon.request("GET", f"/exec/{id_}/json")[1]["ExitCode"] == 0


def test_what_an_exec_is_told_arrives_whole(daemon):
    data = os.urandom(16 << 20)
    box = daemon.box()
    done = daemon.pouch("exec", "-i", box, "sha256sum", input=data, binary=True)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def memory(daemon):
    """MiB that the daemon has in memory."""
    with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def test_an_exec_whose_client_does_not_read_waits_for_it(daemon):
    """Neither the daemon's memory nor what others ask suffers, and nothing is lost."""
    box = daemon.box()
    before = memory(daemon)
    id_ = created(daemon, box, "sh", "-c", "dd if=/dev/zero bs=1M count=64 2>/dev/null; echo all > /dev/shm/done")
    with hijacked(daemon, f"/exec/{id_}/start") as connection:
        assert frames(connection).__next__()[0] == 1
        assert daemon.out("exec", box, "sh", "-c", "ls /dev/shm") == ""  # it stands still
        assert memory(daemon) - before < 32
        assert daemon.request("GET", f"/exec/{id_}/json")[1]["Running"]
    daemon.until(lambda: not daemon.request("GET", f"/exec/{id_}/json")[1]["Running"])  # its client left: it ends


def test_the_size_of_a_terminal_may_be_said_before_its_process_runs(daemon):
    box = daemon.box()
    id_ = created(daemon, box, "sh", "-c", "read x; stty size", Tty=True, AttachStdin=True)
    answers = []
    early = threading.Thread(target=lambda: answers.append(daemon.request("POST", f"/exec/{id_}/resize?h=33&w=77")))
    early.start()
    with hijacked(daemon, f"/exec/{id_}/start", {"Tty": True}) as connection:
        early.join(20)
        assert answers == [(200, b"")]
        connection.sendall(b"go\n")
        said = b""
        while piece := connection.recv(4096):
            said += piece
    assert said == b"go\r\n33 77\r\n"


def test_an_exec_runs_once(daemon):
    box = daemon.box()
    id_ = created(daemon, box, "true")
    with hijacked(daemon, f"/exec/{id_}/start") as connection:
        assert list(frames(connection)) == []
    daemon.until(lambda: not daemon.request("GET", f"/exec/{id_}/json")[1]["Running"])
    with hijacked(daemon, f"/exec/{id_}/start") as connection:
        assert list(frames(connection)) == [(1, f"exec command {id_} has already run\r\n".encode())]
    status, answer = daemon.request("POST", f"/exec/{id_}/start", {"Detach": True})
    assert (status, answer["message"]) == (409, f"exec command {id_} has already run")


PREFIX = "OCI runtime exec failed: exec failed: "


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (
            {"Cmd": ["nosuch"]},
            127,
            'unable to start container process: exec: "nosuch": executable file not found in $PATH',
        ),
        ({"Cmd": ["/etc"]}, 126, 'unable to start container process: exec: "/etc": permission denied'),
        (
            {"WorkingDir": "/no/such"},
            127,
            'unable to start container process: chdir to cwd ("/no/such") set in config.json failed: no such file or directory',
        ),
        ({"WorkingDir": "relative"}, 128, "Cwd must be an absolute path"),
    ],
)
def test_why_an_exec_could_not_begin_is_its_output(daemon, options, code, words):
    """Sentences and codes are those of dockerd 28.5, asked."""
    box = daemon.box()
    id_ = created(daemon, box, "true", **options)
    with hijacked(daemon, f"/exec/{id_}/start") as connection:
        assert list(frames(connection)) == [(1, f"{PREFIX}{words}\r\n".encode())]
    assert daemon.request("GET", f"/exec/{id_}/json")[1]["ExitCode"] == code
    again = created(daemon, box, "true", **options)
    assert daemon.request("POST", f"/exec/{again}/start", {"Detach": True})[1]["message"] == PREFIX + words


def test_a_user_that_is_not_there_is_told_when_the_exec_is_made(daemon):
    box = daemon.box()
    for user, words in (
        ("nosuch", "unable to find user nosuch: no matching entries in passwd file"),
        ("root:nosuch", "unable to find group nosuch: no matching entries in group file"),
    ):
        status, answer = daemon.request("POST", f"/containers/{box}/exec", {"Cmd": ["true"], "User": user})
        assert (status, answer["message"].splitlines()[0]) == (400, words)


def test_a_container_names_the_execs_that_are_to_come_or_run(daemon):
    box = daemon.box()
    assert daemon.inspect(box)["ExecIDs"] is None
    id_ = created(daemon, box, "true")
    assert daemon.inspect(box)["ExecIDs"] == [id_]
    with hijacked(daemon, f"/exec/{id_}/start") as connection:
        assert list(frames(connection)) == []
    daemon.until(lambda: daemon.inspect(box)["ExecIDs"] is None)


@pytest.mark.parametrize("tty", [False, True])
def test_a_container_by_a_web_socket(daemon, tty):
    box = daemon.out(
        "create", "-i", *(["-t"] if tty else []), "busybox", "sh", "-c", "read x; echo got $x; echo err >&2; exit 3"
    )

    async def session():
        uri = f"ws://pouch/containers/{box}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1"
        async with websockets.unix_connect(daemon.socket, uri) as web:
            assert await asyncio.to_thread(daemon.request, "POST", f"/containers/{box}/start") == (204, b"")
            await web.send("one\n")
            said = b"".join([message async for message in web])
            assert web.close_code == 1000
            return said

    said = asyncio.run(session())
    if tty:
        assert said == b"one\r\ngot one\r\nerr\r\n"
    else:
        assert sorted(said.splitlines()) == [b"err", b"got one"]
    assert daemon.out("wait", box) == "3"


def test_attaching_only_for_what_was_said_before(daemon):
    """`logs=1&stream=0`: the log, and the end, though the container runs on."""
    box = daemon.box(command=("sh", "-c", "echo out; echo err >&2; sleep 1000"))
    daemon.until(lambda: "err" in daemon.pouch("logs", box).stderr)
    with hijacked(daemon, f"/containers/{box}/attach?logs=1&stream=0&stdout=1&stderr=1") as connection:
        assert sorted(frames(connection)) == [(1, b"out\n"), (2, b"err\n")]


def test_details_of_logs(daemon):
    flags = ("--log-opt", "labels=role", "--label", "role=web")
    box = daemon.out("run", "-d", *flags, "busybox", "sh", "-c", "echo one; echo two")
    daemon.out("wait", box)
    assert daemon.request("GET", f"/containers/{box}/logs?stdout=1&details=1")[1] == b"".join(
        struct.pack(">BxxxL", 1, 13) + line for line in (b"role=web one\n", b"role=web two\n")
    )
    if subprocess.run(["docker", "--version"], capture_output=True, check=False).returncode == 0:
        done = subprocess.run(["docker", "-H", daemon.host, "logs", "--details", box], capture_output=True, check=True)
        assert done.stdout == b"role=web one\nrole=web two\n"
