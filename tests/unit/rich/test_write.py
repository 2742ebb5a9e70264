"""Files are written below their directory, whatever stands there."""

from __future__ import annotations

import os
import stat

import pytest

from pouch.rich import write
from pouch.rich.plan import File
from pouch.spec import errors


def test_all_kinds_are_written(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"copied" * 1000)
    top = tmp_path / "top"
    top.mkdir()
    files = [
        File(path="/a/b/file", content=b"x", mode=0o600),
        File(path="a/link", link="/etc/passwd"),
        File(path="d", directory=True, mode=0o1777),
        File(path="program", source=str(source), mode=0o755),
    ]
    write.write(files, str(top))
    assert (top / "a/b/file").read_bytes() == b"x"
    assert stat.S_IMODE((top / "a/b/file").stat().st_mode) == 0o600
    assert os.readlink(top / "a/link") == "/etc/passwd"
    assert stat.S_IMODE((top / "d").stat().st_mode) == 0o1777
    assert (top / "program").read_bytes() == source.read_bytes()
    assert stat.S_IMODE((top / "a/b").stat().st_mode) == 0o755


def test_writing_again_replaces_whatever_stands_there(tmp_path):
    (tmp_path / "x").symlink_to("/nowhere")
    (tmp_path / "y").mkdir()
    (tmp_path / "y/z").write_text("old")
    write.write([File(path="x", content=b"new"), File(path="y", content=b"file now")], str(tmp_path))
    assert (tmp_path / "x").read_bytes() == b"new"
    assert not (tmp_path / "x").is_symlink()
    assert (tmp_path / "y").read_bytes() == b"file now"


def test_a_link_among_the_directories_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    top = tmp_path / "top"
    top.mkdir()
    (top / "etc").symlink_to(outside)
    with pytest.raises(errors.KernelError):
        write.write([File(path="/etc/passwd", content=b"x")], str(top))
    assert not list(outside.iterdir())


@pytest.mark.parametrize("path", ["", "/", "../x", "a/../../x", "a\0b"])
def test_a_path_that_climbs_is_refused(tmp_path, path):
    with pytest.raises(errors.InvalidInput):
        write.write([File(path=path, content=b"x")], str(tmp_path))


def test_parents_take_the_mode_of_the_tree_they_hide(tmp_path):
    like, top = tmp_path / "like", tmp_path / "top"
    (like / "etc/private").mkdir(parents=True)
    (like / "etc/private").chmod(0o750)
    top.mkdir()
    write.write([File(path="/etc/private/x", content=b"")], str(top), like=str(like))
    assert stat.S_IMODE((top / "etc/private").stat().st_mode) == 0o750


def test_clear_leaves_the_directory_itself_and_what_links_lead_to(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("x")
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    write.clear(str(top))
    assert list(top.iterdir()) == []
    assert (outside / "x").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="ids of others need root")
def test_owners_are_shifted_into_the_range(tmp_path):
    files = [
        File(path="a", content=b"", uid=5, gid=6),
        File(path="b/c", link="x"),
        File(path="d", directory=True, uid=7),
    ]
    write.write(files, str(tmp_path), 100000)
    assert [
        (os.lstat(tmp_path / name).st_uid, os.lstat(tmp_path / name).st_gid) for name in ("a", "b", "b/c", "d")
    ] == [
        (100005, 100006),
        (100000, 100000),
        (100000, 100000),
        (100007, 100000),
    ]
