"""Paths and modes as Docker's clients give and expect them."""

from __future__ import annotations

import stat

import pytest

from pouch.engine import files
from pouch.image import visiting
from pouch.spec import errors


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/etc/hosts", "/etc/hosts"),
        ("etc", "/etc"),
        ("/", "/"),
        ("//etc//x", "/etc/x"),
        ("/etc/", "/etc/"),
        ("/etc/.", "/etc/."),
        (".", "/."),
        ("/../../etc", "/etc"),
        ("/a/../b/./c/", "/b/c/"),
        ("/..", "/"),
    ],
)
def test_a_path_is_absolute_and_keeps_its_end(given, expected):
    assert files.whole(given) == expected


def test_a_nul_byte_is_no_part_of_a_path():
    with pytest.raises(errors.InvalidInput, match="NUL"):
        files.whole("/a\0b")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFREG | 0o4755, 1 << 23 | 0o755),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
        (stat.S_IFDIR | 0o2755, 1 << 31 | 1 << 22 | 0o755),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFCHR | 0o600, 1 << 26 | 1 << 21 | 0o600),
        (stat.S_IFBLK | 0o600, 1 << 26 | 0o600),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (stat.S_IFSOCK | 0o600, 1 << 24 | 0o600),
    ],
)
def test_modes_are_gos(mode, expected):
    found = files.view("/a/b", visiting.Found(size=1, mode=mode, mtime=0, link_target=""))
    assert (found.name, found.mode, found.mtime) == ("b", expected, "1970-01-01T00:00:00.000000000Z")


@pytest.mark.parametrize(("path", "name"), [("/", "/"), ("/a/", "a"), ("/a/.", "."), ("/a/b", "b")])
def test_names_are_as_go_has_them(path, name):
    assert files.view(path, visiting.Found(size=0, mode=0o100644, mtime=0, link_target="")).name == name
