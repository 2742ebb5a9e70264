"""Records of volumes: what is noted, in what state, and who has it."""

from __future__ import annotations

import pytest

from pouch.spec import errors, volume
from pouch.store import db, volume_records

DATA = volume.Volume(
    name="data", driver="nimbus", created="2026-01-02T03:04:05Z", options={"a": "1"}, labels={"é": "ü"}, anonymous=True
)
MORE = volume.Volume(name="more", driver="local", created="2026-01-02T03:04:05Z")


@pytest.fixture
def database(tmp_path):
    made = db.Database(str(tmp_path / "db"))
    made.insert_volume(DATA)
    made.insert_volume(MORE)
    yield made
    made.close()


def test_a_volume_comes_back_as_it_was_after_a_restart(database, tmp_path):
    assert database.find_volume("data") == DATA
    database.close()
    again = db.Database(str(tmp_path / "db"))
    assert again.volumes() == [DATA, MORE]
    again.close()


def test_a_name_is_taken_once(database):
    with pytest.raises(errors.Conflict, match="a volume named data is there already"):
        database.insert_volume(DATA)


def test_one_that_is_being_removed_is_none_any_more(database):
    database.set_volume_state("data", volume_records.VolumeState.REMOVING)
    assert database.find_volume("data") is None
    assert database.volumes() == [MORE]
    assert database.volumes(volume_records.VolumeState.REMOVING) == [DATA]
    assert database.volume_state("data") is volume_records.VolumeState.REMOVING
    assert database.volume_state("none") is None


def test_a_user_counts_once_and_goes_with_the_volume(database):
    assert database.add_volume_user("data", "c1")
    assert not database.add_volume_user("data", "c1")
    database.add_volume_user("data", "c2")
    database.add_volume_user("more", "c1")
    assert database.volume_users("data") == ("c1", "c2")
    database.drop_volume_user("data", "c1")
    assert database.all_volume_users() == [("data", "c2"), ("more", "c1")]
    database.delete_volume("data")
    assert database.all_volume_users() == [("more", "c1")]


def test_a_user_needs_a_volume(database):
    with pytest.raises(errors.Conflict):
        database.add_volume_user("none", "c1")


def test_projects_are_numbers_that_nobody_else_has(database):
    assert database.reserve_volume_project("data", 100) == 100
    assert database.reserve_volume_project("more", 100) == 101
    assert database.volume_project("data") == 100
    database.delete_volume("data")
    database.insert_volume(DATA)
    assert database.volume_project("data") == 0
    assert database.reserve_volume_project("data", 100) == 100


def test_a_number_that_is_another_programs_is_not_given_again(database):
    number = database.reserve_volume_project("data", 100)
    database.skip_volume_project("data", number)
    assert database.volume_project("data") == 0
    assert database.reserve_volume_project("data", 100) == 101
    assert database.reserve_volume_project("more", 100) == 102
