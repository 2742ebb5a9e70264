"""Namespaces and what they hide: own ones by default, the host's where asked, a user namespace for plain containers."""

from __future__ import annotations

import json
import os

import pytest
from support import cli

KINDS = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


def shell(daemon, *flags, script):
    """What a script prints in a new container."""
    return daemon.out("run", "--rm", *flags, "busybox", "sh", "-c", script)


def namespaces(daemon, *flags):
    """Namespaces of the app by kind."""
    script = " ".join(f"readlink /proc/self/ns/{kind};" for kind in (*KINDS, "user"))
    return dict(zip((*KINDS, "user"), shell(daemon, *flags, script=script).splitlines(), strict=True))


def own(kind):
    """Ours."""
    return os.readlink(f"/proc/self/ns/{kind}")


def test_a_container_has_namespaces_of_its_own(daemon):
    one, two = namespaces(daemon), namespaces(daemon)
    for kind in KINDS:
        assert len({one[kind], own(kind)}) == 2, kind
    assert one["user"] == two["user"] == own("user")


@pytest.mark.parametrize(
    ("flag", "kind"),
    [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net"), ("--cgroupns", "cgroup")],
)
def test_the_hosts_namespace_where_asked(daemon, flag, kind):
    found = namespaces(daemon, flag, "host")
    assert found[kind] == own(kind)
    assert all(found[other] != own(other) for other in KINDS if other != kind)


def test_a_container_in_the_hosts_pid_namespace_ends_whole(daemon):
    id_ = daemon.box("--pid", "host", command=("sh", "-c", "sleep 98761 & sleep 98762 & wait"))
    daemon.until(lambda: daemon.out("top", id_).count("9876") == 4)
    daemon.pouch("rm", "-f", id_)
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    assert b"9876" not in file.read()
            except OSError:
                continue


def test_a_plain_container_in_a_user_namespace(daemon, tmp_path):
    if not json.loads(daemon.out("info", "--format", "{{json .UserNamespaces}}")):
        pytest.skip("this host cannot give a container a user namespace with idmapped layers")
    (tmp_path / "of-root").write_text("x")
    script = "id -u; cat /proc/self/uid_map; stat -c %u /bin/busybox /data/of-root; echo y > /data/new; echo z > /own; sleep 10000"
    id_ = daemon.box("--userns", "private", "-v", f"{tmp_path}:/data", command=("sh", "-c", script))
    daemon.until((tmp_path / "new").exists)
    lines = daemon.out("logs", id_).splitlines()
    assert lines[0] == "0"
    inside, outside, count = map(int, lines[1].split())
    assert (inside, count, outside > 65535) == (0, 65536, True)
    assert lines[2:] == ["0", "0"]
    assert os.stat(f"/proc/{daemon.inspect(id_)['State']['Pid']}").st_uid == outside
    assert (tmp_path / "new").stat().st_uid == 0  # files keep the container's ids, on volumes and in the layer
    daemon.until(lambda: os.path.exists(f"{daemon.root}/containers/{id_}/rw/upper/own"))
    assert os.stat(f"{daemon.root}/containers/{id_}/rw/upper/own").st_uid == 0


def test_two_user_namespaces_do_not_share_ids(daemon):
    if not json.loads(daemon.out("info", "--format", "{{json .UserNamespaces}}")):
        pytest.skip("this host cannot give a container a user namespace with idmapped layers")
    ids = [daemon.box("--userns", "private") for _ in range(2)]
    bases = {os.stat(f"/proc/{daemon.inspect(id_)['State']['Pid']}").st_uid for id_ in ids}
    assert len(bases) == 2


def test_a_seccomp_profile_of_the_clients(daemon, tmp_path):
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    (tmp_path / "profile.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    said = shell(daemon, "--security-opt", f"seccomp={tmp_path}/profile.json", script="mkdir /x 2>&1; true")
    assert "not supported" in said
    (tmp_path / "bad.json").write_text('{"defaultAction": 1}')
    done = daemon.pouch("run", "--rm", "--security-opt", f"seccomp={tmp_path}/bad.json", "busybox", "true", check=False)
    assert (done.returncode, "$.defaultAction" in done.stderr) == (125, True), done
    assert daemon.out("ps", "-aq") == ""


def test_init_on_a_terminal_gives_it_to_the_program(daemon):
    with cli.on_terminal(daemon, "run", "--rm", "-it", "--init", "busybox", "sh") as terminal:
        terminal.until(b"# ")
        terminal.type(b"sh -c 'echo $((6*7)); sleep 10000'\n")
        terminal.until(b"42\r\n")
        terminal.type(b"\x03")
        terminal.type(b"echo code $?\n")
        terminal.until(b"code 130\r\n")
        terminal.type(b"exit 4\n")
        assert terminal.wait() == 4


def test_init_ends_with_what_its_program_left(daemon):
    script = "sleep 10000 & echo started"
    assert daemon.pouch("run", "--rm", "--init", "busybox", "sh", "-c", script, timeout=20).stdout == "started\n"
