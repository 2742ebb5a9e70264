"""Volumes: noted before they are made, never deleted under somebody, and whole again after any crash."""

from __future__ import annotations

import os
import threading

import pytest

from pouch.spec import errors, volume
from pouch.store import volume_records


def config(name="", **more):
    return volume.VolumeConfig(name=name, **more)


def test_a_volume_is_a_directory_that_stays(all_volumes, places):
    made, new = all_volumes.create(config("data", labels={"a": "b"}))
    assert new
    assert made == volume.Volume(name="data", driver="local", created="2027-01-15T08:00:00Z", labels={"a": "b"})
    assert all_volumes.get("data") == made
    place = all_volumes.mount("data", "c1")
    assert place == all_volumes.mountpoint(made) == f"{places.root}/volumes/data/_data"
    assert os.stat(place).st_mode & 0o7777 == 0o755
    assert os.stat(os.path.dirname(place)).st_mode & 0o7777 == 0o700


def test_making_it_again_answers_the_one_there_is(all_volumes):
    first, _ = all_volumes.create(config("data", labels={"a": "b"}))
    assert all_volumes.create(config("data", labels={"c": "d"})) == (first, False)


def test_without_a_name_it_gets_one_and_is_anonymous(all_volumes):
    one, _ = all_volumes.create(config())
    two, _ = all_volumes.create(config("ab" * 32, anonymous=True))
    assert len(one.name) == 64
    assert one.anonymous
    assert two.anonymous
    assert [each.name for each in all_volumes.list()[0]] == sorted([one.name, two.name])


def test_other_options_are_a_conflict_and_none_are_not(all_volumes):
    all_volumes.create(config("data", options={"type": "tmpfs"}))
    assert all_volumes.create(config("data"))[1] is False
    with pytest.raises(errors.Conflict, match="a volume named data already exists with other options"):
        all_volumes.create(config("data", options={"type": "tmpfs", "o": "size=1m"}))


@pytest.mark.parametrize("bad", ["../x", "a/b", ".hidden", "-x", "a b", "a\0b", "a\n", "é1"])
def test_names_that_are_no_file_names_are_refused(all_volumes, bad, places):
    with pytest.raises(errors.InvalidInput, match="includes invalid characters for a local volume name"):
        all_volumes.create(config(bad))
    assert os.listdir(places.volumes) == []
    with pytest.raises(errors.NotFound):
        all_volumes.get(bad)


def test_too_short_and_too_long_names_are_refused(all_volumes):
    with pytest.raises(errors.InvalidInput, match="volume name is too short"):
        all_volumes.create(config("x"))
    with pytest.raises(errors.InvalidInput, match="the name is too long, expected at most 255 characters"):
        all_volumes.create(config("x" * 256))
    all_volumes.create(config("x" * 255))


def test_a_refused_volume_leaves_nothing(all_volumes, places, database):
    with pytest.raises(errors.InvalidInput):
        all_volumes.create(config("data", options={"colour": "red"}))
    assert os.listdir(places.volumes) == []
    assert database.volumes() == []


def test_a_volume_that_cannot_be_made_is_not_noted(all_volumes, places, database):
    os.rmdir(places.volumes)
    with pytest.raises(errors.KernelError, match="mkdir"):
        all_volumes.create(config("data"))
    assert database.volumes() == []


def test_nobody_takes_a_volume_away_while_it_is_mounted(all_volumes):
    all_volumes.create(config("data"))
    all_volumes.mount("data", "c1")
    all_volumes.mount("data", "c2")
    all_volumes.mount("data", "c2")
    with pytest.raises(errors.Conflict, match=r"remove data: volume is in use - \[c1, c2\]"):
        all_volumes.remove("data")
    assert all_volumes.unmount("data", "c1")
    assert not all_volumes.unmount("data", "c1")
    assert all_volumes.users("data") == ("c2",)
    all_volumes.unmount("data", "c2")
    assert all_volumes.remove("data").name == "data"


def test_a_removed_volume_is_gone_with_its_files(all_volumes, places):
    all_volumes.create(config("data"))
    place = all_volumes.mount("data", "c1")
    with open(f"{place}/file", "w", encoding="ascii") as file:
        file.write("x")
    all_volumes.unmount("data", "c1")
    all_volumes.remove("data")
    with pytest.raises(errors.NotFound, match="get data: no such volume"):
        all_volumes.get("data")
    assert os.listdir(places.volumes) == []
    place = all_volumes.mount(all_volumes.create(config("data"))[0].name, "c1")
    assert os.listdir(place) == []


