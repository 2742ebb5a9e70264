"""Lookups below a root that somebody else wrote."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from pouch.kernel import inroot
from pouch.spec import errors


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the host's secret beside it."""
    (tmp_path / "secret").write_text("the host's")
    top = tmp_path / "root"
    for name in ("bin", "etc", "app", "usr/bin"):
        (top / name).mkdir(parents=True)
    (top / "secret").write_text("the container's")
    return top


def executable(path: Path, mode: int = 0o755) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)


class TestConfinement:
    @pytest.mark.parametrize(
        "path",
        ["/../secret", "../../../../secret", "/up", "/etc/absolute", "etc/relative", "/etc/dir/secret", "secret"],
    )
    def test_no_path_and_no_link_leads_out(self, root, path):
        (root / "up").symlink_to("../secret")
        (root / "etc/absolute").symlink_to("/secret")
        (root / "etc/relative").symlink_to("../../../../secret")
        (root / "etc/dir").symlink_to("/..")
        assert inroot.read_file(str(root), path) == b"the container's"

    def test_a_link_to_the_host_s_own_path_leads_nowhere(self, root):
        (root / "leak").symlink_to(root.parent / "secret")
        with pytest.raises(errors.NotFound, match="leak: no such file"):
            inroot.read_file(str(root), "leak")

    def test_magic_links_are_not_followed(self, root):
        # /proc as the root: its `self/root` and `self/cwd` would lead to the host's files
        with pytest.raises(errors.KernelError) as caught:
            inroot.stat("/proc", "/self/root/etc")
        assert caught.value.errno in (errno.ELOOP, errno.EXDEV)

    def test_a_link_swapped_all_the_time_never_leads_out(self, root):
        (root / "here").mkdir()
        (root / "here/file").write_text("in")
        (root.parent / "file").write_text("out")
        stop = threading.Event()

        def swap() -> None:
            while not stop.is_set():
                for target in ("here", "..", f"{root.parent}", "/"):
                    (root / "next").symlink_to(target)
                    os.rename(root / "next", root / "door")

        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            seen = {inroot.find_file(str(root), "door/file") for _ in range(3000)}
        finally:
            stop.set()
            swapping.join()
        assert seen <= {b"in", None}

    def test_a_nul_byte_is_refused(self, root):
        with pytest.raises(errors.InvalidInput, match="NUL"):
            inroot.stat(str(root), "etc\0x")

    def test_a_missing_root_is_an_error_of_its_own(self, root):
        with pytest.raises(errors.KernelError, match=r"open .+/none"):
            inroot.exists(f"{root}/none", "/")


class TestReading:
    def test_a_fifo_does_not_block(self, root):
        os.mkfifo(root / "fifo")
        with pytest.raises(errors.KernelError) as caught:
            inroot.read_file(str(root), "fifo")
        assert caught.value.errno == errno.EINVAL
        assert "it is a fifo, expected a regular file" in caught.value.hint

    def test_a_socket_is_refused(self, root, monkeypatch):
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("sock")
            with pytest.raises(errors.KernelError, match="open sock"):
                inroot.read_file(str(root), "sock")

    def test_a_directory_is_refused(self, root):
        with pytest.raises(errors.KernelError) as caught:
            inroot.read_file(str(root), "etc")
        assert caught.value.errno == errno.EISDIR

    def test_a_file_of_just_the_limit_is_read_and_one_byte_more_is_too_large(self, root):
        (root / "etc/file").write_bytes(b"x" * 100_000)
        assert inroot.read_file(str(root), "etc/file", limit=100_000) == b"x" * 100_000
        with pytest.raises(errors.KernelError) as caught:
            inroot.read_file(str(root), "etc/file", limit=99_999)
        assert caught.value.errno == errno.EFBIG

    def test_find_file_answers_none_for_missing_alone(self, root):
        (root / "dangling").symlink_to("/none")
        assert inroot.find_file(str(root), "none/at/all") is None
        assert inroot.find_file(str(root), "dangling") is None
        assert inroot.find_file(str(root), "secret/below-a-file") is None
        with pytest.raises(errors.KernelError):
            inroot.find_file(str(root), "etc")

    def test_no_descriptor_is_left(self, root):
        os.mkfifo(root / "fifo")
        before = os.listdir("/proc/self/fd")
        for path in ("secret", "none", "fifo", "etc"):
            inroot.exists(str(root), path)
            with pytest.raises(errors.PouchError):
                inroot.readlink(str(root), path)
            if path != "secret":
                with pytest.raises(errors.PouchError):
                    inroot.read_file(str(root), path)
        assert os.listdir("/proc/self/fd") == before


