"""Copies from and to a container that has a file system whose server never answers: they hang, and nobody else does."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from support import leaks, silent_fuse

COPIES = (("cp", "box:/hang/file", "-"), ("cp", "box:/hang", "-"), ("cp", "FILE", "box:/hang/other"))


@pytest.fixture
def hanging(make_daemon, busybox_tar, tmp_path):
    """A daemon, whose container `box` has it, and clients that hang there: one for each way to copy."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")
    own = make_daemon()
    own.pouch("load", "-q", "-i", busybox_tar)
    own.box("--name", "box")
    (tmp_path / "file").write_text("x")
    clients = []
    with silent_fuse.mounted(own.inspect("box")["State"]["Pid"], "/hang") as silent:
        try:
            for words in COPIES:
                argv = own.command(*(str(tmp_path / "file") if word == "FILE" else word for word in words))
                clients.append(
                    subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                )
                silent.wait()
            yield own, clients
        finally:
            for client in clients:
                client.kill()
                client.communicate()


def test_clients_can_leave_and_others_still_copy(hanging):
    own, clients = hanging
    threads = f"/proc/{own.process.pid}/task"
    for client in clients:
        client.send_signal(signal.SIGINT)
    assert [client.wait(30) for client in clients] == [130] * len(clients)
    assert own.pouch("cp", "box:/etc/passwd", "-", binary=True).stdout
    assert os.listdir(threads)
    own.pouch("rm", "-f", "box")


def test_the_daemon_can_stop(hanging):
    own, _ = hanging
    begun = time.monotonic()
    assert own.stop() == 0
    assert time.monotonic() - begun < 25
    own.start()
    assert own.out("exec", "box", "echo", "still here") == "still here"


def test_nothing_is_left_when_the_container_is_gone(hanging):
    own, clients = hanging
    own.pouch("rm", "-f", "box")
    for client in clients:
        client.wait(30)
    leaks.assert_none(own)
    assert leaks.complaints(own.log()) == []
