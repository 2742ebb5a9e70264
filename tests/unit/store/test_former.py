"""A container's files put aside and taken back: at every step one of the two is whole."""

from __future__ import annotations

import os

import pytest

from pouch.spec import errors
from pouch.store import paths
from pouch.store.snapshot import former

ID = "c" * 64


@pytest.fixture
def places(tmp_path):
    made = paths.Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(made.containers(ID))
    return made


def changed(places, word):
    """The container writes."""
    os.makedirs(places.upper(ID), exist_ok=True)
    with open(f"{places.upper(ID)}/file", "w") as file:
        file.write(word)


def content(directory):
    with open(f"{directory}/upper/file") as file:
        return file.read()


def test_what_is_put_aside_is_not_the_containers_any_more_and_comes_back_whole(places):
    changed(places, "old")
    former.set_aside(places, ID)
    assert not os.path.exists(places.rw(ID))
    assert content(places.former(ID)) == "old"
    changed(places, "new")
    former.take_back(places, ID)
    assert content(places.rw(ID)) == "old"
    assert not os.path.exists(places.former(ID))


def test_of_a_container_that_never_ran_nothing_comes_back(places):
    former.set_aside(places, ID)
    changed(places, "new")
    former.take_back(places, ID)
    assert os.listdir(places.rw(ID)) == []


def test_taking_back_twice_keeps_what_is_there(places):
    """A daemon that was killed between this and noting it does it again."""
    changed(places, "old")
    former.set_aside(places, ID)
    former.take_back(places, ID)
    former.take_back(places, ID)
    assert content(places.rw(ID)) == "old"


def test_taking_back_goes_on_where_it_was_broken_off(places):
    """Killed after the new files were deleted and before the old ones were renamed."""
    changed(places, "old")
    former.set_aside(places, ID)
    changed(places, "new")
    os.rename(places.rw(ID), f"{places.root}/gone")
    former.take_back(places, ID)
    assert content(places.rw(ID)) == "old"


def test_what_is_aside_is_never_replaced(places):
    changed(places, "old")
    former.set_aside(places, ID)
    changed(places, "new")
    with pytest.raises(errors.Conflict, match="an earlier upgrade was not finished"):
        former.set_aside(places, ID)
    assert content(places.former(ID)) == "old"
    assert content(places.rw(ID)) == "new"


def test_forgetting_leaves_what_is_the_containers(places):
    changed(places, "old")
    former.set_aside(places, ID)
    changed(places, "new")
    former.forget(places, ID)
    former.forget(places, ID)
    assert not os.path.exists(places.former(ID))
    assert content(places.rw(ID)) == "new"