def test_unmounting_what_is_gone_is_fine(all_volumes):
    assert not all_volumes.unmount("none", "c1")


def test_usage_counts_what_is_in_it(all_volumes):
    all_volumes.create(config("data"))
    place = all_volumes.mount("data", "c1")
    with open(f"{place}/file", "wb") as file:
        file.write(b"x" * 10000)
    assert 10000 <= all_volumes.usage("data") < 20000
    all_volumes.create(config("memory", options={"type": "tmpfs"}))
    assert all_volumes.usage("memory") == -1


def test_threads_that_want_the_same_volume_get_one(all_volumes):
    found = []
    barrier = threading.Barrier(8)

    def ask():
        barrier.wait()
        found.append(all_volumes.create(config("data")))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new for _, new in found) == [False] * 7 + [True]
    assert len({one.created for one, _ in found}) == 1


def test_volumes_of_a_driver_that_is_not_there(all_volumes):
    with pytest.raises(
        errors.NotFound, match='create data: error looking up volume plugin nimbus: plugin "nimbus" not found'
    ):
        all_volumes.create(config("data", driver="nimbus"))


# -- crashes ----------------------------------------------------------------------------------------------------------


def test_a_removal_that_was_begun_is_finished(all_volumes, places, database, restarted):
    for name in ("before", "after"):
        all_volumes.create(config(name))
        database.set_volume_state(name, volume_records.VolumeState.REMOVING)
    os.rename(f"{places.volumes}/after", f"{places.volumes}/.removed-1")
    assert [one.name for one in database.volumes()] == []
    assert restarted().restore({}) == []
    assert database.volumes(volume_records.VolumeState.REMOVING) == []
    assert os.listdir(places.volumes) == []


def test_users_of_before_that_are_none_any_more_are_let_go(all_volumes, restarted):
    all_volumes.create(config("data"))
    all_volumes.mount("data", "alive")
    all_volumes.mount("data", "dead")
    later = restarted()
    assert later.restore({"data": ["alive"]}) == []
    assert later.users("data") == ("alive",)


def test_a_volume_without_its_directory_is_made_whole_when_it_is_needed(database, restarted):
    database.insert_volume(volume.Volume(name="data", driver="local", created=""))
    assert os.path.isdir(restarted().mount("data", "c1"))


def test_files_without_a_record_are_kept_as_a_volume(places, restarted):
    os.makedirs(f"{places.volumes}/data/_data")
    os.makedirs(f"{places.volumes}/{'ab' * 32}/_data")
    os.makedirs(f"{places.volumes}/{'cd' * 32}/_data")
    for name in ("data", "ab" * 32):
        open(f"{places.volumes}/{name}/_data/file", "w", encoding="ascii").close()
    restored = restarted()
    assert restored.restore({}) == [
        f"volume {'ab' * 32}: its record was lost, its files are kept",
        "volume data: its record was lost, its files are kept",
    ]
    assert [(one.name, one.anonymous) for one in restored.list()[0]] == [("ab" * 32, True), ("data", False)]
    assert sorted(os.listdir(places.volumes)) == ["ab" * 32, "data"]


# -- filling ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(tmp_path):
    """An image's root file system."""
    made = tmp_path / "view"
    (made / "data").mkdir(parents=True)
    (made / "data/file").write_text("of the image")
    return made


def test_an_empty_volume_is_filled_once(all_volumes, view):
    all_volumes.create(config("data"))
    place = all_volumes.mount("data", "c1")
    assert all_volumes.fill("data", place, str(view), "/data") == []
    with open(f"{place}/file", encoding="ascii") as file:
        assert file.read() == "of the image"
    os.unlink(f"{place}/file")
    open(f"{place}/other", "w", encoding="ascii").close()
    all_volumes.fill("data", place, str(view), "/data")
    assert os.listdir(place) == ["other"]


def test_a_filling_that_was_cut_off_goes_on(all_volumes, view, database, restarted):
    (view / "data/second").write_text("too")
    all_volumes.create(config("data"))
    place = all_volumes.mount("data", "c1")
    database.set_volume_state("data", volume_records.VolumeState.FILLING)
    with open(f"{place}/file", "w", encoding="ascii") as file:
        file.write("of a container meanwhile")
    later = restarted()
    later.restore({"data": ["c1"]})
    later.fill("data", place, str(view), "/data")
    assert sorted(os.listdir(place)) == ["file", "second"]
    with open(f"{place}/file", encoding="ascii") as file:
        assert file.read() == "of a container meanwhile"
    assert database.volume_state("data") is volume_records.VolumeState.WHOLE
