"""Where a container sits in the group that its runtime was told, and where its exec processes go."""

import re

import pytest

from pouch.engine import groups
from pouch.engine import record as records
from pouch.engine.settings import CgroupManager as Manager
from pouch.kernel import cgroup
from pouch.spec import errors

SCOPE = "/system.slice/pouch-ab.scope"


def run(inner="", cgroups_path="system.slice:pouch:ab"):
    return records.Run(
        pid=7, pid_start=1, monitor_pid=1, monitor_start=1, runtime="crun", cgroups_path=cgroups_path, stop=(), inner_group=inner
    )  # fmt: skip


@pytest.fixture
def host(monkeypatch):
    """A host of pure v2; host["place"] is where process 7 is, None when it is gone."""
    now = {"place": SCOPE, "mode": cgroup.Mode.V2}

    def place(pid, layout=None):
        if now["place"] is None:
            raise errors.NotFound("process 7 is gone")
        return now["place"]

    monkeypatch.setattr(cgroup, "process_cgroup", place)
    monkeypatch.setattr(cgroup, "mode", lambda: now["mode"])
    return now


@pytest.mark.parametrize(
    ("manager", "mode", "there", "parent", "expected"),
    [
        (Manager.AUTO, cgroup.Mode.V2, "system bus", "", True),
        (Manager.AUTO, cgroup.Mode.V2, "system bus", "machine.slice", True),
        (Manager.AUTO, cgroup.Mode.V2, "system bus", "boxes", False),
        (Manager.AUTO, cgroup.Mode.V2, "system", "", False),
        (Manager.AUTO, cgroup.Mode.V2, "bus", "", False),
        (Manager.AUTO, cgroup.Mode.HYBRID, "system bus", "", False),
        (Manager.SYSTEMD, cgroup.Mode.HYBRID, "", "", True),
        (Manager.CGROUPFS, cgroup.Mode.V2, "system bus", "", False),
    ],
)
def test_systemd_makes_the_groups_where_it_can_be_asked_unless_told_otherwise(
    host, monkeypatch, tmp_path, manager, mode, there, parent, expected
):
    host["mode"] = mode
    for name in there.split():
        (tmp_path / name).mkdir()
    monkeypatch.setattr(groups, "_RUNS_SYSTEMD", str(tmp_path / "system"))
    monkeypatch.setattr(groups, "_BUS", str(tmp_path / "bus"))
    assert groups.by_systemd(manager, parent) is expected


@pytest.mark.parametrize(
    ("parent", "systemd", "expected"),
    [
        ("", True, "system.slice:pouch:ab"),
        ("machine-boxes.slice", True, "machine-boxes.slice:pouch:ab"),
        ("", False, "/pouch/ab"),
        ("/boxes/mine/", False, "/boxes/mine/ab"),
    ],
)
def test_a_runtime_is_told_in_the_managers_form(parent, systemd, expected):
    assert groups.told(parent, "ab", systemd=systemd) == expected


@pytest.mark.parametrize(
    ("parent", "systemd", "words"),
    [
        ("boxes", True, 'should be a valid slice named as "xxx.slice", not "boxes"'),
        ("a/b.slice", True, "invalid cgroup path"),
        ("a--b.slice", True, 'invalid slice name "a--b.slice"'),
        ("../system.slice", False, "invalid cgroup path"),
    ],
)
def test_a_parent_that_is_none_is_refused(parent, systemd, words):
    with pytest.raises(errors.InvalidInput, match=re.escape(words)):
        groups.told(parent, "ab", systemd=systemd)


def test_a_daemons_parent_that_is_none_is_refused_at_once():
    with pytest.raises(errors.InvalidInput, match="valid slice"):
        groups.by_systemd(Manager.SYSTEMD, "boxes")


def test_a_runtimes_own_inner_group_is_the_containers(host):
    host["place"] = f"{SCOPE}/container"
    assert groups.of_created("system.slice:pouch:ab", 7) == "container"
    assert groups.path(run("container")) == f"{SCOPE}/container"
    assert groups.path(run(cgroups_path="/pouch/ab")) == "/pouch/ab"


def test_a_container_that_cannot_be_found_is_taken_to_be_where_it_was_told(host):
    for place in (None, "/elsewhere", ""):
        host["place"] = place
        assert groups.of_created("system.slice:pouch:ab", 7) == ""


@pytest.mark.parametrize(
    ("inner", "place", "wanted"),
    [
        ("", SCOPE, ""),
        ("", f"{SCOPE}/init.scope", "init.scope"),
        ("container", f"{SCOPE}/container", ""),
        ("container", f"{SCOPE}/container/init.scope", "init.scope"),
    ],
)
def test_an_exec_process_goes_where_init_sits_as_the_runtime_counts(host, inner, place, wanted):
    host["place"] = place
    assert groups.of_init(run(inner)) == wanted


def test_where_limits_are_in_v1_an_exec_process_joins_the_container_itself(host):
    host |= {"mode": cgroup.Mode.HYBRID, "place": f"{SCOPE}/init.scope"}
    assert groups.of_init(run()) == ""


def test_an_init_that_is_gone_is_left_to_the_runtime_to_complain_of(host):
    host["place"] = None
    assert groups.of_init(run()) == ""
