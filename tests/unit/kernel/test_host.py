"""Doctor's probes against hosts that are not this one."""

from __future__ import annotations

import errno
import json
import os
import struct
import types

import pytest

from pouch.kernel import cgroup, host, process
from pouch.kernel.host import cgroups, confinement, network, programs, storage
from pouch.spec import errors

PLACE = host.Place()


def program(folder, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def elf(*, interpreter: bool, wide: bool = True) -> bytes:
    """The first bytes of a program with one load segment, and perhaps a dynamic linker's name."""
    kinds = [1, *([3] if interpreter else [])]
    if wide:
        head = b"\x7fELF\x02\x01" + b"\0" * 26 + struct.pack("<QQIHHHH", 64, 0, 0, 64, 56, len(kinds), 0)
        return head.ljust(64, b"\0") + b"".join(struct.pack("<I", kind).ljust(56, b"\0") for kind in kinds)
    head = b"\x7fELF\x01\x02" + b"\0" * 22 + struct.pack(">IIIHHHH", 52, 0, 0, 52, 32, len(kinds), 0)
    return head.ljust(52, b"\0") + b"".join(struct.pack(">I", kind).ljust(32, b"\0") for kind in kinds)


class TestExamine:
    def test_every_probe_gives_a_finding_of_its_own_name_in_order(self, monkeypatch, tmp_path):
        monkeypatch.setattr(programs, "_TIMEOUT", 0.5)
        found = host.examine(root=str(tmp_path), crun="missing", runc="missing", conmon="missing")
        assert [one.name for one in found] == [probe.name for probe in host.PROBES]
        assert len({one.name for one in found}) == len(found)
        assert all(one.found for one in found)

    @pytest.mark.parametrize(
        "failure", [ValueError("odd"), OSError(errno.EIO, "broken"), errors.KernelError("mount", "/x", errno.EPERM)]
    )
    def test_a_probe_that_fails_becomes_a_finding(self, failure):
        def look(_place: host.Place) -> host.Finding:
            raise failure

        found = host.look(host.Probe("odd", host.Level.WARNING, look), PLACE)
        assert (found.name, found.level, found.ok) == ("odd", host.Level.WARNING, False)
        assert found.found.startswith("could not be examined: ")
        assert "\n" not in found.found

    def test_fix_names_what_it_knows(self):
        with pytest.raises(errors.InvalidInput, match='no check named "x"') as caught:
            host.fix("x")
        assert "hybrid" in caught.value.hint
        with pytest.raises(errors.Unsupported, match='"overlay" cannot be mended'):
            host.fix("overlay")

    def test_only_probes_that_can_mend_say_that_they_are_fixable(self):
        assert {probe.name for probe in host.PROBES if probe.mend} == {"hybrid", "loginuid"}


@pytest.fixture
def hybrid(monkeypatch, tmp_path):
    """A hybrid host in files: v1 memory and a v2 tree whose controllers the test writes."""
    unified = tmp_path / "unified"
    unified.mkdir()
    memory = tmp_path / "memory"
    memory.mkdir()
    layout = cgroup.Layout(
        (cgroup.Hierarchy(str(unified), unified=True), cgroup.Hierarchy(str(memory), frozenset({"memory"})))
    )
    monkeypatch.setattr(cgroup, "current", lambda: layout)
    monkeypatch.setattr(cgroup, "forget", lambda: None)
    monkeypatch.setattr(cgroups, "_PLACE", str(tmp_path))
    (unified / "cgroup.controllers").write_text("\n")
    return tmp_path


class TestHybrid:
    def test_an_empty_v2_tree_is_fine(self, hybrid):
        assert cgroups.look_at_hybrid(PLACE).ok

    def test_a_controller_in_the_v2_tree_is_an_error_that_can_be_mended(self, hybrid):
        (hybrid / "unified/cgroup.controllers").write_text("hugetlb misc\n")
        found = cgroups.look_at_hybrid(PLACE)
        assert (found.level, found.fixable) == (host.Level.ERROR, True)
        assert found.found.startswith("hugetlb, misc in the v2 tree")
        assert f"mount -t cgroup -o hugetlb cgroup {hybrid}/hugetlb" in found.advice

    def test_mending_mounts_each_as_v1_and_nothing_where_none_is(self, hybrid, monkeypatch):
        calls = []
        monkeypatch.setattr(cgroups.libc, "mount", lambda *arguments: calls.append(arguments))
        cgroups.mend_hybrid()
        assert calls == []
        (hybrid / "unified/cgroup.controllers").write_text("hugetlb\n")
        cgroups.mend_hybrid()
        assert calls == [("cgroup", f"{hybrid}/hugetlb", "cgroup", 0, "hugetlb")]
        assert (hybrid / "hugetlb").is_dir()

    def test_a_refused_mount_says_who_may_be_in_the_way(self, hybrid, monkeypatch):
        def refuse(*_arguments: object) -> None:
            raise errors.KernelError("mount", "x", errno.EBUSY)

        (hybrid / "unified/cgroup.controllers").write_text("hugetlb\n")
        monkeypatch.setattr(cgroups.libc, "mount", refuse)
        with pytest.raises(errors.KernelError, match="busy") as caught:
            cgroups.mend_hybrid()
        assert "cgroup.subtree_control" in caught.value.hint

    def test_a_pure_v2_host_is_never_touched(self, hybrid, monkeypatch):
        layout = cgroup.Layout((cgroup.Hierarchy(str(hybrid / "unified"), unified=True),))
        monkeypatch.setattr(cgroup, "current", lambda: layout)
        (hybrid / "unified/cgroup.controllers").write_text("cpu memory\n")
        assert cgroups.look_at_hybrid(PLACE).ok
        assert cgroups.stray_controllers() == []


class TestHierarchies:
    def test_missing_controllers_are_named_by_what_cannot_be_limited(self, hybrid):
        found = cgroups.look_at_hierarchies(PLACE)
        assert found.level is host.Level.WARNING
        assert "cannot be limited: cpu shares and quota, which cpus, number of processes" in found.found

    def test_all_controllers_are_fine(self, hybrid):
        (hybrid / "unified/cgroup.controllers").write_text("cpu cpuset pids\n")
        assert cgroups.look_at_hierarchies(PLACE).ok
        assert sorted(os.listdir(hybrid / "memory")) == []

    @pytest.mark.parametrize(("guarded", "level"), [(True, host.Level.OK), (False, host.Level.WARNING)])
    def test_pure_v2_whose_limits_can_be_lifted_from_inside_is_told_of(self, hybrid, monkeypatch, guarded, level):
        layout = cgroup.Layout((cgroup.Hierarchy(str(hybrid / "unified"), unified=True, guarded=guarded),))
        monkeypatch.setattr(cgroup, "current", lambda: layout)
        (hybrid / "unified/cgroup.controllers").write_text("memory cpu cpuset pids\n")
        found = cgroups.look_at_hierarchies(PLACE)
        assert found.level is level
        assert guarded is (found.advice == "")
        assert guarded or f"mount -o remount,nsdelegate {hybrid}/unified" in found.advice

    def test_a_hierarchy_that_takes_no_group_is_an_error(self, hybrid):
        (hybrid / "memory").rmdir()
        found = cgroups.look_at_hierarchies(PLACE)
        assert found.level is host.Level.ERROR
        assert f"{hybrid}/memory (No such file or directory)" in found.found

    def test_without_a_v2_tree_systemd_in_containers_is_named(self, hybrid, monkeypatch):
        layout = cgroup.Layout(
            (cgroup.Hierarchy(str(hybrid / "memory"), frozenset({"memory", "cpu", "cpuset", "pids"})),)
        )
        monkeypatch.setattr(cgroup, "current", lambda: layout)
        found = cgroups.look_at_hierarchies(PLACE)
        assert found.level is host.Level.WARNING
        assert "no cgroup2" in found.found


class TestPrograms:
    def look(self, tmp_path, crun: str = "", runc: str = "") -> host.Finding:
        place = host.Place(
            crun=program(tmp_path, "crun", crun) if crun else "missing-crun",
            runc=program(tmp_path, "runc", runc) if runc else "missing-runc",
        )
        return programs.look_at_runtimes(place)

    def test_both_runtimes_are_shown_with_their_versions(self, tmp_path):
        found = self.look(tmp_path, "echo crun version 1.8.1", "echo runc version 1.1.5+ds1")
        assert (found.level, found.found) == (host.Level.OK, "crun 1.8.1, runc 1.1.5+ds1")

    def test_runc_alone_is_a_warning_and_none_an_error(self, tmp_path):
        found = self.look(tmp_path, runc="echo runc version 1.1.5")
        assert (found.level, found.found) == (host.Level.WARNING, "missing-crun is not installed, runc 1.1.5")
        assert self.look(tmp_path).level is host.Level.ERROR

    @pytest.mark.parametrize(
        ("script", "why"),
        [
            ("echo cannot open shared object >&2; exit 127", "failed: cannot open shared object"),
            ("echo hello", "failed: hello"),
            ("exit 3", "failed: exit code 3"),
        ],
    )
    def test_a_program_that_does_not_work_is_not_there(self, tmp_path, script, why):
        found = programs.look_at_conmon(host.Place(conmon=program(tmp_path, "conmon", script)))
        assert found.level is host.Level.ERROR
        assert found.found.endswith(why)

    def test_a_program_that_hangs_is_given_up(self, tmp_path, monkeypatch):
        monkeypatch.setattr(programs, "_TIMEOUT", 0.1)
        found = programs.look_at_conmon(host.Place(conmon=program(tmp_path, "conmon", "exec sleep 60")))
        assert "did not end within" in found.found

    def test_a_file_of_another_architecture_says_so(self, tmp_path):
        path = tmp_path / "conmon"
        path.write_bytes(b"\x7fELF garbage")
        path.chmod(0o755)
        assert "cannot be run: Exec format error" in programs.look_at_conmon(host.Place(conmon=str(path))).found


class TestTools:
    def look(self, tmp_path, content: bytes | None, mode: int = 0o755) -> host.Finding:
        path = tmp_path / "launch"
        if content is not None:
            path.write_bytes(content)
            path.chmod(mode)
        return programs.look_at_tools(host.Place(launch=str(path)))

    @pytest.mark.parametrize("wide", [True, False])
    def test_a_static_program_is_fine_and_a_dynamic_one_is_not(self, tmp_path, wide):
        assert self.look(tmp_path, elf(interpreter=False, wide=wide)).ok
        assert "is linked dynamically" in self.look(tmp_path, elf(interpreter=True, wide=wide)).found

    @pytest.mark.parametrize(
        ("content", "mode", "why"),
        [
            (None, 0, "No such file or directory"),
            (b"#!/bin/sh", 0o755, "is no ELF program"),
            (elf(interpreter=False), 0o644, "is no executable file"),
        ],
    )
    def test_what_cannot_run_in_a_container_is_an_error(self, tmp_path, content, mode, why):
        found = self.look(tmp_path, content, mode)
        assert found.level is host.Level.ERROR
        assert why in found.found

    def test_what_the_caller_does_not_name_is_not_looked_at(self):
        assert programs.look_at_tools(PLACE).ok


class TestConfinement:
    @pytest.mark.parametrize(
        ("missing", "level"),
        [
            (set(), host.Level.OK),
            ({"CAP_SYS_RESOURCE"}, host.Level.NOTE),
            ({"CAP_NET_RAW"}, host.Level.WARNING),
            ({"CAP_SYS_ADMIN", "CAP_NET_RAW"}, host.Level.ERROR),
        ],
    )
    def test_missing_capabilities_are_as_grave_as_what_follows(self, monkeypatch, missing, level):
        monkeypatch.setattr(process, "capabilities", lambda: frozenset(process.CAPABILITIES) - missing)
        found = confinement.look_at_capabilities(PLACE)
        assert found.level is level
        assert all(name in found.found for name in missing)

    def test_without_sys_resource_clamping_is_named(self, monkeypatch):
        monkeypatch.setattr(process, "capabilities", lambda: frozenset(process.CAPABILITIES) - {"CAP_SYS_RESOURCE"})
        assert "clamped" in confinement.look_at_capabilities(PLACE).found
        monkeypatch.setattr(process, "rlimit", lambda _name: (1024, 4096))
        found = confinement.look_at_limits(PLACE)
        assert (found.level, "at most 4096 open files" in found.found) == (host.Level.NOTE, True)
        monkeypatch.setattr(process, "rlimit", lambda _name: (1024, 1 << 20))
        assert confinement.look_at_limits(PLACE).ok

    @pytest.mark.parametrize(("value", "level"), [("4294967295", host.Level.OK), ("1000", host.Level.WARNING)])
    def test_a_login_uid_that_is_inherited_is_a_warning_that_can_be_mended(self, monkeypatch, tmp_path, value, level):
        path = tmp_path / "loginuid"
        path.write_text(value)
        monkeypatch.setattr(confinement, "_LOGINUID", str(path))
        found = confinement.look_at_loginuid(PLACE)
        assert (found.level, found.fixable) == (level, level is host.Level.WARNING)

    def test_a_kernel_without_login_uids_is_fine(self, monkeypatch, tmp_path):
        monkeypatch.setattr(confinement, "_LOGINUID", str(tmp_path / "missing"))
        assert confinement.look_at_loginuid(PLACE).ok

    def test_a_login_uid_that_the_kernel_keeps_is_an_error_of_the_fix(self, monkeypatch):
        monkeypatch.setattr(process, "unset_loginuid", lambda: False)
        with pytest.raises(errors.Unsupported, match="cannot be unset"):
            host.fix("loginuid")

    @pytest.mark.parametrize(
        ("content", "level"),
        [
            (json.dumps({"defaultAction": "x", "syscalls": [{}, {}]}), host.Level.OK),
            (None, host.Level.WARNING),
            ("{", host.Level.ERROR),
            ("[]", host.Level.ERROR),
            ("{}", host.Level.ERROR),
        ],
    )
    def test_the_seccomp_profile_is_read(self, tmp_path, content, level):
        path = tmp_path / "seccomp.json"
        if content is not None:
            path.write_text(content)
        assert confinement.look_at_seccomp(host.Place(seccomp_profile=str(path))).level is level

    def test_no_profile_wanted_is_a_warning(self):
        assert confinement.look_at_seccomp(host.Place(seccomp_profile="unconfined")).level is host.Level.WARNING

    def test_user_namespaces_at_their_limit_show_the_hint(self, monkeypatch):
        def refuse(_extents: object) -> int:
            raise errors.KernelError("clone", "user namespace", errno.ENOSPC, hint="see the limit")

        monkeypatch.setattr(confinement.namespace, "open_userns", refuse)
        found = confinement.look_at_userns(PLACE)
        assert (found.level, found.advice) == (host.Level.WARNING, "see the limit")


class TestSpace:
    def look(self, monkeypatch, free: int, files: int = 1 << 20) -> host.Finding:
        status = types.SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=100 << 30, f_files=1 << 21, f_favail=files)
        monkeypatch.setattr(storage.os, "statvfs", lambda _path: status)
        return storage.look_at_space(host.Place(root="/"))

    @pytest.mark.parametrize(
        ("free", "level"), [(50 << 30, host.Level.OK), (500 << 20, host.Level.WARNING), (50 << 20, host.Level.ERROR)]
    )
    def test_little_space_is_a_warning_and_hardly_any_an_error(self, monkeypatch, free, level):
        assert self.look(monkeypatch, free).level is level

    def test_few_files_left_is_a_warning(self, monkeypatch):
        found = self.look(monkeypatch, 50 << 30, files=12)
        assert (found.level, "room for 12 more files" in found.found) == (host.Level.WARNING, True)

    def test_a_root_that_does_not_exist_yet_is_judged_by_the_directory_above(self, tmp_path):
        assert storage.existing(str(tmp_path / "a/b/")) == str(tmp_path)
        assert storage.existing("/") == "/"