class TestLooking:
    def test_resolve_follows_every_link_inside(self, root):
        (root / "sbin").symlink_to("usr/bin")
        (root / "usr/bin/init").symlink_to("/lib/init")
        (root / "lib").mkdir()
        (root / "lib/init").touch()
        assert inroot.resolve(str(root), "/sbin/init") == "/lib/init"
        assert inroot.resolve(str(root), "sbin/..") == "/usr"
        assert inroot.resolve(str(root), "/..") == "/"
        with pytest.raises(errors.NotFound):
            inroot.resolve(str(root), "/sbin/none")

    def test_resolve_works_where_the_root_is_named_by_a_link_or_is_the_host_s(self, root):
        (root.parent / "alias").symlink_to(root)
        assert inroot.resolve(f"{root.parent}/alias/", "etc") == "/etc"
        assert inroot.resolve("/", str(root)) == os.path.realpath(root)

    def test_exists_follows_links_and_takes_a_loop_for_nothing(self, root):
        (root / "loop").symlink_to("loop")
        (root / "good").symlink_to("/etc")
        assert inroot.exists(str(root), "good")
        assert not inroot.exists(str(root), "loop")
        assert not inroot.exists(str(root), "x" * 300)

    def test_stat_can_stop_at_the_link(self, root):
        (root / "link").symlink_to("/none")
        assert inroot.stat(str(root), "link", follow=False).st_mode & 0o170000 == 0o120000
        with pytest.raises(errors.NotFound):
            inroot.stat(str(root), "link")

    def test_readlink_gives_the_text_of_the_link(self, root):
        (root / "link").symlink_to("../../none")
        assert inroot.readlink(str(root), "link") == "../../none"
        with pytest.raises(errors.KernelError) as caught:
            inroot.readlink(str(root), "etc")
        assert caught.value.errno == errno.EINVAL

    def test_listdir_gives_all_names_also_odd_ones(self, root):
        (root / "etc/b").touch()
        (root / "etc/a").touch()
        with open(os.fsencode(root / "etc") + b"/\xff", "w"):
            pass
        assert inroot.listdir(str(root), "/etc") == ["a", "b", "\udcff"]
        with pytest.raises(errors.NotFound):
            inroot.listdir(str(root), "/none")
        with pytest.raises(errors.NotFound):
            inroot.listdir(str(root), "/secret")


