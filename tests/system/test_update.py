"""Updates of containers and of the daemon, each seen by the kernel, by processes, or by the next start."""

from __future__ import annotations

import pytest
from support import daemon as daemons
from support import machines

from pouch.kernel import cgroup, cgroup_features

MIB = 1 << 20


def limit(daemon, id_, v1, v2):
    """A limit as the kernel has it: (controller, file) of v1, file of v2."""
    unified = cgroup.mode() is cgroup.Mode.V2
    where = f"{daemon.cgroup_parent}/{id_}/{v2}" if unified else f"{v1[0]}/{daemon.cgroup_parent}/{id_}/{v1[1]}"
    with open(f"/sys/fs/cgroup/{where}", encoding="ascii") as file:
        return file.read().strip()


def memory_of(daemon, id_):
    return limit(daemon, id_, ("memory", "memory.limit_in_bytes"), "memory.max")


def tasks_of(daemon, id_):
    return limit(daemon, id_, ("pids", "pids.max"), "pids.max")


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_what_runs_has_its_new_limits_at_once_and_after_a_restart(daemon, runtime):
    if runtime not in daemon.out("info", "--format", "{{json .Runtimes}}"):
        pytest.skip("no runc on this host")
    id_ = daemon.box("--runtime", runtime, "-m", "64m", "--pids-limit", "9")
    daemon.pouch("update", "-m", "96m", "--pids-limit", "20", "--cpus", "0.5", "--cpu-shares", "200", id_)

    def seen():
        shares = limit(daemon, id_, ("cpu", "cpu.shares"), "cpu.weight")
        quota = limit(daemon, id_, ("cpu", "cpu.cfs_quota_us"), "cpu.max")
        return memory_of(daemon, id_), tasks_of(daemon, id_), quota.split()[0], shares

    expected = (str(96 * MIB), "20", "50000", "200" if cgroup.mode() is not cgroup.Mode.V2 else seen()[3])
    assert seen() == expected
    daemon.pouch("update", "--pids-limit", "-1", id_)
    assert tasks_of(daemon, id_) == "max"
    daemon.pouch("update", "--pids-limit", "20", id_)
    daemon.pouch("restart", "-t", "0", id_)
    assert seen() == expected
    host = daemon.inspect(id_)["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NanoCpus"], host["CpuShares"]) == (96 * MIB, 20, 500_000_000, 200)


def test_a_stopped_one_has_them_when_it_starts_and_a_paused_one_at_once(daemon):
    id_ = daemon.out("create", "-m", "64m", "busybox", "sleep", "1000")
    daemon.pouch("update", "-m", "96m", id_)
    daemon.pouch("start", id_)
    assert memory_of(daemon, id_) == str(96 * MIB)
    daemon.pouch("pause", id_)
    daemon.pouch("update", "-m", "64m", id_)
    assert memory_of(daemon, id_) == str(64 * MIB)
    assert daemon.inspect(id_)["State"]["Paused"]


def test_limits_that_the_kernel_refuses_are_no_limits_of_the_record(daemon):
    """More memory is in use, in a tmpfs without swap, than there shall be."""
    id_ = daemon.box("-m", "128m", "--memory-swap", "128m", "--shm-size", "100m", "--pids-limit", "30")
    daemon.pouch("exec", id_, "dd", "if=/dev/zero", "of=/dev/shm/a", "bs=1M", "count=60")
    before = daemon.inspect(id_)["HostConfig"]
    if cgroup.mode() is cgroup.Mode.V2:
        pytest.skip("v2 takes any limit, and kills")
    done = daemon.pouch("update", "-m", "16m", "--memory-swap", "16m", "--pids-limit", "5", id_, check=False)
    assert done.returncode == 1
    assert f"Cannot update container {id_}: " in done.stderr
    assert daemon.inspect(id_)["HostConfig"] == before
    assert (memory_of(daemon, id_), tasks_of(daemon, id_)) == (str(128 * MIB), "30")


def test_environment_and_labels_reach_execs_and_the_next_start(daemon):
    id_ = daemon.box("-e", "A=1", "-e", "B=2", "--label", "old=1", "--name", "box")
    daemon.pouch("update", "-e", "A=it's new", "--env-rm", "B", "--label-add", "tier=back", "--label-rm", "old", "box")
    assert daemon.out("exec", id_, "sh", "-c", 'echo "$A,${B-none}"') == "it's new,none"
    found = daemon.inspect(id_)["Config"]
    assert (found["Labels"], "A=it's new" in found["Env"]) == ({"tier": "back"}, True)
    assert daemon.out("ps", "-q", "--filter", "label=tier=back", "--no-trunc") == id_
    daemon.pouch("restart", "-t", "0", "box")
    assert "A=it's new" in daemon.out("exec", id_, "cat", "/proc/1/environ").split("\0")


