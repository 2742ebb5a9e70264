"""Limits: Docker's checks and sentences, what an update makes of them, and what of them a host does."""

from __future__ import annotations

import dataclasses

import pytest
from support import engine

from pouch.engine import limits, sharing, updates
from pouch.engine.specbuild import build, resources
from pouch.spec import change, container, errors
from pouch.spec.container import BlockLimit, HostConfig, Resources

MIB = 1 << 20
DISK = BlockLimit(path="/dev/disk", rate=4096)


def given(**wanted):
    return resources.limits(Resources(**wanted), engine.HOST, {"/dev/disk": (8, 0)})


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"memory": 4 * MIB}, "Minimum memory limit allowed is 6MB"),
        ({"memory": -1}, "invalid memory limit -1"),
        ({"memory": 64 * MIB, "memory_swap": 32 * MIB}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"memory_swap": 32 * MIB}, "You should always set the Memory limit"),
        ({"memory_swap": -2}, "invalid memoryswap limit -2"),
        ({"memory_swappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"memory_reservation": MIB}, "Minimum memory reservation allowed is 6MB"),
        ({"memory": 8 * MIB, "memory_reservation": 9 * MIB}, "can not be less than memory reservation limit"),
        ({"nano_cpus": 1, "cpu_period": 1000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"nano_cpus": 1, "cpu_quota": 1000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"cpu_period": 999}, "CPU cfs period can not be less than 1ms"),
        ({"cpu_period": 1_000_001}, "or larger than 1s"),
        ({"cpu_quota": 999}, "CPU cfs quota can not be less than 1ms"),
        ({"cpu_realtime_period": 10, "cpu_realtime_runtime": 11}, "cpu real-time runtime cannot be higher"),
        ({"cpuset_cpus": "0-"}, "Invalid value 0- for cpuset cpus"),
        ({"cpuset_mems": "x"}, "Invalid value x for cpuset mems"),
        ({"blkio_weight": 9}, "Range of blkio weight is from 10 to 1000"),
        ({"blkio_weight_device": (BlockLimit(path="/dev/a", rate=1001),)}, "Range of blkio weight"),
        ({"blkio_read_bps": (BlockLimit(path="/etc/passwd", rate=1),)}, "bad format for device path: /etc/passwd"),
        ({"blkio_write_iops": (BlockLimit(path="/dev/a", rate=-1),)}, "invalid rate -1"),
    ],
)
def test_what_nobody_can_have_is_refused_in_dockers_words(wanted, sentence):
    with pytest.raises(errors.InvalidInput) as caught:
        limits.check(Resources(**wanted))
    assert sentence in caught.value.message


def test_a_device_that_is_no_disk_is_named_before_anything_is_made():
    with pytest.raises(errors.InvalidInput, match="device /dev/null is no block device"):
        limits.check_host(Resources(blkio_read_bps=(BlockLimit(path="/dev/null", rate=1),)), engine.HOST)
    with pytest.raises(errors.InvalidInput, match="device /dev/none-such: no such file"):
        limits.check_host(Resources(blkio_read_bps=(BlockLimit(path="/dev/none-such", rate=1),)), engine.HOST)


def test_memory_nodes_that_are_not_there_are_refused():
    host = dataclasses.replace(engine.HOST, memory_nodes=frozenset({0}))
    with pytest.raises(
        errors.InvalidInput, match="Requested memory nodes are not available - requested 1, available: 0"
    ):
        limits.check_host(Resources(cpuset_mems="1"), host)


def test_all_limits_stand_in_the_spec():
    found, warnings = given(
        memory=64 * MIB,
        memory_swap=-1,
        memory_swappiness=0,
        oom_kill_disable=True,
        cpu_realtime_period=1000,
        cpu_realtime_runtime=100,
        cpuset_mems="0",
        blkio_weight=300,
        blkio_weight_device=(DISK,),
        blkio_read_bps=(DISK,),
        blkio_write_bps=(DISK,),
        blkio_read_iops=(DISK,),
        blkio_write_iops=(DISK,),
    )
    assert warnings == []
    rate = [{"major": 8, "minor": 0, "rate": 4096}]
    assert found == {
        "memory": {"limit": 64 * MIB, "swap": -1, "swappiness": 0, "disableOOMKiller": True},
        "cpu": {"realtimePeriod": 1000, "realtimeRuntime": 100, "mems": "0"},
        "blockIO": {
            "weight": 300,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 4096}],
            "throttleReadBpsDevice": rate,
            "throttleWriteBpsDevice": rate,
            "throttleReadIOPSDevice": rate,
            "throttleWriteIOPSDevice": rate,
        },
    }


