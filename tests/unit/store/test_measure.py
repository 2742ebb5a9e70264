"""What a tree takes of the disk."""

from __future__ import annotations

import os

from pouch.store import measure

BLOCK = 4096
"""Of the test's file system, or less."""


def test_files_count_once_and_holes_not(tmp_path):
    empty = measure.used(str(tmp_path))
    (tmp_path / "inner").mkdir()
    with_directory = measure.used(str(tmp_path))
    (tmp_path / "inner/file").write_bytes(os.urandom(100_000))
    one = measure.used(str(tmp_path))
    assert 100_000 <= one - with_directory <= 100_000 + 2 * BLOCK
    os.link(tmp_path / "inner/file", tmp_path / "again")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    assert one <= measure.used(str(tmp_path)) <= one + 2 * BLOCK
    assert empty <= with_directory


def test_no_link_is_followed_and_what_is_missing_takes_nothing(tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(100_000))
    (tmp_path / "tree").mkdir()
    os.symlink(tmp_path, tmp_path / "tree/link")
    assert measure.used(str(tmp_path / "tree")) < 100_000
    assert measure.used(str(tmp_path / "nothing")) == 0


def test_what_goes_or_becomes_a_link_meanwhile_is_let_be(tmp_path, monkeypatch):
    (tmp_path / "gone").write_bytes(b"x")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved/big").write_bytes(os.urandom(100_000))
    real = os.stat

    def stat(name, **options):
        found = real(name, **options)
        if name == "gone":
            os.unlink(tmp_path / "gone")
            raise FileNotFoundError(name)
        if name == "moved":
            os.rename(tmp_path / "moved", tmp_path.parent / "elsewhere")
            os.symlink(tmp_path.parent / "elsewhere", tmp_path / "moved")
        return found

    monkeypatch.setattr(os, "stat", stat)
    assert measure.used(str(tmp_path)) < 100_000


def test_directories_nested_without_end_are_looked_into_as_far_as_descriptors_go(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(measure.DEEPEST + 50):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    before = len(os.listdir("/proc/self/fd"))
    assert measure.used(str(tmp_path)) >= 0
    assert len(os.listdir("/proc/self/fd")) == before