def test_a_restart_policy_is_the_one_that_counts(daemon):
    id_ = daemon.out("run", "-d", "busybox", "sh", "-c", "sleep 1000 & wait; exit 3")
    daemon.pouch("update", "--restart", "on-failure:1", id_)
    daemon.pouch("exec", id_, "sh", "-c", "killall sleep")
    daemon.until(lambda: daemon.inspect(id_)["RestartCount"] == 1, what="it is started again")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((), "you must provide one or more flags"),
        (("-m", "1m"), "Minimum memory limit allowed is 6MB"),
        (("-m", "512m"), "update the memoryswap at the same time"),
        (("--cpu-quota", "1000"), "CPU Quota cannot be updated as NanoCPUs has already been set"),
        (("--restart", "sometimes"), "invalid restart policy"),
        (("--env-rm", "A=1"), "invalid name of a variable"),
        (("-e", "=x"), "=x"),
        (("--cpuset-cpus", "4000"), "Requested CPUs are not available"),
    ],
)
def test_a_bad_update_is_one_clear_error_and_changes_nothing(daemon, flags, text):
    id_ = daemon.box("-m", "64m", "--cpus", "0.5")
    before = daemon.inspect(id_)["HostConfig"]
    done = daemon.pouch("update", *flags, id_, check=False)
    assert done.returncode != 0
    assert text in done.stderr
    assert daemon.inspect(id_)["HostConfig"] == before


def test_limits_of_all_kinds_are_set_or_said_to_be_impossible(daemon):
    lacking = {str(one) for one in cgroup_features.lacking()}
    flags = ("-m", "64m", "--memory-swappiness", "7", "--oom-kill-disable", "--device-cgroup-rule", "c 42:* rwm")
    done = daemon.pouch("run", "-d", *flags, "busybox", "sleep", "1000")
    id_ = done.stdout.strip()
    for name, words, file, value in (
        ("swappiness", "Memory swappiness discarded", "memory.swappiness", "7"),
        ("oom-kill-disable", "OomKillDisable discarded", "memory.oom_control", "oom_kill_disable 1"),
    ):
        assert (words in done.stderr) == (name in lacking)
        if name not in lacking:
            assert limit(daemon, id_, ("memory", file), "").splitlines()[0] == value
    assert daemon.inspect(id_)["HostConfig"]["DeviceCgroupRules"] == ["c 42:* rwm"]
    if cgroup.mode() is not cgroup.Mode.V2:
        assert "c 42:* rwm" in limit(daemon, id_, ("devices", "devices.list"), "").splitlines()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--gpus", "all"), 'could not select device driver "" with capabilities: [[gpu]]'),
        (("--storage-opt", "size=1g"), "the writable layer of a container cannot be limited here"),
        (("--isolation", "hyperv"), "linux only supports 'default'"),
        (("--io-maxiops", "5"), "linux does not support Maximum IO"),
        (("--use-api-socket",), "--use-api-socket is not offered"),
        (("--device-read-bps", "/dev/null:1m"), "/dev/null is no block device"),
        (("--device-read-bps", "/etc/passwd:1m"), "bad format for device path"),
        (("--device-cgroup-rule", "c 1"), "invalid device cgroup format 'c 1'"),
        (("--memory-swappiness", "101"), "valid memory swappiness range is 0-100"),
        (("--uts", "host", "--hostname", "x"), "conflicting options: hostname and the UTS mode"),
    ],
)
def test_what_cannot_be_given_is_refused_with_a_reason(daemon, flags, text):
    done = daemon.pouch("run", "--rm", *flags, "busybox", "true", check=False)
    assert done.returncode == 125
    assert text in done.stderr
    assert daemon.out("ps", "-aq") == ""


def test_a_rich_containers_sessions_see_the_new_environment_now_and_after_each_start(rich):
    machines.boot(rich, machines.DEBIAN12, "box", "sleep", "1000", flags=("-e", "A=1", "-e", "B=2"))

    def of_login():
        lines = rich.out("exec", "box", "su", "-", "root", "-c", "env").splitlines()
        return sorted(line for line in lines if line[:2] in ("A=", "B=", "C="))

    def of_cron():
        text = rich.out("exec", "box", "cat", "/etc/environment")
        return sorted(line for line in text.splitlines() if line[:2] in ("A=", "B=", "C="))

    rich.pouch("update", "-e", "A=9", "--env-rm", "B", "-e", "C=x y", "box")
    assert of_login() == of_cron() == ["A=9", "C=x y"]
    rich.pouch("restart", "box")
    assert of_login() == of_cron() == ["A=9", "C=x y"]
    rich.pouch("stop", "box")
    rich.pouch("update", "-e", "A=10", "--env-rm", "C", "box")
    rich.pouch("start", "box")
    assert of_login() == of_cron() == ["A=10"]
    warned = rich.pouch("update", "-e", "C=#", "box").stderr
    assert "cron jobs and ssh commands do not get" in warned


def test_a_daemons_labels_hold_over_its_restart_until_something_else_is_configured(make_daemon):
    daemon: daemons.Daemon = make_daemon()
    daemon.pouch("daemon", "update", "--label", "a=b", "--log-level", "warning", "--stop-timeout", "3")
    assert daemon.out("info", "--format", "{{json .Labels}}") == '["a=b"]'
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.out("info", "--format", "{{json .Labels}}") == '["a=b"]'
    assert daemon.stop() == 0
    daemon.options = (*daemon.options, "--label", "mine=1")
    daemon.start()
    assert daemon.out("info", "--format", "{{json .Labels}}") == '["mine=1"]'
    done = daemon.pouch("updatedaemon", "--registry-mirror", "nowhere", check=False)
    assert done.returncode == 1
    assert "expected http://HOST[:PORT]" in done.stderr
