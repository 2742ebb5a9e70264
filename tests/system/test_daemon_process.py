"""pouchd as a process: pid file, socket, one per root, two side by side, start and stop, its words to the outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys

import pytest
from support import daemon as daemons
from support import images


def run(*options, **more):
    """`pouchd OPTIONS` to its end."""
    environment = {**os.environ, "PYTHONPATH": daemons.SOURCE}
    argv = [sys.executable, "-m", "pouch.daemon", *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment, check=False, **more)


@pytest.fixture
def one(make_daemon):
    """A daemon of the test's own."""
    return make_daemon()


# -- files ------------------------------------------------------------------------------------------------------------


def test_its_pid_is_in_the_file_while_it_runs(one):
    with open(f"{one.run}/pouchd.pid", encoding="ascii") as file:
        assert file.read() == f"{one.process.pid}\n"
    assert one.stop() == 0
    assert not os.path.exists(f"{one.run}/pouchd.pid")
    assert not os.path.exists(one.socket)


def test_only_root_and_the_group_may_use_the_socket(one):
    found = os.stat(one.socket)
    assert stat.S_ISSOCK(found.st_mode)
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o660, 0)


def test_the_configured_group_owns_the_socket(make_daemon):
    assert os.stat(make_daemon("--group", "daemon").socket).st_gid == 1


def test_strangers_come_near_nothing(one):
    for path in (one.root, one.run, f"{one.root}/pouch.db", f"{one.root}/layers", f"{one.run}/exits"):
        assert not stat.S_IMODE(os.stat(path).st_mode) & 0o066, path


def test_a_socket_that_a_killed_daemon_left_is_no_hindrance(one):
    one.kill()
    assert os.path.exists(one.socket)
    one.start()
    assert one.out("ps", "-q") == ""


# -- how many ---------------------------------------------------------------------------------------------------------


def test_the_same_root_is_refused_to_a_second_daemon(one):
    for more in (("--run", f"{one.home}/other"), ("--run", one.run)):
        done = run("--config", "/dev/null", "--root", one.root, *more, "--bridge", one.bridge)
        assert done.returncode == 1
        assert f"another pouchd uses {one.root}" in done.stderr
        assert "hint: stop it first, or give this one another --root and --run" in done.stderr
        assert "Traceback" not in done.stderr
    assert one.out("ps", "-q") == ""
    assert os.path.exists(f"{one.run}/pouchd.pid")


def test_a_socket_where_another_listens_is_refused(one):
    options = ("--root", f"{one.home}/r", "--run", f"{one.home}/s", "--listen", f"unix://{one.socket}")
    done = run("--config", "/dev/null", *options, "--bridge", f"{one.bridge}x"[:15])
    subprocess.run(["ip", "link", "delete", f"{one.bridge}x"[:15]], capture_output=True, check=False)
    assert done.returncode == 1
    assert "another daemon listens there" in done.stderr
    assert one.out("ps", "-q") == ""


def test_two_daemons_side_by_side_know_nothing_of_each_other(make_daemon, busybox_tar):
    both = [make_daemon(), make_daemon()]
    addresses = set()
    for one in both:
        one.pouch("load", "-q", "-i", busybox_tar)
        one.out("run", "-d", "--name", "box", "busybox", "sh", "-c", f"echo {one.bridge}; exec sleep 1000")
    for one in both:
        assert one.out("ps", "--format", "{{.Names}}") == "box"
        assert one.out("logs", "box") == one.bridge
        addresses.add(one.inspect("box")["NetworkSettings"]["IPAddress"].rpartition(".")[0])
    assert len(addresses) == 2
    both[0].pouch("rm", "-f", "box")
    both[0].stop()
    assert both[1].out("exec", "box", "echo", "alive") == "alive"


# -- start and stop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly(one, number):
    one.process.send_signal(number)
    assert one.process.wait(timeout=20) == 0


def test_it_starts_and_stops_within_a_second_or_two(one):
    import time

    assert one.stop() == 0
    began = time.monotonic()
    one.start()
    started = time.monotonic()
    assert one.stop() == 0
    assert started - began < 3
    assert time.monotonic() - started < 3


def test_a_client_that_waits_is_let_go_at_a_stop(one, busybox_tar):
    with subprocess.Popen(one.command("events"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        try:
            one.pouch("load", "-q", "-i", busybox_tar)
            assert b"image load" in client.stdout.readline()
            assert one.stop() == 0
            client.communicate(timeout=20)
        finally:
            client.kill()


def test_it_tells_its_manager(one):
    assert one.process.poll() is None
    path = f"{one.home}/told"
    one.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(20)
        environment = {**os.environ, "NOTIFY_SOCKET": path, "PYTHONPATH": daemons.SOURCE}
        argv = [sys.executable, "-m", "pouch.daemon", "--config", "/dev/null", "--root", one.root, "--run", one.run]
        argv += ["--bridge", one.bridge, "--cgroup-parent", one.cgroup_parent]
        with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as process:
            assert b"READY=1" in listener.recv(4096)
            process.terminate()
            assert b"STOPPING=1" in listener.recv(4096)
            assert process.wait(20) == 0


def test_its_log_can_be_json(make_daemon):
    one = make_daemon("--log-format", "json")
    one.until(lambda: "is ready after" in one.log(), seconds=5)
    lines = [json.loads(line) for line in one.log().splitlines()]
    assert next(line for line in lines if "is ready after" in line["message"])["level"] == "info"


def test_its_descriptors_do_not_grow(one, busybox_tar):
    one.pouch("load", "-q", "-i", busybox_tar)

    def descriptors():
        return len(os.listdir(f"/proc/{one.process.pid}/fd"))

    def use():
        assert one.pouch("run", "--rm", "busybox", "sh", "-c", "exit 3", check=False).returncode == 3
        one.out("run", "-d", "--name", "box", "--rich", "busybox", "sleep", "1000")
        one.out("exec", "box", "true")
        one.out("logs", "box")
        one.pouch("rm", "-f", "box")
        assert one.pouch("run", "--rm", "busybox", "nonesuch", check=False).returncode == 127

    use()
    before = descriptors()
    for _ in range(5):
        use()
    one.until(lambda: descriptors() <= before, seconds=5, what=f"{before} descriptors")


# -- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("colour = 1\n", "colour"),
        ("stop-timeout = -1\n", "stop-timeout"),
        ("root = 'relative'\n", "an absolute path"),
        ("root = \n", "pouchd.toml"),
        ("[runtimes]\nx = 3\n", "runtimes"),
    ],
)
def test_a_wrong_configuration_is_refused_by_key(tmp_path, text, complaint):
    path = tmp_path / "pouchd.toml"
    path.write_text(text)
    done = run("--config", str(path), "--root", str(tmp_path / "root"), "--run", str(tmp_path / "run"))
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "root").exists()


def test_an_unknown_flag_is_refused(tmp_path):
    done = run("--colour")
    assert done.returncode == 2
    assert "--colour" in done.stderr


def test_an_archive_is_still_there_after_a_restart(one, tmp_path):
    images.busybox_archive(tmp_path / "busybox.tar", tag="kept:latest")
    one.pouch("load", "-q", "-i", str(tmp_path / "busybox.tar"))
    one.stop()
    one.start()
    assert one.out("run", "--rm", "kept", "echo", "yes") == "yes"
