"""Deleting trees: whatever their shape, and never beyond them."""

from __future__ import annotations

import os

import pytest

from pouch.spec import errors
from pouch.store import erase


def test_a_tree_of_everything_goes_and_what_its_links_point_at_stays(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "a/b/file").write_text("x")
    (tree / "a/d").mkdir()
    (tree / "a/out").symlink_to(outside)
    (tree / "a/b/out").symlink_to(outside)
    os.mkfifo(tree / "a/fifo")
    (tree / ".hidden").mkdir()
    erase.erase(str(tree))
    assert not tree.exists()
    assert (outside / "kept").read_text() == "x"


def test_a_missing_tree_is_fine(tmp_path):
    erase.erase(str(tmp_path / "nothing"))


def test_depth_beyond_path_stack_and_descriptors(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=fd)
        with open(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "w"):
            pass
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    erase.erase(str(tmp_path / "d"))
    assert os.listdir(tmp_path) == ["f"]


def test_names_chosen_to_be_in_the_way_are_no_obstacle(tmp_path):
    tree = tmp_path / "tree"
    for number in range(4):
        (tree / f".erase-{os.getpid()}-{number}-0" / "x" / "y").mkdir(parents=True)
        (tree / "a" / str(number) / "x").mkdir(parents=True)
    erase.erase(str(tree))
    assert not tree.exists()


def test_a_link_in_place_of_the_tree_is_not_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(errors.KernelError):
        erase.erase(str(tmp_path / "link"))
    assert (tmp_path / "real").exists()
