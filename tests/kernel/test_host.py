"""Doctor on this kernel: it finds what works and what was taken away, and leaves no trace."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support import kernel, network

from pouch.kernel import cgroup, host, mount, nft, rtnetlink
from pouch.kernel.host import cgroups, storage

pytestmark = kernel.needs(kernel.private_mount_namespace, kernel.network_namespaces)


def links() -> list[str]:
    with rtnetlink.RouteSocket() as sock:
        return [link.name for link in sock.links()]


def test_it_leaves_no_file_mount_link_or_rule(tmp_path):
    before = (links(), nft.list_json("ruleset"))
    host.examine(root=str(tmp_path))
    assert (links(), nft.list_json("ruleset")) == before
    assert os.listdir(tmp_path) == []
    assert not [name for each in cgroup.current().hierarchies for name in os.listdir(each.point) if "probe-" in name]


@kernel.needs(kernel.overlay_mounts, kernel.idmapped_mounts, network.bridges_and_rules)
def test_what_works_here_is_found_to_work(tmp_path):
    found = {one.name: one for one in host.examine(root=str(tmp_path))}
    for name in ("overlay", "idmap", "userns", "nftables", "bridge", "space"):
        assert found[name].ok, found[name]


class TestStorage:
    @pytest.fixture
    def upper(self, place) -> Iterator[str]:
        """The root on an overlay, as in a container of another engine."""
        for name in ("lower", "upper", "work", "merged"):
            (place / name).mkdir()
        mount.overlay([str(place / "lower")], str(place / "upper"), str(place / "work"), str(place / "merged"))
        yield str(place / "merged")
        mount.unmount(str(place / "merged"))

    @kernel.needs(kernel.overlay_mounts)
    @pytest.mark.parametrize(("snapshotter", "level"), [("auto", host.Level.WARNING), ("overlay", host.Level.ERROR)])
    def test_a_root_on_an_overlay_is_a_finding_with_advice(self, upper, snapshotter, level):
        found = storage.look_at_overlay(host.Place(root=upper, snapshotter=snapshotter))
        assert found.level is level
        assert "(overlay)" in found.found
        assert ("native snapshotter" in found.found) is (snapshotter == "auto")
        assert "ext4" in found.advice
        assert storage.look_at_idmap(host.Place(root=upper)).level is host.Level.WARNING
        assert os.listdir(upper) == []

    @kernel.needs(kernel.idmapped_mounts)
    def test_the_native_snapshotter_is_told_and_needs_no_overlay(self, place):
        asked = host.Place(root=str(place), snapshotter="native")
        assert "native snapshotter copies" in storage.look_at_overlay(asked).found
        assert storage.look_at_idmap(asked).ok
        assert "idmapped copies work" in storage.look_at_idmap(asked).found

    def test_a_root_that_nothing_can_be_written_to_is_an_error(self, place):
        mount.bind(str(place), str(place), read_only=True)
        assert storage.look_at_overlay(host.Place(root=str(place))).level is host.Level.ERROR
        mount.unmount(str(place))

    @kernel.needs(kernel.overlay_mounts)
    def test_the_probe_of_an_overlay_leaves_nothing_on_it(self, upper):
        storage.look_at_overlay(host.Place(root=upper))
        assert os.listdir(upper) == []

    def test_a_read_only_root_is_a_finding_too(self, place):
        mount.bind(str(place), str(place), read_only=True)
        found = host.look(next(one for one in host.PROBES if one.name == "overlay"), host.Place(root=str(place)))
        assert found.level is host.Level.ERROR
        assert "Read-only file system" in found.found
        mount.unmount(str(place))

    def test_a_whiteout_is_what_the_overlay_probe_makes(self, place):
        """The probe must exercise what a container does, and not only mount."""
        seen = []

        def attempt(directory: str) -> None:
            storage._overlay(directory)
            seen.append(os.lstat(f"{directory}/rw/upper/file"))

        storage.try_in_directory(host.Place(root=str(place)), attempt)
        assert stat.S_ISCHR(seen[0].st_mode)

    def test_quota_is_a_note_or_fine_but_never_an_error(self, place):
        assert storage.look_at_quota(host.Place(root=str(place))).level in (host.Level.NOTE, host.Level.OK)

    def test_the_file_system_is_named(self, place):
        assert storage.file_system("/proc") == "proc"
        assert storage.file_system("/") != "unknown file system"


class TestCgroups:
    @kernel.needs(kernel.writable_cgroups)
    def test_groups_can_be_made_here(self):
        assert cgroups.look_at_hierarchies(host.Place()).level is not host.Level.ERROR

    @kernel.needs(kernel.writable_cgroups)
    def test_a_read_only_hierarchy_is_an_error(self, private_mounts):
        point = cgroup.current().hierarchies[0].point
        mount.bind(point, point, read_only=True)
        found = cgroups.look_at_hierarchies(host.Place())
        assert found.level is host.Level.ERROR
        assert f"{point} (Read-only file system)" in found.found

    def test_mending_a_host_that_is_well_changes_nothing(self):
        if cgroups.stray_controllers():
            pytest.skip("this host has the fault: pouch doctor --fix mends it")
        before = mount.mount_points("/sys/fs/cgroup")
        host.fix("hybrid")
        assert mount.mount_points("/sys/fs/cgroup") == before

    @kernel.needs(kernel.writable_cgroups)
    def test_mending_mounts_a_v1_hierarchy(self, private_mounts, monkeypatch):
        """With a v1 controller that is unmounted here only, as the fault cannot be made while others' groups use hugetlb."""
        single = [each for each in cgroup.current().hierarchies if len(each.controllers) == 1 and not each.unified]
        named = [each for each in single if each.point == f"/sys/fs/cgroup/{min(each.controllers)}"]
        if not named:
            pytest.skip("no controller has a v1 hierarchy of its own here")
        point, name = named[0].point, min(named[0].controllers)
        groups = sorted(os.listdir(point))
        mount.unmount(point)
        assert not mount.is_mount_point(point)
        monkeypatch.setattr(cgroups, "stray_controllers", lambda: [name])
        cgroups.mend_hybrid()
        assert sorted(os.listdir(point)) == groups


def test_an_inherited_login_uid_is_found_and_taken_back():
    """In a process of its own, which first takes a login uid as sshd would give it."""
    code = """
import sys
from pouch.kernel import host
probe = next(one for one in host.PROBES if one.name == "loginuid")
try:
    open("/proc/self/loginuid", "w").write("1000")
except OSError as error:
    sys.exit(f"skip: {error}")
found = host.look(probe, host.Place())
assert (found.level, found.fixable) == ("warning", True), found
assert "uid 1000" in found.found
host.fix("loginuid")
assert host.look(probe, host.Place()).ok
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if "skip: " in done.stderr:
        pytest.skip(f"no login uid can be set here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")
