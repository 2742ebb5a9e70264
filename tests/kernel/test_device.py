"""A null device of our own."""

from __future__ import annotations

import os
import stat

import pytest

from pouch.kernel import device


@pytest.fixture
def null():
    """One, opened."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mknod")
    fd = device.open_null()
    yield fd
    os.close(fd)


def test_it_reads_as_empty_and_takes_what_is_written(null):
    assert os.read(null, 10) == b""
    assert os.write(null, b"x" * 1000) == 1000


def test_it_is_not_the_hosts(null):
    found, theirs = os.fstat(null), os.stat(os.devnull)
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == theirs.st_rdev
    assert (found.st_dev, found.st_ino) != (theirs.st_dev, theirs.st_ino)
    os.fchmod(null, 0)
    assert stat.S_IMODE(os.stat(os.devnull).st_mode) == 0o666


def test_it_has_no_name_and_can_be_opened_anew(null):
    assert found_names() == []
    assert stat.S_IMODE(os.fstat(null).st_mode) == 0o666


def found_names():
    """What is left of them in /dev."""
    return [name for name in os.listdir("/dev") if name.startswith(".pouch-")]