def test_what_a_host_lacks_is_left_out_and_said_once_each():
    lacking = frozenset(("swap", "swappiness", "oom-kill-disable", "weight", "read-bps"))
    wanted = Resources(
        memory=64 * MIB,
        memory_swap=128 * MIB,
        memory_swappiness=5,
        oom_kill_disable=True,
        blkio_weight=10,
        blkio_read_bps=(DISK,),
    )
    host = dataclasses.replace(engine.HOST, lacking=lacking)
    found, warnings = resources.limits(wanted, host, {"/dev/disk": (8, 0)})
    assert found == {"memory": {"limit": 64 * MIB}}
    assert len(warnings) == len(lacking)
    assert all(warning.endswith(("discarded.", "without swap.")) for warning in warnings)


def test_unlimited_swap_needs_no_swap_accounting():
    host = dataclasses.replace(engine.HOST, lacking=frozenset({"swap"}))
    assert resources.limits(Resources(memory=64 * MIB, memory_swap=-1), host, {}) == (
        {"memory": {"limit": 64 * MIB}},
        [],
    )


# -- devices ----------------------------------------------------------------------------------------------------------


def test_rules_of_devices_follow_ours():
    record = engine.record(host=HostConfig(device_cgroup_rules=("c 42:* rwm", "a *:* m")))
    rules = build.build(engine.given(record)).spec["linux"]["resources"]["devices"]
    assert rules[-2:] == [
        {"allow": True, "type": "c", "access": "rwm", "major": 42},
        {"allow": True, "type": "a", "access": "m"},
    ]


@pytest.mark.parametrize("rule", ["c 42 rwm", "c 1:3", "x 1:3 r", "c 1:3 rx", "c -1:3 r", "c 1:3 r\n", ""])
def test_a_wrong_rule_is_refused(rule):
    with pytest.raises(errors.InvalidInput, match="invalid device cgroup rule format"):
        limits.check_devices(HostConfig(device_cgroup_rules=(rule,)))


def test_gpus_are_refused_in_dockers_sentence():
    request = container.DeviceRequest(count=-1, capabilities=(("gpu", "compute"), ("nvidia",)))
    with pytest.raises(errors.InvalidInput) as caught:
        limits.check_devices(HostConfig(device_requests=(request,)))
    assert caught.value.message == 'could not select device driver "" with capabilities: [[gpu compute] [nvidia]]'


def test_paths_of_the_clients_own_are_masked_instead_of_ours():
    record = engine.record(host=HostConfig(masked_paths=("/proc/keys",), readonly_paths=()))
    linux = build.build(engine.given(record)).spec["linux"]
    assert (linux["maskedPaths"], linux["readonlyPaths"]) == (["/proc/keys"], [])


# -- update -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "wanted", "sentence"),
    [
        ({"cpu_period": 1000}, {"nano_cpus": 1}, "Nano CPUs cannot be updated as CPU Period has already been set"),
        ({"cpu_quota": 1000}, {"nano_cpus": 1}, "Nano CPUs cannot be updated as CPU Quota has already been set"),
        ({"nano_cpus": 1}, {"cpu_period": 1000}, "CPU Period cannot be updated as NanoCPUs has already been set"),
        ({"nano_cpus": 1}, {"cpu_quota": 1000}, "CPU Quota cannot be updated as NanoCPUs has already been set"),
        ({}, {"memory": 64 * MIB}, "update the memoryswap at the same time"),
        ({"memory": 64 * MIB, "memory_swap": 64 * MIB}, {"memory": 65 * MIB}, "update the memoryswap at the same time"),
        ({"memory": 64 * MIB, "memory_swap": -1}, {"memory_reservation": 65 * MIB}, "memory reservation limit"),
    ],
)
def test_an_update_that_does_not_fit_what_is_there_is_refused(current, wanted, sentence):
    with pytest.raises(errors.InvalidInput) as caught:
        limits.merged(Resources(**current), Resources(**wanted))
    assert sentence in caught.value.message