class TestNetwork:
    def look(self, monkeypatch, *chains: dict[str, object]) -> host.Finding:
        document = json.dumps({"nftables": [{"metainfo": {}}, *({"chain": chain} for chain in chains)]})
        monkeypatch.setattr(network.nft, "list_json", lambda _what: document)
        return network.look_at_firewalls(PLACE)

    def test_no_other_firewall_is_fine(self, monkeypatch):
        assert self.look(
            monkeypatch, {"family": "ip", "table": "pouch0", "name": "f", "hook": "forward", "policy": "accept"}
        ).ok

    def test_a_policy_of_drop_is_a_note_with_the_chains_name(self, monkeypatch):
        found = self.look(
            monkeypatch, {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}
        )
        assert (found.level, "ip filter FORWARD" in found.found) == (host.Level.NOTE, True)

    def test_firewalld_is_a_warning_with_the_command(self, monkeypatch):
        found = self.look(
            monkeypatch, {"family": "inet", "table": "firewalld", "name": "filter_FORWARD", "hook": "forward"}
        )
        assert (found.level, "--zone=trusted" in found.advice) == (host.Level.WARNING, True)

    def test_a_host_without_nftables_is_told_the_package(self, monkeypatch):
        def refuse() -> str:
            raise errors.Unsupported("neither is there", hint="install the package nftables")

        monkeypatch.setattr(network.nft, "available", refuse)
        found = network.look_at_nftables(PLACE)
        assert (found.level, found.advice) == (host.Level.ERROR, "install the package nftables")
