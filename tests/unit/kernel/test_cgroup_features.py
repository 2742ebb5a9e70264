"""Which limits a host knows, read off trees of files as each kind of hierarchy has them."""

from __future__ import annotations

import os

import pytest

from pouch.kernel import cgroup, cgroup_features
from pouch.kernel.cgroup_features import Limit
from pouch.spec import errors


def write(path, *names, text=""):
    os.makedirs(path, exist_ok=True)
    for name in names:
        (path / name).write_text(text)


def layout(*hierarchies):
    return cgroup.Layout(tuple(hierarchies))


def test_v1_shows_at_its_roots_what_it_knows(tmp_path):
    write(tmp_path / "memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control")
    write(tmp_path / "blkio", "blkio.throttle.read_bps_device", "blkio.bfq.weight")
    found = layout(
        cgroup.Hierarchy(str(tmp_path / "memory"), frozenset({"memory"})),
        cgroup.Hierarchy(str(tmp_path / "blkio"), frozenset({"blkio"})),
    )
    assert cgroup_features.known(layout=found) == {Limit.SWAP, Limit.OOM_KILL_DISABLE, Limit.READ_BPS}
    assert Limit.WEIGHT in cgroup_features.lacking(layout=found)


def test_v2_is_read_off_a_group_that_has_the_controller(tmp_path):
    write(tmp_path, "cgroup.controllers", text="memory io\n")
    write(tmp_path / "empty", "cgroup.procs", "memory.pressure", "io.pressure")
    write(tmp_path / "user", "memory.max", "io.max")
    found = layout(cgroup.Hierarchy(str(tmp_path), unified=True))
    assert cgroup_features.known(layout=found) == {
        Limit.READ_BPS,
        Limit.WRITE_BPS,
        Limit.READ_IOPS,
        Limit.WRITE_IOPS,
    }


def test_a_controller_of_v2_that_no_group_has_yet_is_taken_to_be_whole(tmp_path):
    write(tmp_path, "cgroup.controllers", text="memory\n")
    found = layout(cgroup.Hierarchy(str(tmp_path), unified=True))
    assert cgroup_features.known(layout=found) == {Limit.SWAP}


def test_weights_of_devices_are_known_only_where_bfq_is_seen(tmp_path):
    """Neither runtime writes them anywhere else, and crun fails."""
    write(tmp_path, "cgroup.controllers", text="io\n")
    found = layout(cgroup.Hierarchy(str(tmp_path), unified=True))
    assert {Limit.WEIGHT, Limit.WEIGHT_DEVICE} & cgroup_features.known(layout=found) == {Limit.WEIGHT}
    write(tmp_path / "group", "io.weight", "io.max")
    assert {Limit.WEIGHT, Limit.WEIGHT_DEVICE} & cgroup_features.known(layout=found) == {Limit.WEIGHT}
    write(tmp_path / "group", "io.bfq.weight")
    assert {Limit.WEIGHT, Limit.WEIGHT_DEVICE} <= cgroup_features.known(layout=found)


@pytest.mark.parametrize(
    ("controller", "v1", "v2", "written"),
    [("pids", "pids.max", "pids.max", "max"), ("cpu", "cpu.cfs_quota_us", "cpu.max", None)],
)
def test_a_limit_is_taken_away_in_the_words_of_its_version(tmp_path, controller, v1, v2, written):
    write(tmp_path / "v1/group", v1, text="5")
    write(tmp_path / "v2/group", v2, text="5")
    found = layout(
        cgroup.Hierarchy(str(tmp_path / "v2"), unified=True),
        cgroup.Hierarchy(str(tmp_path / "v1"), frozenset({controller})),
    )
    cgroup.unlimit("/group", controller, layout=found)
    assert (tmp_path / "v2/group" / v2).read_text().startswith("max")
    assert (tmp_path / "v1/group" / v1).read_text().startswith(written or "-1")


def test_a_link_in_place_of_a_control_file_is_not_followed(tmp_path):
    write(tmp_path / "group")
    (tmp_path / "other").write_text("kept")
    os.symlink(tmp_path / "other", tmp_path / "group/pids.max")
    with pytest.raises(errors.KernelError, match="symbolic links"):
        cgroup.unlimit("/group", "pids", layout=layout(cgroup.Hierarchy(str(tmp_path), unified=True)))
    assert (tmp_path / "other").read_text() == "kept"