def test_an_update_changes_what_it_names():
    before = Resources(memory=64 * MIB, memory_swap=128 * MIB, pids_limit=5, cpu_shares=100)
    after = limits.merged(before, Resources(memory=32 * MIB, pids_limit=-1))
    assert after == dataclasses.replace(before, memory=32 * MIB, pids_limit=0)


def test_environment_and_labels_are_set_and_taken_away():
    record = engine.record(env=("PATH=/bin", "A=1", "B=2"), labels={"image": "x", "mine": "y"})
    record = dataclasses.replace(
        record, config=dataclasses.replace(record.config, env=("A=1", "B=2"), labels={"mine": "y"})
    )
    wanted = change.ContainerChange(
        env=("A=9", "B", "C=3"), labels={"new": "z"}, labels_removed=("mine", "image", "none-such")
    )
    after = updates.changed(record, wanted)
    assert sorted(after.env) == ["A=9", "C=3", "PATH=/bin"]
    assert sorted(after.config.env) == ["A=9", "B", "C=3"]  # what the next image gives in B's place stays away, too
    assert (after.labels, after.config.labels) == ({"new": "z"}, {"new": "z"})


def test_a_policy_does_not_go_with_auto_remove():
    record = engine.record(host=HostConfig(auto_remove=True))
    wanted = change.ContainerChange(restart_policy=container.RestartPolicy(name="always"))
    with pytest.raises(errors.InvalidInput, match="Restart policy cannot be updated because AutoRemove is enabled"):
        updates.changed(record, wanted)


def test_limits_of_disks_cannot_be_changed():
    wanted = change.ContainerChange(resources=Resources(blkio_read_bps=(DISK,)))
    with pytest.raises(errors.InvalidInput, match="blkio read bps cannot be changed"):
        updates.changed(engine.record(), wanted)


# -- namespaces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ({"pid_mode": "shareable"}, "invalid PID mode: shareable"),
        ({"pid_mode": "container:"}, "invalid PID mode: container:"),
        ({"ipc_mode": "ns:/x"}, "invalid IPC mode: ns:/x"),
        ({"uts_mode": "container:x"}, "invalid UTS mode: container:x"),
        ({"pid_mode": "container:x", "userns_mode": "private"}, "cannot share another's processes"),
    ],
)
def test_modes_that_nobody_has_are_refused(host, sentence):
    with pytest.raises(errors.InvalidInput) as caught:
        sharing.check(container.ContainerConfig(image="i", host=HostConfig(**host)))
    assert sentence in caught.value.message


def test_joined_namespaces_have_paths_and_are_not_made():
    record = engine.record(host=HostConfig(pid_mode="container:x", ipc_mode="container:x"))
    given = engine.given(record, pidns="/proc/5/ns/pid", ipcns="/proc/5/ns/ipc", shm="/run/shm")
    spec = build.build(given).spec
    kinds = [one["type"] for one in spec["linux"]["namespaces"]]
    assert sorted(kinds) == sorted(set(kinds))
    assert {"type": "pid", "path": "/proc/5/ns/pid"} in spec["linux"]["namespaces"]
    assert {"type": "ipc", "path": "/proc/5/ns/ipc"} in spec["linux"]["namespaces"]
    (shm,) = [one for one in spec["mounts"] if one["destination"] == "/dev/shm"]
    assert (shm["type"], shm["source"]) == ("bind", "/run/shm")
    assert {"nosuid", "nodev", "noexec"} <= set(shm["options"])


def test_without_ipc_there_is_no_shared_memory():
    spec = build.build(engine.given(engine.record(host=HostConfig(ipc_mode="none")))).spec
    assert "/dev/shm" not in [one["destination"] for one in spec["mounts"]]
    assert {"type": "ipc"} in spec["linux"]["namespaces"]
