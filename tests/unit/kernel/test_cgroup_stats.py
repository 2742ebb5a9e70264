"""Numbers of control groups, in trees that are directories: v1, v2, hybrid, and what is missing."""

from __future__ import annotations

import os

import pytest

from pouch.kernel import cgroup, cgroup_stats
from pouch.spec import errors, sample

GROUP = "/pouch/one"

V2 = {
    "cgroup.controllers": "cpu io memory pids\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnr_periods 7\nnr_throttled 3\nthrottled_usec 9\n",
    "memory.current": "4096000\n",
    "memory.max": "8192000\n",
    "memory.stat": "anon 100\nfile 200\ninactive_file 50\n",
    "memory.events": "low 0\nmax 12\noom 2\noom_kill 1\n",
    "pids.current": "5\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n252:1 \nnonsense\n",
}
V1 = {
    "cpu,cpuacct/cpuacct.usage": "1500000000\n",
    "cpu,cpuacct/cpuacct.usage_percpu": "1000000000 500000000 \n",
    "cpu,cpuacct/cpuacct.stat": "user 100\nsystem 50\n",
    "cpu,cpuacct/cpu.stat": "nr_periods 7\nnr_throttled 3\nthrottled_time 9000\n",
    "memory/memory.usage_in_bytes": "4096000\n",
    "memory/memory.max_usage_in_bytes": "5000000\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.failcnt": "4\n",
    "memory/memory.stat": "cache 7\ntotal_inactive_file 50\n",
    "pids/pids.current": "5\n",
    "pids/pids.max": "10\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "Total 0\n",
    "blkio/blkio.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n",
}


def laid(point, files, below=GROUP):
    for name, text in files.items():
        head, _, last = name.rpartition("/")
        place = f"{point}/{head}{below}"
        os.makedirs(place, exist_ok=True)
        with open(f"{place}/{last}", "w", encoding="ascii") as file:
            file.write(text)


@pytest.fixture
def v2(tmp_path):
    laid(f"{tmp_path}/u", V2)
    return cgroup.Layout((cgroup.Hierarchy(f"{tmp_path}/u", unified=True),))


@pytest.fixture
def v1(tmp_path):
    laid(tmp_path, V1)
    hierarchies = [
        cgroup.Hierarchy(f"{tmp_path}/{name}", frozenset(name.split(",")))
        for name in ("cpu,cpuacct", "memory", "pids", "blkio")
    ]
    return cgroup.Layout(tuple(hierarchies))


def test_time_of_cpus_is_nanoseconds_in_v2(v2):
    cpu = cgroup_stats.cpu(GROUP, layout=v2)
    assert (cpu.total, cpu.user, cpu.kernel) == (1_500_000_000, 1_000_000_000, 500_000_000)
    assert (cpu.periods, cpu.throttled_periods, cpu.throttled, cpu.per_cpu) == (7, 3, 9000, ())
    assert cpu.system > 0
    assert cpu.online >= 1


def test_time_of_cpus_is_nanoseconds_in_v1(v1):
    cpu = cgroup_stats.cpu(GROUP, layout=v1)
    ticks = os.sysconf("SC_CLK_TCK")
    assert (cpu.total, cpu.per_cpu) == (1_500_000_000, (1_000_000_000, 500_000_000))
    assert (cpu.user, cpu.kernel) == (100 * 10**9 // ticks, 50 * 10**9 // ticks)
    assert (cpu.periods, cpu.throttled_periods, cpu.throttled) == (7, 3, 9000)


def test_memory_of_v2_has_its_limit_and_no_highest_usage(v2):
    memory, unified = cgroup_stats.memory(GROUP, layout=v2)
    assert unified
    assert (memory.usage, memory.limit, memory.most, memory.failures) == (4096000, 8192000, None, 2)
    assert memory.stats == {"anon": 100, "file": 200, "inactive_file": 50}


def test_memory_of_v1_without_a_limit_is_limited_by_the_host(v1):
    memory, unified = cgroup_stats.memory(GROUP, layout=v1)
    assert not unified
    assert (memory.usage, memory.limit, memory.most) == (4096000, cgroup_stats.host_memory(), 5000000)
    assert (memory.failures, memory.stats["total_inactive_file"]) == (4, 50)


def test_a_limit_beyond_the_hosts_memory_is_none(v2, tmp_path):
    laid(f"{tmp_path}/u", {"memory.max": f"{1 << 50}\n"})
    assert cgroup_stats.memory(GROUP, layout=v2)[0].limit == cgroup_stats.host_memory()


def test_tasks_and_their_limit(v1, v2):
    assert cgroup_stats.pids(GROUP, layout=v2) == sample.Pids(current=5)
    assert cgroup_stats.pids(GROUP, layout=v1) == sample.Pids(current=5, limit=10)


def test_block_devices_of_both_versions_are_spelled_alike(v1, v2):
    expected = (sample.BlockNumber(8, 0, "read", 4096), sample.BlockNumber(8, 0, "write", 8192))
    assert cgroup_stats.blocks(GROUP, layout=v2).bytes == expected
    assert [each.value for each in cgroup_stats.blocks(GROUP, layout=v2).operations] == [1, 2]
    found = cgroup_stats.blocks(GROUP, layout=v1).bytes
    assert found[:2] == expected
    assert found[2].operation == "total"


def test_a_hybrid_host_is_asked_where_each_controller_is(v1, tmp_path):
    laid(f"{tmp_path}/u", {"cgroup.controllers": "memory\n", "memory.current": "7\n"})
    hierarchies = [each for each in v1.hierarchies if "memory" not in each.controllers]
    layout = cgroup.Layout((cgroup.Hierarchy(f"{tmp_path}/u", unified=True), *hierarchies))
    memory, unified = cgroup_stats.memory(GROUP, layout=layout)
    assert (unified, memory.usage) == (True, 7)
    assert cgroup_stats.cpu(GROUP, layout=layout).total == 1_500_000_000


def test_a_group_that_is_gone_has_used_nothing(v1, v2):
    for layout in (v1, v2):
        assert cgroup_stats.cpu("/none/such", layout=layout).total == 0
        assert cgroup_stats.memory("/none/such", layout=layout)[0].usage == 0
        assert cgroup_stats.blocks("/none/such", layout=layout) == sample.Blocks()


def test_interfaces_are_counted_without_loopback():
    assert "lo" not in cgroup_stats.interfaces(os.getpid())
    with pytest.raises(errors.NotFound):
        cgroup_stats.interfaces(1 << 22)
