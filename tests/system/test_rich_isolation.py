"""User namespaces, with and without; bind mounts and the ids on them; read-only roots; limits."""

from __future__ import annotations

import os

import pytest
from support import machines

CASES = machines.CASES
DOCKERS_CAPABILITIES = 0xA80425FB
SLEEP = ("sh", "-c", "echo up; exec sleep 1000")


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """Each image and mode."""
    return request.param


@pytest.fixture(params=machines.FEW, ids=str)
def few(request):
    """One of each kind."""
    return request.param


def sh(rich, script, *flags, check=True):
    """stdout of a shell script in the machine."""
    return rich.out("exec", *flags, "box", "sh", "-c", script, check=check)


def test_two_machines_have_no_id_in_common(rich, case):
    bases = []
    for name in ("one", "two"):
        machines.boot(rich, case, name, *SLEEP)
        bases.append(rich.inspect(name)["UserNamespaceBase"])
        pids = [pid for pid, _, _ in machines.inside(rich, name)]
        assert {int(machines.status(pid)["Uid"].split()[0]) // 65536 for pid in pids} == {bases[-1] // 65536}
    assert abs(bases[0] - bases[1]) >= 65536


def test_with_the_hosts_ids_it_boots_with_dockers_capabilities(rich, case):
    machines.boot(rich, case, "box", *SLEEP, flags=("--userns", "host"))
    assert rich.inspect("box")["UserNamespaceBase"] is None
    assert sh(rich, "cat /proc/self/uid_map").split() == ["0", "0", "4294967295"]
    pid = rich.inspect("box")["State"]["Pid"]
    assert machines.status(pid)["Uid"].split()[0] == "0"
    beyond = int(machines.status(pid)["CapBnd"], 16) & ~DOCKERS_CAPABILITIES
    assert beyond in (0, 1 << 22), hex(beyond)  # 22: CAP_SYS_BOOT, which its own pid namespace confines
    app = next(one for one in machines.tree(rich, "box") if one["Category"] == "app")
    assert int(machines.status(app["HostPid"])["CapBnd"], 16) == DOCKERS_CAPABILITIES
    if case.systemd:
        assert sh(rich, "systemctl list-units --failed --plain --no-legend") == ""
    rich.pouch("stop", "box")
    assert not [path for path in rich.out("diff", "box").splitlines() if "pouch" in path]


def test_it_boots_without_a_network(rich, few):
    machines.boot(rich, few, "box", *SLEEP, flags=("--network", "none"))
    assert sh(rich, "ls /sys/class/net") == "lo"
    rich.pouch("stop", "box")


def test_it_boots_on_the_hosts_network_and_is_told_what_it_may_not(rich, few):
    image = machines.load(rich, few)
    flags = ("-d", "--name", "box", "--network", "host", *machines.rich_flags(few))
    done = rich.pouch("run", *flags, image, *SLEEP)
    assert "ports below 1024 cannot be bound" in done.stderr
    machines.ready(rich, "box", "degraded" if few.systemd else "running")  # sshd cannot have its port
    assert rich.bridge in sh(rich, "ls /sys/class/net").split()
    rich.pouch("stop", "box")


def test_a_privileged_machine_boots(rich, few):
    machines.boot(rich, few, "box", *SLEEP, flags=("--privileged",))
    assert rich.inspect("box")["UserNamespaceBase"] is None
    pid = rich.inspect("box")["State"]["Pid"]
    bounding = next(line for line in open("/proc/self/status", encoding="utf-8") if line.startswith("CapBnd"))  # noqa: SIM115
    assert machines.status(pid)["CapBnd"] == bounding.split()[1]
    rich.pouch("stop", "box")


@pytest.mark.parametrize("userns", ["private", "host"])
def test_a_bind_mount_keeps_the_ids(rich, few, userns, tmp_path):
    os.chmod(tmp_path, 0o755)
    for name, owner in (("roots", 0), ("apps", 1000)):
        (tmp_path / name).write_text(name)
        os.chown(tmp_path / name, owner, owner)
    (tmp_path / "place").mkdir()
    os.chown(tmp_path / "place", 1000, 1000)
    flags = ("-v", f"{tmp_path}:/data", "--userns", userns)
    machines.boot(rich, few, "box", *SLEEP, flags=flags)
    assert sh(rich, "stat -c %u:%g /data/roots /data/apps /data/place").split() == ["0:0", "1000:1000", "1000:1000"]
    sh(rich, "echo x >/data/place/new; echo y >>/data/apps", "-u", "app")
    sh(rich, "echo z >/data/root-made; chown 2000:2000 /data/roots")
    owners = {name: os.stat(tmp_path / name).st_uid for name in ("place/new", "root-made", "roots", "apps")}
    assert owners == {"place/new": 1000, "root-made": 0, "roots": 2000, "apps": 1000}
    done = rich.pouch("exec", "-u", "app", "box", "sh", "-c", "echo no >/data/root-made", check=False)
    assert done.returncode != 0
    rich.pouch("restart", "box")
    machines.ready(rich, "box")
    assert sh(rich, "cat /data/apps") == "appsy"
    assert sh(rich, "stat -c %u /data/place/new") == "1000"


def test_a_read_only_mount_is_one(rich, few, tmp_path):
    (tmp_path / "file").write_text("text")
    machines.boot(rich, few, "box", *SLEEP, flags=("-v", f"{tmp_path}:/data:ro"))
    assert sh(rich, "cat /data/file") == "text"
    done = rich.pouch("exec", "box", "sh", "-c", "echo x >/data/file", check=False)
    assert "Read-only file system" in done.stderr or "Read-only file system" in done.stdout


def test_a_read_only_root_boots(rich, case):
    # logind has its state there, rsyslog its files: without a place for them the machine would be degraded
    writable = [word for path in ("/var/lib/systemd", "/var/log") for word in ("--tmpfs", path) if case.debian]
    machines.boot(rich, case, "box", *SLEEP, flags=("--read-only", *writable))
    done = rich.pouch("exec", "box", "sh", "-c", "echo x >/file", check=False)
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
    sh(rich, "echo x >/run/file")
    assert rich.out("diff", "box") == ""


def test_limits_hold_for_the_whole_machine(rich, few):
    machines.boot(rich, few, "box", *SLEEP, flags=("-m", "128m", "--pids-limit", "80"))
    pid = rich.inspect("box")["State"]["Pid"]
    places = {}
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        for line in file:
            _, names, path = line.strip().split(":", 2)
            places |= dict.fromkeys(names.split(","), path)
    if "memory" not in places:
        pytest.skip("cgroup v2: looked at elsewhere")
    with open(f"/sys/fs/cgroup/memory{places['memory']}/memory.limit_in_bytes", encoding="ascii") as file:
        assert int(file.read()) == 128 << 20
    with open(f"/sys/fs/cgroup/pids{places['pids']}/pids.max", encoding="ascii") as file:
        assert int(file.read()) == 80
    script = "i=0; while [ $i -lt 200 ]; do sleep 5 & i=$((i+1)); done 2>&1"
    rich.pouch("exec", "box", "sh", "-c", script, check=False)
    assert len(machines.inside(rich, "box")) <= 80


def test_out_of_memory_kills_in_it_and_is_told(rich):
    case = machines.DUMB_INIT
    script = "echo up; x=x; while :; do x=$x$x; done"
    done = machines.run(rich, case, "sh", "-c", script, flags=("--name", "box", "-m", "24m"))
    assert done.returncode == 137
    assert rich.inspect("box")["State"]["OOMKilled"] is True