class TestOpening:
    def test_a_file_is_made_once_and_then_opened(self, root):
        for text in (b"first", b"second"):
            fd = inroot.open_file(str(root), "etc/new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600)
            os.write(fd, text)
            os.close(fd)
        assert (root / "etc/new").read_bytes() == b"second"
        assert (root / "etc/new").stat().st_mode & 0o777 == 0o600

    def test_writing_to_a_planted_fifo_or_through_a_link_stays_inside(self, root):
        os.mkfifo(root / "etc/fifo")
        with pytest.raises(errors.KernelError):
            inroot.open_file(str(root), "etc/fifo", os.O_WRONLY | os.O_CREAT)
        (root / "etc/link").symlink_to("/../../secret")
        fd = inroot.open_file(str(root), "etc/link", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.close(fd)
        assert (root / "secret").read_text() == ""
        assert (root.parent / "secret").read_text() == "the host's"

    def test_a_dangling_link_is_not_made_good(self, root):
        (root / "etc/link").symlink_to("made")
        with pytest.raises(errors.NotFound):
            inroot.open_file(str(root), "etc/link", os.O_WRONLY | os.O_CREAT)
        assert not (root / "etc/made").exists()

    def test_descriptors_are_closed_on_exec(self, root):
        fd = inroot.open_file(str(root), "secret")
        try:
            assert not os.get_inheritable(fd)
        finally:
            os.close(fd)


class TestDirectories:
    def test_missing_ones_are_made_whatever_the_umask(self, root):
        before = os.umask(0o077)
        try:
            inroot.make_directories(str(root), "/srv/a/./b/", os.getuid())
        finally:
            os.umask(before)
        assert [(root / each).stat().st_mode & 0o7777 for each in ("srv", "srv/a", "srv/a/b")] == [0o755] * 3

    def test_what_is_there_stays_as_it_is(self, root):
        (root / "etc").chmod(0o700)
        inroot.make_directories(str(root), "/etc/new", os.getuid())
        assert (root / "etc").stat().st_mode & 0o777 == 0o700

    def test_links_are_followed_inside(self, root):
        (root / "data").symlink_to("/../../usr")
        inroot.make_directories(str(root), "/data/x/y", os.getuid())
        assert (root / "usr/x/y").is_dir()
        assert not (root.parent / "usr").exists()

    def test_a_file_or_a_dangling_link_in_the_way_is_an_error(self, root):
        (root / "dangling").symlink_to("/none")
        for path, number in (("/secret/x", errno.ENOTDIR), ("/dangling/x", errno.EEXIST)):
            with pytest.raises(errors.KernelError) as caught:
                inroot.make_directories(str(root), path, os.getuid())
            assert caught.value.errno == number
        assert not (root / "none").exists()


class TestExecutables:
    def test_the_first_executable_on_the_search_path_is_taken(self, root):
        (root / "bin/run").mkdir()
        executable(root / "app/run", 0o644)
        executable(root / "usr/bin/run")
        assert inroot.find_executable(str(root), "run", "/none:/bin:/app:/usr/bin", "/") == "/usr/bin/run"

    def test_a_link_is_named_as_it_was_found(self, root):
        executable(root / "bin/busybox")
        (root / "bin/ls").symlink_to("/bin/busybox")
        assert inroot.find_executable(str(root), "ls", "/bin", "/") == "/bin/ls"

    def test_a_name_with_a_slash_is_relative_to_the_working_directory(self, root):
        executable(root / "app/run")
        for name in ("./run", "/app/run", "../app/run", ".//./run"):
            assert inroot.resolve(str(root), inroot.find_executable(str(root), name, "/bin", "/app")) == "/app/run"
        assert inroot.find_executable(str(root), "./run", "", "/app") == "/app/run"

    def test_an_empty_entry_is_the_working_directory(self, root):
        executable(root / "app/run")
        assert inroot.find_executable(str(root), "run", "/bin:", "/app") == "/app/run"
        with pytest.raises(errors.NotFound):
            inroot.find_executable(str(root), "run", "", "/app")

    def test_what_is_missing_is_said_in_docker_s_sentences(self, root):
        with pytest.raises(errors.NotFound, match=r'exec: "nope": executable file not found in \$PATH'):
            inroot.find_executable(str(root), "nope", "/bin:/usr/bin", "/")
        with pytest.raises(errors.NotFound, match='exec: "/bin/nope": stat /bin/nope: no such file or directory'):
            inroot.find_executable(str(root), "/bin/nope", "/bin", "/")

    @pytest.mark.parametrize("name", ["", ".", "..", "etc"])
    def test_directories_are_no_programs(self, root, name):
        with pytest.raises(errors.NotFound, match="executable file not found"):
            inroot.find_executable(str(root), name, "/:/bin", "/")

    def test_a_directory_or_a_file_without_x_bits_by_path_is_eacces(self, root):
        executable(root / "app/run", 0o644)
        for name in ("/app/run", "/etc", "./"):
            with pytest.raises(errors.KernelError) as caught:
                inroot.find_executable(str(root), name, "/bin", "/app")
            assert caught.value.errno == errno.EACCES
            assert "not an executable file" in caught.value.hint

    def test_what_was_found_but_cannot_run_is_hinted_at(self, root):
        executable(root / "bin/run", 0o644)
        with pytest.raises(errors.NotFound) as caught:
            inroot.find_executable(str(root), "run", "/usr/bin:/bin", "/")
        assert caught.value.hint == "/bin/run is not an executable file"

    def test_a_fifo_with_x_bits_is_no_program(self, root):
        os.mkfifo(root / "bin/fifo", 0o777)
        assert not inroot.is_executable(str(root), "bin/fifo")
        assert not inroot.is_executable(str(root), "bin/none")

    def test_a_host_program_behind_a_planted_link_is_not_found(self, root):
        executable(root.parent / "tool")
        (root / "bin/tool").symlink_to(root.parent / "tool")
        with pytest.raises(errors.NotFound):
            inroot.find_executable(str(root), "tool", "/bin", "/")
