"""Cgroup layouts and paths, without a kernel: mountinfo as text, hierarchies as directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pouch.kernel import cgroup
from pouch.spec import errors

V2 = ["30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot"]
HYBRID = [
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
    "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory,clone_children",
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd",
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate",
]


def tree(tmp_path: Path, *, unified: bool = True) -> cgroup.Layout:
    """Two hierarchies as plain directories."""
    hierarchies = [
        cgroup.Hierarchy(str(tmp_path / "systemd"), frozenset({"name=systemd"})),
        cgroup.Hierarchy(str(tmp_path / "memory"), frozenset({"memory"})),
    ]
    if unified:
        hierarchies.insert(0, cgroup.Hierarchy(str(tmp_path / "unified"), unified=True))
    for hierarchy in hierarchies:
        os.makedirs(hierarchy.point)
    return cgroup.Layout(tuple(hierarchies))


class TestLayout:
    def test_one_cgroup2_mount_is_v2(self):
        layout = cgroup.parse(V2)
        assert cgroup.mode(layout=layout) is cgroup.Mode.V2
        assert cgroup.unified_root(layout=layout) == "/sys/fs/cgroup"

    def test_v1_with_cgroup2_beside_it_is_hybrid(self):
        layout = cgroup.parse(HYBRID)
        assert cgroup.mode(layout=layout) is cgroup.Mode.HYBRID
        assert cgroup.unified_root(layout=layout) == "/sys/fs/cgroup/unified"
        assert [each.point for each in layout.hierarchies[:2]] == ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"]

    def test_v1_alone_is_v1_and_has_no_unified_root(self):
        layout = cgroup.parse(HYBRID[:-1])
        assert cgroup.mode(layout=layout) is cgroup.Mode.V1
        assert cgroup.unified_root(layout=layout) == ""
        assert layout.tracking is not None
        assert layout.tracking.point == "/sys/fs/cgroup/systemd"

    def test_options_and_names_are_no_controllers(self):
        assert cgroup.available_controllers(layout=cgroup.parse(HYBRID[:-1])) == {"cpu", "cpuacct", "memory"}

    def test_v2_controllers_are_read_from_the_tree(self, tmp_path):
        (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
        layout = cgroup.Layout((cgroup.Hierarchy(str(tmp_path), unified=True),))
        assert cgroup.available_controllers(layout=layout) == {"cpu", "io", "memory", "pids"}

    def test_a_container_s_or_partial_mount_does_not_hide_the_host_s(self):
        other = "90 24 0:26 / /var/lib/x/rootfs/sys/fs/cgroup rw - cgroup2 cgroup2 rw"
        part = "91 24 0:26 /machine /sys/fs/cgroup/part rw - cgroup2 cgroup2 rw"
        assert cgroup.parse([other, part, *V2]).hierarchies == cgroup.parse(V2).hierarchies

    def test_where_only_a_part_is_mounted_that_is_used(self):
        layout = cgroup.parse(["30 24 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup rw"])
        assert cgroup.unified_root(layout=layout) == "/sys/fs/cgroup"

    def test_a_mount_point_with_a_space_is_taken_as_it_is(self):
        layout = cgroup.parse([r"30 24 0:26 / /mnt/a\040b rw - cgroup2 cgroup2 rw"])
        assert cgroup.unified_root(layout=layout) == "/mnt/a b"


class TestPaths:
    @pytest.mark.parametrize(
        ("given", "path"),
        [
            ("/pouch/abc", "/pouch/abc"),
            ("//pouch/./abc/", "/pouch/abc"),
            ("machine.slice:pouch:ID", "/machine.slice/pouch-ID.scope"),
            (":pouch:ID", "/system.slice/pouch-ID.scope"),
            ("machine.slice::ID", "/machine.slice/ID.scope"),
            ("-.slice:pouch:ID", "/pouch-ID.scope"),
            ("a-b-c.slice:cri:ID", "/a.slice/a-b.slice/a-b-c.slice/cri-ID.scope"),
            ("a.slice:pouch:x.slice", "/a.slice/x.slice"),
        ],
    )
    def test_both_spellings_lead_below_the_mount_points(self, given, path):
        assert cgroup.path_of(given) == path

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "/",
            "/.",
            "/../x",
            "/pouch/../..",
            "relative",
            "a:b",
            "a:b:c:d",
            "/x\0y",
            "a.slice:p:",
            "a.slice:p/q:x",
            "-.slice:p:",
        ],
    )
    def test_what_is_no_group_of_its_own_is_refused(self, given):
        with pytest.raises(errors.InvalidInput, match="invalid cgroup path"):
            cgroup.path_of(given)

    @pytest.mark.parametrize("name", ["machine", "a--b.slice", "-a.slice", "a-.slice", ".slice", "a/b.slice"])
    def test_slices_that_systemd_does_not_know_are_refused(self, name):
        with pytest.raises(errors.InvalidInput, match="invalid slice name"):
            cgroup.expand_slice(name)


@pytest.mark.parametrize(("options", "guarded"), [("rw,nsdelegate,memory_recursiveprot", True), ("rw", False)])
def test_a_v2_tree_says_whether_a_namespaces_limits_are_guarded(options, guarded):
    layout = cgroup.parse([f"30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 {options}"])
    assert layout.hierarchies == (cgroup.Hierarchy("/sys/fs/cgroup", unified=True, guarded=guarded),)


class TestGroups:
    def test_directories_are_those_that_exist_the_unified_one_first(self, tmp_path):
        layout = tree(tmp_path)
        for name in ("memory", "unified"):
            (tmp_path / name / "pouch/x").mkdir(parents=True)
        found = cgroup.container_directories("/pouch/x", layout=layout)
        assert found == [f"{tmp_path}/unified/pouch/x", f"{tmp_path}/memory/pouch/x"]

    def test_pids_are_those_of_the_whole_tree_but_for_foreign_ones(self, tmp_path):
        layout = tree(tmp_path)
        for name, text in (("", "7\n0\n"), ("a", "12\n"), ("a/b", "3\n5\n")):
            place = tmp_path / "unified/pouch/x" / name
            place.mkdir(parents=True, exist_ok=True)
            (place / "cgroup.procs").write_text(text)
        assert cgroup.pids("/pouch/x", layout=layout) == [3, 5, 7, 12]
        assert cgroup.pids("/pouch/none", layout=layout) == []

    def test_remove_takes_the_tree_in_every_hierarchy_and_what_is_missing_is_fine(self, tmp_path):
        layout = tree(tmp_path)
        for name in ("unified/pouch/x/a/b", "unified/pouch/x/c", "memory/pouch/x/a", "memory/pouch/other"):
            (tmp_path / name).mkdir(parents=True)
        cgroup.remove("/pouch/x", layout=layout)
        cgroup.remove("/pouch/x", layout=layout)
        assert os.listdir(tmp_path / "unified/pouch") == []
        assert os.listdir(tmp_path / "memory/pouch") == ["other"]

    def test_what_cannot_be_removed_does_not_keep_the_others(self, tmp_path):
        layout = tree(tmp_path)
        for name in ("unified/pouch/x/file", "memory/pouch/x"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "unified/pouch/x/file/in").touch()
        with pytest.raises(errors.KernelError, match="rmdir"):
            cgroup.remove("/pouch/x", layout=layout)
        assert os.listdir(tmp_path / "memory/pouch") == []

    def test_kills_for_want_of_memory_are_counted_where_v2_counts_them(self, tmp_path):
        layout = tree(tmp_path)
        assert (cgroup.memory_events("/pouch/x", layout=layout), cgroup.oom_kills("/pouch/x", layout=layout)) == ("", 0)
        (tmp_path / "unified/pouch/x").mkdir(parents=True)
        assert (cgroup.memory_events("/pouch/x", layout=layout), cgroup.oom_kills("/pouch/x", layout=layout)) == ("", 0)
        counter = tmp_path / "unified/pouch/x/memory.events"
        counter.write_text("low 0\nhigh 0\nmax 35\noom 9\noom_kill 3\noom_group_kill 0\n")
        assert cgroup.memory_events("/pouch/x", layout=layout) == str(counter)
        assert cgroup.oom_kills("/pouch/x", layout=layout) == 3
        counter.write_text("low 0\n")
        assert cgroup.oom_kills("/pouch/x", layout=layout) == 0

    def test_delegating_a_missing_group_is_not_found(self, tmp_path):
        with pytest.raises(errors.NotFound, match="pouch/x does not exist"):
            cgroup.delegate("/pouch/x", 1, 1, layout=tree(tmp_path))


class TestProcesses:
    LINES = ("9:name=systemd:/user.slice\n", "4:memory:/m:n\n", "0::/pouch/a:b\n")

    def test_the_path_is_the_unified_one_or_systemd_s(self):
        assert cgroup.cgroup_in(self.LINES, unified=True) == "/pouch/a:b"
        assert cgroup.cgroup_in(self.LINES, unified=False) == "/user.slice"
        assert cgroup.cgroup_in([], unified=True) == ""

    def test_our_own_is_found_whatever_the_mode(self, tmp_path):
        with open("/proc/self/cgroup") as lines:
            expected = cgroup.cgroup_in(lines, unified=True)
        assert cgroup.process_cgroup(os.getpid(), layout=tree(tmp_path)) == expected

    def test_a_process_that_is_gone_is_not_found(self, tmp_path):
        with pytest.raises(errors.NotFound):
            cgroup.process_cgroup(1 << 30, layout=tree(tmp_path))

    @pytest.mark.parametrize(
        ("place", "wanted"),
        [
            ("/system.slice/pouch-ab.scope", ""),
            ("/system.slice/pouch-ab.scope/container", "container"),
            ("/system.slice/pouch-ab.scope/container/init.scope", "container/init.scope"),
            ("/../system.slice/pouch-ab.scope/x", "x"),
            ("/system.slice/pouch-ab.scope/system.slice/pouch-ab.scope/y", "system.slice/pouch-ab.scope/y"),
        ],
    )
    def test_where_a_process_sits_below_a_group(self, monkeypatch, place, wanted):
        monkeypatch.setattr(cgroup, "process_cgroup", lambda pid, layout=None: place)
        assert cgroup.below("system.slice:pouch:ab", 1) == wanted

    @pytest.mark.parametrize("place", ["", "/", "/user.slice", "/system.slice/pouch-ab.scopes", "/system.slice"])
    def test_a_process_elsewhere_is_not_below_a_group(self, monkeypatch, place):
        monkeypatch.setattr(cgroup, "process_cgroup", lambda pid, layout=None: place)
        with pytest.raises(errors.NotFound, match=r"process 1 is not in cgroup /system.slice/pouch-ab.scope"):
            cgroup.below("system.slice:pouch:ab", 1)


@pytest.mark.parametrize(("text", "wanted"), [("0", {0}), ("0-2,5", {0, 1, 2, 5}), (" 3 , 4", {3, 4}), ("2-1", set())])
def test_a_list_of_numbers_is_read(text, wanted):
    assert cgroup.parse_list(text) == wanted


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1-2-3", "1,,2", "99999999999", "0-9999999999", "²"])
def test_what_is_no_list_of_numbers_is_refused(text):
    with pytest.raises(errors.InvalidInput):
        cgroup.parse_list(text)
