"""Flushing a file system, and what a boot is called."""

from __future__ import annotations

import os
import uuid

import pytest

from pouch.kernel import disk, libc
from pouch.spec import errors


def test_a_boot_has_a_name_that_stays():
    assert str(uuid.UUID(disk.boot_id())) == disk.boot_id()


def test_a_file_system_is_flushed_by_a_path_in_it_and_no_descriptor_stays(tmp_path):
    before = sorted(os.listdir("/proc/self/fd"))
    disk.flush(str(tmp_path))
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_what_cannot_be_flushed_is_named():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(errors.KernelError, match="syncfs /a/disk: Bad file descriptor"):
        libc.syncfs(reader, "/a/disk")
