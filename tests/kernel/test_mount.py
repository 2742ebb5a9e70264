"""Mounts on the real kernel."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import kernel

from pouch.kernel import libc, mount, namespace
from pouch.spec import errors

pytestmark = [
    kernel.needs(kernel.private_mount_namespace, kernel.overlay_mounts),
    pytest.mark.usefixtures("private_mounts"),
]
BASE = 300_000
EXTENTS = [(0, BASE, 65536), (65536, 0, 1)]


def layers(place: Path, count: int) -> list[str]:
    """Directories `l0` ..., each with a file of its own and a file `same` with its number; the top layer first."""
    found = []
    for number in range(count):
        layer = place / f"l{number}"
        layer.mkdir()
        (layer / f"only{number}").write_text(str(number))
        (layer / "same").write_text(str(number))
        found.append(str(layer))
    return found


def writable(place: Path) -> tuple[str, str, str]:
    """upper, work, target."""
    made = [place / "rw/upper", place / "rw/work", place / "target"]
    for each in made:
        each.mkdir(parents=True)
    return str(made[0]), str(made[1]), str(made[2])


@contextlib.contextmanager
def userns() -> Iterator[int]:
    fd = namespace.open_userns(EXTENTS)
    try:
        yield fd
    finally:
        os.close(fd)


class TestOverlay:
    def test_the_first_layer_is_the_top_one(self, place):
        upper, work, target = writable(place)
        mount.overlay(layers(place, 3), upper, work, target)
        assert Path(target, "same").read_text() == "0"
        assert sorted(os.listdir(target)) == ["only0", "only1", "only2", "same"]

    def test_what_is_written_lands_in_upper_alone(self, place):
        upper, work, target = writable(place)
        lower = layers(place, 2)
        mount.overlay(lower, upper, work, target)
        Path(target, "same").write_text("new")
        assert Path(upper, "same").read_text() == "new"
        assert Path(lower[0], "same").read_text() == "0"

    def test_150_layers_with_long_paths_make_one_overlay(self, place):
        deep = place / ("d" * 200) / ("e" * 100)
        deep.mkdir(parents=True)
        upper, work, target = writable(place)
        mount.overlay(layers(deep, 150), upper, work, target)
        assert len(os.listdir(target)) == 151

    def test_names_with_the_separators_of_mount_options_are_taken_as_they_are(self, place):
        odd = place / "a:b,c\\d e"
        odd.mkdir()
        upper, work, target = writable(odd)
        mount.overlay(layers(odd, 2), upper, work, target)
        assert Path(target, "same").read_text() == "0"

    def test_without_upper_it_is_read_only(self, place):
        target = writable(place)[2]
        mount.overlay(layers(place, 2), "", "", target)
        with pytest.raises(OSError, match="Read-only") as caught:
            Path(target, "new").touch()
        assert caught.value.errno == errno.EROFS

    def test_a_single_layer_without_upper_is_shown_read_only(self, place):
        target = writable(place)[2]
        mount.overlay(layers(place, 1), "", "", target)
        assert Path(target, "same").read_text() == "0"
        with pytest.raises(OSError, match="Read-only"):
            Path(target, "new").touch()

    def test_options_of_overlayfs_and_of_mounts_are_both_taken(self, place):
        upper, work, target = writable(place)
        mount.overlay(layers(place, 2), upper, work, target, options=("userxattr", "volatile", "nodev", "nosuid"))
        line = next(each for each in Path("/proc/self/mountinfo").read_text().splitlines() if f" {target} " in each)
        assert "nosuid,nodev" in line.split()[5]
        assert "userxattr" in line
        assert "volatile" in line

    def test_an_unknown_option_fails_with_what_the_file_system_said(self, place):
        upper, work, target = writable(place)
        with pytest.raises(errors.KernelError) as caught:
            mount.overlay(layers(place, 2), upper, work, target, options=("nonsense=1",))
        assert caught.value.errno == errno.EINVAL
        assert "nonsense" in caught.value.hint
        assert not mount.is_mount_point(target)

    def test_a_missing_layer_is_named(self, place):
        upper, work, target = writable(place)
        with pytest.raises(errors.KernelError) as caught:
            mount.overlay([str(place / "none"), *layers(place, 2)], upper, work, target)
        assert caught.value.errno == errno.ENOENT
        assert "none" in str(caught.value)

    @pytest.mark.parametrize("count", [130, 500])
    def test_a_kernel_without_the_new_calls_gets_the_same_overlay(self, place, monkeypatch, count):
        def missing(*_arguments):
            raise errors.KernelError("fsopen", "overlay", errno.ENOSYS)

        monkeypatch.setattr(libc, "fsopen", missing)
        upper, work, target = writable(place)
        here = os.getcwd()
        mount.overlay(layers(place, count), upper, work, target, options=("volatile", "nosuid"))
        assert len(os.listdir(target)) == count + 1
        assert os.statvfs(target).f_flag & os.ST_NOSUID
        assert os.getcwd() == here

    def test_what_such_a_kernel_refuses_of_many_layers_is_told(self, place, monkeypatch):
        def missing(*_arguments):
            raise errors.KernelError("fsopen", "overlay", errno.ENOSYS)

        monkeypatch.setattr(libc, "fsopen", missing)
        upper, _, target = writable(place)
        with pytest.raises(errors.KernelError):
            mount.overlay(layers(place, 400), upper, upper, target)
        assert not mount.is_mount_point(target)

    @pytest.mark.parametrize("count", [0, 501])
    def test_more_layers_than_the_kernel_takes_are_refused_with_the_limit(self, place, count):
        with pytest.raises(errors.InvalidInput, match=f"has {count} layers: expected 1 to 500"):
            mount.overlay(["/"] * count, *writable(place))


@kernel.needs(kernel.user_namespaces, kernel.idmapped_mounts)
class TestIdmap:
    """The recipe that containers in a user namespace stand on (docs/decisions/0005)."""

    def overlay(self, place: Path, count: int) -> tuple[str, str]:
        """upper on the disk, target."""
        upper, _, target = writable(place)
        clones = []
        with userns() as fd:
            for number, layer in enumerate([*layers(place, count), str(place / "rw")]):
                clone = place / f"clone{number}"
                clone.mkdir()
                mount.idmapped_clone(layer, str(clone), fd)
                clones.append(str(clone))
        mount.overlay(clones[:-1], f"{clones[-1]}/upper", f"{clones[-1]}/work", target)
        return upper, target

    def test_files_of_the_image_appear_with_the_range_s_ids(self, place):
        (place / "probe").touch()
        _, target = self.overlay(place, 2)
        os.chown(place / "l1/only1", 1000, 33)
        found = os.stat(f"{target}/only1")
        assert (found.st_uid, found.st_gid) == (BASE + 1000, BASE + 33)

    def test_what_the_mapped_root_makes_is_stored_as_root_s(self, place):
        upper, target = self.overlay(place, 2)
        place.chmod(0o755)
        for parent in place.parents:
            with contextlib.suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
        assert kernel.run_as(BASE, lambda: Path(target, "new").write_text("x")) == 0
        assert os.stat(f"{upper}/new").st_uid == 0
        assert os.stat(f"{target}/new").st_uid == BASE

    def test_the_host_s_root_can_write_too(self, place):
        upper, target = self.overlay(place, 2)
        Path(target, "host").touch()
        os.chown(f"{target}/host", BASE, BASE)
        assert os.stat(f"{upper}/host").st_uid == 0

    def test_a_mapped_user_s_change_copies_up_with_its_own_id_on_disk(self, place):
        upper, target = self.overlay(place, 2)
        os.chown(place / "l0/only0", 1000, 1000)
        with open(f"{target}/only0", "a") as file:
            file.write("more")
        assert os.stat(f"{upper}/only0").st_uid == 1000

    def test_ids_beyond_the_range_can_be_stored_by_nobody(self, place):
        _, target = self.overlay(place, 2)
        Path(target, "file").touch()
        with pytest.raises(OSError) as caught:
            os.chown(f"{target}/file", BASE - 1, BASE - 1)
        assert caught.value.errno == errno.EOVERFLOW

    def test_120_mapped_layers_are_quick(self, place):
        began = time.perf_counter()
        _, target = self.overlay(place, 120)
        assert len(os.listdir(target)) == 121
        assert time.perf_counter() - began < 5  # 0.05 s on the project's machine: this catches a change of order alone

    def test_the_namespace_outlives_its_descriptor_in_the_mount(self, place):
        _, target = self.overlay(place, 1)
        assert os.stat(f"{target}/only0").st_uid == BASE

    def test_a_file_system_that_cannot_says_so(self, place):
        target = place / "target"
        target.mkdir()
        with userns() as fd, pytest.raises(errors.KernelError) as caught:
            mount.idmapped_clone("/proc", str(target), fd)
        assert caught.value.errno == errno.EINVAL
        assert caught.value.syscall == "mount_setattr"
        assert not mount.is_mount_point(str(target))


class TestBind:
    @pytest.fixture
    def old_kernel(self, monkeypatch):
        def missing(*_arguments, **_more):
            raise errors.KernelError("mount_setattr", "here", errno.ENOSYS)

        monkeypatch.setattr(libc, "mount_setattr", missing)

    @pytest.mark.parametrize("read_only", [False, True])
    def test_a_kernel_without_mount_setattr_gets_the_same(self, place, old_kernel, read_only):
        for name in ("a", "b"):
            (place / name).mkdir()
        mount.tmpfs(f"{place}/a", size="1m")
        (place / "a/file").write_text("x")
        mount.bind(f"{place}/a", f"{place}/b", read_only=read_only)
        assert (place / "b/file").read_text() == "x"
        flags = os.statvfs(f"{place}/b").f_flag
        assert bool(flags & os.ST_RDONLY) is read_only
        assert flags & os.ST_NOSUID
        assert not os.statvfs(f"{place}/a").f_flag & os.ST_RDONLY

    def test_a_kernel_without_mount_setattr_makes_no_tree_read_only(self, place, old_kernel):
        for name in ("a", "b"):
            (place / name).mkdir()
        with pytest.raises(errors.KernelError, match="mount_setattr"):
            mount.bind(f"{place}/a", f"{place}/b", recursive=True, read_only=True)
        assert not mount.is_mount_point(f"{place}/b")

    def test_it_shows_the_same_files(self, place):
        (place / "a").mkdir()
        (place / "b").mkdir()
        mount.bind(f"{place}/a", f"{place}/b")
        (place / "b/file").write_text("x")
        assert (place / "a/file").read_text() == "x"

    def test_a_file_can_be_bound(self, place):
        (place / "a").write_text("a")
        (place / "b").write_text("b")
        mount.bind(f"{place}/a", f"{place}/b", read_only=True)
        assert (place / "b").read_text() == "a"
        with pytest.raises(OSError, match="Read-only"):
            (place / "b").write_text("c")

    def test_read_only_leaves_the_source_writable(self, place):
        (place / "a").mkdir()
        (place / "b").mkdir()
        mount.bind(f"{place}/a", f"{place}/b", read_only=True)
        (place / "a/file").touch()
        with pytest.raises(OSError, match="Read-only"):
            (place / "b/other").touch()

    def test_recursive_and_read_only_hold_for_the_mounts_below(self, place):
        (place / "a/in").mkdir(parents=True)
        (place / "b").mkdir()
        mount.tmpfs(f"{place}/a/in")
        (place / "a/in/file").touch()
        mount.bind(f"{place}/a", f"{place}/b", recursive=True, read_only=True)
        assert (place / "b/in/file").exists()
        with pytest.raises(OSError, match="Read-only"):
            (place / "b/in/other").touch()

    def test_without_recursive_the_mounts_below_are_not_shown(self, place):
        (place / "a/in").mkdir(parents=True)
        (place / "b").mkdir()
        mount.tmpfs(f"{place}/a/in")
        (place / "a/in/file").touch()
        mount.bind(f"{place}/a", f"{place}/b")
        assert os.listdir(place / "b/in") == []

    def test_a_link_as_target_is_not_followed(self, place):
        (place / "a").mkdir()
        (place / "victim").mkdir()
        (place / "link").symlink_to(place / "victim")
        with pytest.raises(errors.KernelError):
            mount.bind(f"{place}/a", f"{place}/link")
        assert not mount.is_mount_point(f"{place}/victim")

    def test_what_is_mounted_later_below_a_shared_source_does_not_arrive(self, place):
        for name in ("a/in", "b"):
            (place / name).mkdir(parents=True)
        mount.bind(f"{place}/a", f"{place}/a")
        libc.mount("none", f"{place}/a", "", 1 << 20, "")  # MS_SHARED
        mount.bind(f"{place}/a", f"{place}/b")
        mount.tmpfs(f"{place}/a/in")
        assert not mount.is_mount_point(f"{place}/b/in")


class TestTmpfs:
    def test_it_has_the_size_mode_and_owner_that_were_asked(self, place):
        mount.tmpfs(str(place), size="64k", mode=0o1777, uid=7, gid=8)
        found = os.stat(place)
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o1777, 7, 8)
        space = os.statvfs(place)
        assert space.f_frsize * space.f_blocks == 64 << 10
        assert space.f_flag & os.ST_NOSUID
        assert space.f_flag & os.ST_NODEV

    @pytest.mark.parametrize("size", ["1k,mode=777", "big", "-1", "1 k"])
    def test_a_size_that_is_none_is_refused(self, place, size):
        with pytest.raises(errors.InvalidInput, match="invalid tmpfs size"):
            mount.tmpfs(str(place), size=size)


class TestUnmount:
    def test_a_mount_in_use_goes_too(self, place):
        (place / "m").mkdir()
        mount.tmpfs(f"{place}/m")
        with open(place / "m/file", "w") as file:
            mount.unmount(f"{place}/m")
            file.write("still there")
        assert not mount.is_mount_point(f"{place}/m")

    def test_without_detach_a_mount_in_use_is_an_error(self, place):
        (place / "m").mkdir()
        mount.tmpfs(f"{place}/m")
        with open(place / "m/file", "w"), pytest.raises(errors.KernelError) as caught:
            mount.unmount(f"{place}/m", detach=False)
        assert caught.value.errno == errno.EBUSY

    def test_what_is_no_mount_or_missing_is_fine_unless_it_must_be_one(self, place):
        (place / "m").mkdir()
        for path in (f"{place}/m", f"{place}/none"):
            mount.unmount(path)
            with pytest.raises(errors.KernelError):
                mount.unmount(path, missing_ok=False)

    def test_a_link_to_a_mount_is_not_followed(self, place):
        (place / "m").mkdir()
        mount.tmpfs(f"{place}/m")
        (place / "link").symlink_to(place / "m")
        mount.unmount(f"{place}/link")
        assert mount.is_mount_point(f"{place}/m")

    def test_all_below_go_deepest_first_also_where_two_lie_on_one_place(self, place):
        for name in ("m", "m/in", "m2"):
            (place / name).mkdir()
        mount.tmpfs(f"{place}/m2")
        mount.tmpfs(f"{place}/m")
        (place / "m/in").mkdir()
        mount.tmpfs(f"{place}/m/in")
        mount.tmpfs(f"{place}/m/in")
        assert mount.mount_points(f"{place}/m") == [f"{place}/m/in", f"{place}/m/in", f"{place}/m"]
        mount.unmount_below(f"{place}/m")
        assert kernel.unmounted(f"{place}/m")
        assert mount.is_mount_point(f"{place}/m2")

    def test_names_with_spaces_and_backslashes_are_found_as_they_are(self, place):
        odd = place / "a b\\c\td\ne"
        odd.mkdir()
        mount.tmpfs(str(odd))
        assert mount.mount_points(str(odd)) == [str(odd)]
