"""Calls and their errors, where no privilege is needed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pouch.kernel import libc, mount, namespace
from pouch.spec import errors


def test_a_failed_call_names_itself_its_object_and_the_reason():
    with pytest.raises(errors.KernelError) as caught:
        libc.umount2("/nowhere at all", 0)
    error = caught.value
    assert (error.syscall, error.target) == ("umount2", "/nowhere at all")
    assert error.errno in (errno.ENOENT, errno.EPERM)
    assert str(error) == f"umount2 /nowhere at all: {os.strerror(error.errno)}"


def test_calls_without_a_wrapper_in_the_library_reach_the_kernel():
    pidfd = libc.pidfd_open(os.getpid())
    try:
        libc.pidfd_send_signal(pidfd, 0, "ourselves")
        assert f"Pid:\t{os.getpid()}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    finally:
        os.close(pidfd)
    with pytest.raises(errors.KernelError, match="pidfd_open process 0"):
        libc.pidfd_open(0)


def test_openat2_gives_a_descriptor_that_ends_with_exec(tmp_path):
    (tmp_path / "file").write_text("x")
    fd = libc.openat2(libc.AT_FDCWD, str(tmp_path / "file"), os.O_RDONLY)
    try:
        assert os.read(fd, 9) == b"x"
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def disturbing(times: int):
    """An openat2 that a rename disturbs so many times."""
    left = [times]

    def openat2(*_arguments):
        left[0] -= 1
        if left[0] >= 0:
            raise errors.KernelError("openat2", "x", errno.EAGAIN)
        return 7

    return openat2


def test_openat2_is_tried_again_when_disturbed_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(libc, "_openat2", disturbing(3))
    assert libc.openat2(3, "x", 0) == 7
    monkeypatch.setattr(libc, "_openat2", disturbing(100_000))
    with pytest.raises(errors.KernelError) as caught:
        libc.openat2(3, "x", 0)
    assert caught.value.errno == errno.EAGAIN


def test_prctl_answers():
    assert libc.prctl(3) in (0, 1, 2)  # PR_GET_DUMPABLE


def test_mountinfo_s_escapes_are_undone():
    assert mount.unescape(rb"/a\040b\134c\011d\012e\0400") == b"/a b\\c\td\ne 0"


def test_mount_points_are_told_below_a_prefix_as_whole_names():
    assert "/proc" in mount.mount_points("/proc")
    assert mount.mount_points("/pro") == []
    assert mount.mount_points("/")[-1] == "/"


def test_an_error_of_entering_a_namespace_comes_back_to_the_caller():
    with open("/dev/null") as file, pytest.raises(errors.KernelError) as caught:
        namespace.run_in_namespace(file.fileno(), lambda: None)
    assert caught.value.syscall == "setns"
