"""Limits: what was asked stands in the container's cgroup, and holds."""

from __future__ import annotations

import os

import pytest

from pouch.kernel import cgroup


def limit(daemon, id_, v1, v2):
    """A limit as the kernel has it: (controller, file) of v1, file of v2."""
    if cgroup.mode() is cgroup.Mode.V2:
        path = f"/sys/fs/cgroup/{daemon.cgroup_parent}/{id_}/{v2}"
    else:
        controller, file = v1
        path = f"/sys/fs/cgroup/{controller}/{daemon.cgroup_parent}/{id_}/{file}"
    with open(path, encoding="ascii") as file:
        return file.read().strip()


@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.parametrize(
    ("flags", "v1", "v2", "wanted"),
    [
        (("-m", "64m"), ("memory", "memory.limit_in_bytes"), "memory.max", ("67108864", "67108864")),
        (
            ("--memory-reservation", "32m"),
            ("memory", "memory.soft_limit_in_bytes"),
            "memory.low",
            ("33554432", "33554432"),
        ),
        (("--cpus", "0.5"), ("cpu", "cpu.cfs_quota_us"), "cpu.max", ("50000", "50000 100000")),
        (
            ("--cpu-quota", "20000", "--cpu-period", "50000"),
            ("cpu", "cpu.cfs_period_us"),
            "cpu.max",
            ("50000", "20000 50000"),
        ),
        (("--cpu-shares", "512"), ("cpu", "cpu.shares"), "cpu.weight", ("512", "20")),
        (("--cpuset-cpus", "0"), ("cpuset", "cpuset.cpus"), "cpuset.cpus", ("0", "0")),
        (("--pids-limit", "50"), ("pids", "pids.max"), "pids.max", ("50", "50")),
    ],
)
def test_limits_are_in_the_cgroup(daemon, runtime, flags, v1, v2, wanted):
    if runtime not in daemon.out("info", "--format", "{{json .Runtimes}}"):
        pytest.skip("no runc on this host")
    id_ = daemon.box("--runtime", runtime, *flags)
    assert limit(daemon, id_, v1, v2) == wanted[cgroup.mode() is cgroup.Mode.V2]


def test_the_limits_are_told_again(daemon):
    id_ = daemon.box("-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpu-shares", "512")
    host = daemon.inspect(id_)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 128 << 20)
    assert (host["NanoCpus"], host["PidsLimit"], host["CpuShares"]) == (500_000_000, 50, 512)


def test_too_much_memory_kills_and_says_so(daemon):
    id_ = daemon.box("-m", "16m", "--memory-swap", "16m", command=("sh", "-c", "tail /dev/zero; sleep 10000"))
    daemon.pouch("exec", id_, "true")
    daemon.until(lambda: "tail" not in daemon.out("top", id_, "-o", "pid,comm"), what="tail is killed")
    assert daemon.inspect(id_)["State"]["Running"]


def test_an_app_killed_for_its_memory_ends_with_137_and_the_oom_mark(daemon):
    done = daemon.pouch(
        "run", "--name", "fat", "-m", "16m", "--memory-swap", "16m", "busybox", "tail", "/dev/zero", check=False
    )
    assert done.returncode == 137
    state = daemon.inspect("fat")["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)


def test_the_pids_limit_holds(daemon):
    script = "n=0; while [ $n -lt 40 ]; do sleep 1000 & n=$((n+1)); done; echo all"
    done = daemon.pouch("run", "--rm", "--pids-limit", "20", "busybox", "sh", "-c", script, check=False)
    assert (done.returncode, "all" in done.stdout) == (2, False)
    assert "fork" in done.stderr


def test_a_cgroup_parent_of_the_clients(daemon):
    id_ = daemon.box("--cgroup-parent", f"{daemon.cgroup_parent}/inner", "-m", "32m")
    point = "/sys/fs/cgroup" if cgroup.mode() is cgroup.Mode.V2 else "/sys/fs/cgroup/memory"
    assert os.path.isdir(f"{point}/{daemon.cgroup_parent}/inner/{id_}")
    daemon.pouch("rm", "-f", id_)
    for each in cgroup.current().hierarchies:  # the parent was the client's: it stays, as Docker's does
        if os.path.isdir(f"{each.point}/{daemon.cgroup_parent}/inner"):
            os.rmdir(f"{each.point}/{daemon.cgroup_parent}/inner")


def test_blkio_weight_is_set_or_said_to_be_impossible(daemon):
    done = daemon.pouch("run", "--rm", "--blkio-weight", "300", "busybox", "true", check=False)
    assert done.returncode == 0, done.stderr
    blkio = "/sys/fs/cgroup/blkio"
    if cgroup.mode() is not cgroup.Mode.V2 and os.path.isdir(blkio) and not os.path.exists(f"{blkio}/blkio.weight"):
        assert "Weight discarded" in done.stderr


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("-m", "4m"), "Minimum memory limit allowed is 6MB"),
        (("-m", "64m", "--memory-swap", "32m"), "Minimum memoryswap limit should be larger than memory limit"),
        (("--memory-swap", "32m"), "You should always set the Memory limit when using Memoryswap limit"),
        (("-m", "lots"), "lots"),
        (("--cpus", "-1"), "-1"),
        (("--cpus", "1000"), "range of CPUs is from 0.01 to"),
        (("--cpus", "1", "--cpu-quota", "1000"), "--cpus cannot be used with --cpu-quota"),
        (("--cpuset-cpus", "4000"), "Requested CPUs are not available - requested 4000"),
        (("--cpuset-cpus", "a"), '"a" is no list of numbers'),
        (("--ulimit", "nonsense=1"), "nonsense"),
        (("--ulimit", "nofile=10:5"), "nofile"),
        (("--blkio-weight", "5"), "Range of blkio weight is from 10 to 1000"),
        (("--pids-limit", "x"), "x"),
        (("--sysctl", "vm.swappiness=1"), "vm.swappiness"),
        (("--sysctl", "net.core.nonsense=1"), "net/core/nonsense"),
        (("--oom-score-adj", "2000"), "2000"),
        (("--cap-add", "NONSENSE"), "NONSENSE"),
        (("--security-opt", "nonsense"), "nonsense"),
        (("--stop-signal", "NONSENSE"), "NONSENSE"),
    ],
)
def test_a_bad_limit_is_one_clear_error(daemon, flags, text):
    done = daemon.pouch("run", "--rm", *flags, "busybox", "true", check=False)
    assert (done.returncode, text in done.stderr) == (125, True), done
    assert daemon.out("ps", "-aq") == ""
