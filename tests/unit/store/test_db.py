"""The database: every method one transaction, one clear error for a bad file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading

import pytest

from pouch.spec import errors
from pouch.store import db, image_records


@pytest.fixture
def database(tmp_path):
    opened = db.Database(str(tmp_path / "pouch.db"))
    yield opened
    opened.close()


def add(database, *ids):
    for number, name in enumerate(ids):
        database.insert_container(name, f"name-{name}", number, b"{}")


def test_a_container_survives_a_reopen(tmp_path):
    path = str(tmp_path / "pouch.db")
    first = db.Database(path)
    first.insert_container("a" * 64, "web", 7, b"\x00record")
    first.close()
    second = db.Database(path)
    assert second.containers() == [db.ContainerRow("a" * 64, "web", 7, b"\x00record")]
    second.close()


def test_a_taken_name_is_dockers_sentence_and_changes_nothing(database):
    database.insert_container("one", "web", 1, b"1")
    with pytest.raises(errors.Conflict) as caught:
        database.insert_container("two", "web", 2, b"2")
    assert caught.value.message == (
        'Conflict. The container name "/web" is already in use by container "one". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    assert [row.id for row in database.containers()] == ["one"]


def test_the_same_id_twice_is_a_conflict(database):
    database.insert_container("one", "web", 1, b"1")
    with pytest.raises(errors.Conflict):
        database.insert_container("one", "other", 2, b"2")


def test_rename_frees_the_old_name_and_refuses_a_taken_one(database):
    add(database, "one", "two")
    database.rename_container("one", "new")
    database.insert_container("three", "name-one", 9, b"")
    with pytest.raises(errors.Conflict, match='container name "/name-two"'):
        database.rename_container("one", "name-two")
    assert {row.id: row.name for row in database.containers()}["one"] == "new"


@pytest.mark.parametrize("call", [lambda d: d.update_container("x", b""), lambda d: d.rename_container("x", "y")])
def test_an_unknown_container_is_not_found(database, call):
    with pytest.raises(errors.NotFound, match="No such container: x"):
        call(database)


def test_update_replaces_the_record(database):
    add(database, "one")
    database.update_container("one", b"new")
    assert database.containers()[0].record == b"new"


def test_ranges_do_not_overlap_and_gaps_are_filled(database):
    add(database, *"abcd")
    assert [database.reserve_range(name, 1000, 1299, 100) for name in "abc"] == [1000, 1100, 1200]
    with pytest.raises(errors.Unavailable, match="no free range of 100 user ids is left between 1000 and 1299"):
        database.reserve_range("d", 1000, 1299, 100)
    database.release_range("b")
    assert database.reserve_range("d", 1000, 1299, 100) == 1100


def test_a_container_keeps_its_range_unless_the_bounds_moved(database):
    add(database, "a")
    assert database.reserve_range("a", 1000, 1999, 100) == 1000
    assert database.reserve_range("a", 900, 1999, 100) == 1000
    assert database.reserve_range("a", 5000, 5999, 100) == 5000


@pytest.mark.parametrize("bounds", [(0, 70000), (1000, 2000), (1, 1 << 32)])
def test_a_range_that_cannot_hold_is_invalid(database, bounds):
    add(database, "a")
    with pytest.raises(errors.InvalidInput):
        database.reserve_range("a", *bounds)


def test_deleting_a_container_frees_name_and_range(database):
    add(database, "a", "b")
    database.reserve_range("a", 1000, 1999, 100)
    database.delete_container("a")
    database.delete_container("a")
    assert database.reserve_range("b", 1000, 1999, 100) == 1000
    database.insert_container("c", "name-a", 1, b"")


def test_meta_is_overwritten(database):
    assert database.get_meta("boot") is None
    database.set_meta("boot", "one")
    database.set_meta("boot", "two")
    assert database.get_meta("boot") == "two"


def chain(letter):
    return "sha256:" + letter * 64


def image(database, letter, layers, references=(), created="2024-01-01T00:00:00Z"):
    for layer in layers:
        database.insert_layer(db.LayerRow(layer, layer, "", 10))
    database.insert_image(
        chain(letter), manifest_digest="", created=created, size=10, layers=layers, references=references
    )


def test_images_come_newest_first_with_layers_in_order_and_names(database):
    image(database, "1", [chain("b"), chain("a")], ["x:1", "x:2"], "2020-01-01T00:00:00Z")
    image(database, "2", [chain("b")], [], "2021-01-01T00:00:00Z")
    newest, oldest = database.images()
    assert newest == db.ImageRow(chain("2"), "", "2021-01-01T00:00:00Z", 10, (chain("b"),), ())
    assert oldest.layers == (chain("b"), chain("a"))
    assert oldest.references == ("x:1", "x:2")


def test_a_name_moves_to_the_newer_image(database):
    image(database, "1", [chain("a")], ["x:latest"])
    image(database, "2", [chain("b")], ["x:latest"])
    assert {row.id: row.references for row in database.images()} == {chain("1"): (), chain("2"): ("x:latest",)}


def test_an_image_noted_twice_gathers_names_and_keeps_its_layers(database):
    image(database, "1", [chain("a")], ["x:1"])
    image(database, "1", [chain("a")], ["x:2"])
    [row] = database.images()
    assert row.references == ("x:1", "x:2")
    assert row.layers == (chain("a"),)


def test_what_no_image_stands_on_and_nobody_holds_is_forgotten(database):
    image(database, "1", [chain("a"), chain("b")])
    image(database, "2", [chain("a")])
    assert database.take_unused(()) == image_records.Unused((), ())
    database.delete_image(chain("1"))
    assert database.take_unused({chain("b")}) == image_records.Unused((), ())
    assert database.take_unused(()) == image_records.Unused((chain("b"),), (), 10)
    assert database.find_layer(chain("b")) is None
    assert database.find_layer(chain("a")) == db.LayerRow(chain("a"), chain("a"), "", 10)


def whole(database, letter, blobs, manifest="m", **options):
    """An image on one layer for each of these blobs, which are noted with its documents."""
    diffs = [chain(blob) for blob in blobs]
    for blob in blobs:
        database.insert_layer(db.LayerRow(chain(blob), chain(blob), "", 10))
    for one in (*diffs, chain(letter), chain(manifest)):
        database.insert_blob(one, 5)
    database.insert_image(
        chain(letter),
        manifest_digest=chain(manifest),
        created="2024-01-01T00:00:00Z",
        size=10,
        layers=diffs,
        references=(),
        blobs=[db.BlobRow(one, one, "tar", 5) for one in diffs],
        **options,
    )


def test_blobs_go_with_the_last_image_that_stands_on_them(database):
    whole(database, "1", "abb", manifest="c")
    whole(database, "2", "a", manifest="d")
    database.note_source(chain("b"), "docker.io/library/web")
    assert [one.digest for one in database.image_blobs(chain("1"))] == [chain("a"), chain("b"), chain("b")]
    assert database.blobs_of_diff(chain("b")) == [db.BlobRow(chain("b"), chain("b"), "tar", 5)]
    assert database.take_unused(()) == image_records.Unused((), ())
    database.delete_image(chain("1"))
    assert database.take_unused({chain("c")}).blobs == (chain("1"), chain("b"))
    assert database.sources(chain("b")) == []
    assert database.take_unused(()).blobs == (chain("c"),)
    assert sorted(database.blobs()) == [chain("2"), chain("a"), chain("d")]


def test_a_manifest_stays_until_it_is_to_be_replaced(database):
    image(database, "1", [chain("a")])
    assert database.image_blobs(chain("1")) == []
    whole(database, "1", "a", manifest="c")
    assert database.images()[0].manifest_digest == chain("c")
    whole(database, "1", "a", manifest="d")
    assert database.images()[0].manifest_digest == chain("c")
    whole(database, "1", "a", manifest="d", replace=True)
    assert database.images()[0].manifest_digest == chain("d")
    assert database.take_unused(()).blobs == (chain("c"),)


def test_an_image_without_its_blobs_is_refused_whole(database):
    database.insert_layer(db.LayerRow(chain("a"), chain("a"), "", 10))
    with pytest.raises(errors.Conflict):
        database.insert_image(
            chain("1"),
            manifest_digest=chain("2"),
            created="",
            size=0,
            layers=[chain("a")],
            references=[],
            blobs=[db.BlobRow(chain("b"), chain("a"), "tar", 5)],
        )
    assert database.images() == []


def test_an_image_stays_while_a_container_uses_it_whoever_asks(database):
    image(database, "1", [chain("a")], ["x:1"])
    database.insert_container("c", "c", 1, b"{}", image_id=chain("1"))
    assert database.delete_image(chain("1")) is False
    assert database.remove_image(chain("1"), ["x:1"], delete=True) is False
    assert database.images()[0].doomed
    assert database.delete_container("c") == (chain("1"),)
    assert database.images() == []


@pytest.mark.parametrize("saved", ["tag", "add", "container"])
def test_a_doomed_image_stays_where_it_is_wanted_again(database, saved):
    image(database, "1", [chain("a")], ["x:1"])
    database.insert_container("c", "c", 1, b"{}", image_id=chain("1"))
    database.remove_image(chain("1"), ["x:1"], delete=True)
    if saved == "tag":
        database.set_tag("x:2", chain("1"))
    elif saved == "add":
        image(database, "1", [chain("a")])
    else:
        database.insert_container("d", "d", 1, b"{}", image_id=chain("1"))
    assert database.delete_container("c") == ()
    assert [row.id for row in database.images()] == [chain("1")]


def test_a_container_that_moves_to_another_image_frees_the_first_and_keeps_the_second(database):
    image(database, "1", [chain("a")], ["x:1"])
    image(database, "2", [chain("b")], ["x:2"])
    database.insert_container("c", "c", 1, b"{}", image_id=chain("1"))
    database.remove_image(chain("1"), ["x:1"], delete=True)
    assert database.move_container("c", b"[]", chain("2")) == (chain("1"),)
    assert [row.id for row in database.images()] == [chain("2")]
    assert database.containers()[0].record == b"[]"
    assert not database.delete_image(chain("2"))
    database.flush()


def test_a_container_does_not_move_to_an_image_that_is_gone(database):
    image(database, "1", [chain("a")], ["x:1"])
    database.insert_container("c", "c", 1, b"{}", image_id=chain("1"))
    with pytest.raises(errors.NotFound, match="No such image"):
        database.move_container("c", b"[]", chain("2"))
    with pytest.raises(errors.NotFound, match="No such container"):
        database.move_container("d", b"[]", chain("1"))
    assert database.containers()[0].record == b"{}"


def test_a_container_of_an_image_that_is_gone_is_refused(database):
    with pytest.raises(errors.NotFound, match="No such image"):
        database.insert_container("c", "c", 1, b"{}", image_id=chain("1"))
    assert database.containers() == []


def test_a_name_that_went_to_another_image_meanwhile_is_not_removed(database):
    image(database, "1", [chain("a")], ["x:1"])
    image(database, "2", [chain("a")], ["x:1"])
    assert database.remove_image(chain("1"), ["x:1"], delete=True) is True
    assert [row.references for row in database.images()] == [("x:1",)]


def test_marks_say_what_another_boot_did_not_flush(tmp_path):
    def opened(boot):
        return contextlib.closing(db.Database(str(tmp_path / "pouch.db"), boot=boot))

    with opened("one") as database:
        database.insert_blob(chain("a"), 1)
        database.insert_layer(db.LayerRow(chain("b"), chain("b"), "", 1))
        assert database.begin_flush() is True
        database.insert_blob(chain("c"), 1)  # while the flush is under way: it may have come too late for it
        database.end_flush()
        assert database.begin_flush() is True
        database.insert_blob(chain("d"), 1)
        assert database.doubtful() == image_records.Unused((), ())
    with opened("two") as database:
        assert database.doubtful() == image_records.Unused((), (chain("c"), chain("d")))
        assert database.begin_flush() is False  # nothing of this boot
        database.confirm_blob(chain("c"))
        database.insert_blob(chain("d"), 1)
        assert database.doubtful() == image_records.Unused((), ())


def test_what_was_written_anew_during_a_flush_is_not_taken_for_flushed(database):
    database.insert_blob(chain("a"), 1)
    database.begin_flush()
    database.take_unused(())
    database.insert_blob(chain("a"), 1)
    database.end_flush()
    assert database.begin_flush() is True


def test_a_file_of_the_first_version_comes_along(tmp_path):
    """Containers find their image; blobs are noted when the store is tidied."""
    path = tmp_path / "pouch.db"
    raw = sqlite3.connect(path)
    raw.executescript(next(iter(db._steps())))
    raw.execute("INSERT INTO images VALUES (?, '', '', 1)", (chain("1"),))
    record = json.dumps({"image_id": chain("1")}).encode()
    raw.execute("INSERT INTO containers VALUES ('c', 'c', 1, ?), ('d', 'd', 1, ?)", (record, b"\xff"))
    raw.execute(f"PRAGMA application_id = {db.APPLICATION_ID}")
    raw.execute("PRAGMA user_version = 1")
    raw.commit()
    raw.close()
    with contextlib.closing(db.Database(str(path))) as database:
        assert database.delete_image(chain("1")) is False
        database.delete_container("c")
        assert database.delete_image(chain("1")) is True


def test_an_image_on_an_unknown_layer_is_refused_whole(database):
    with pytest.raises(errors.Conflict):
        database.insert_image(
            chain("1"), manifest_digest="", created="", size=0, layers=[chain("a")], references=["x:1"]
        )
    assert database.images() == []


def test_tags_are_set_and_deleted(database):
    image(database, "1", [], [])
    database.set_tag("x:1", chain("1"))
    assert database.images()[0].references == ("x:1",)
    database.delete_tag("x:1")
    database.delete_tag("x:1")
    assert database.images()[0].references == ()
    with pytest.raises(errors.NotFound):
        database.set_tag("x:1", chain("9"))


def test_threads_share_one_connection(database):
    def work(number):
        for index in range(50):
            database.set_meta(f"{number}-{index}", str(index))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [database.get_meta(f"{number}-49") for number in range(4)] == ["49"] * 4


def test_the_file_is_private_and_in_wal_mode(tmp_path, database):
    assert (tmp_path / "pouch.db").stat().st_mode & 0o777 == 0o600
    other = sqlite3.connect(tmp_path / "pouch.db")
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_a_file_of_rubbish_is_corrupt_and_kept(tmp_path):
    path = tmp_path / "pouch.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(errors.CorruptData, match=f"database {path}: file is not a database"):
        db.Database(str(path))
    assert path.read_bytes() == b"no database at all" * 100


def test_a_damaged_file_is_corrupt(tmp_path):
    path = tmp_path / "pouch.db"
    made = db.Database(str(path))
    for number in range(300):
        made.insert_container(f"{number:064d}", f"n{number}", number, b"x" * 500)
    made.close()
    raw = bytearray(path.read_bytes())
    raw[8192:40960] = b"\xff" * (40960 - 8192)
    path.write_bytes(raw)
    with pytest.raises(errors.CorruptData, match=f"database {path}"):
        db.Database(str(path))


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "pouch.db"
    db.Database(str(path)).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(
        errors.Unsupported, match=f"version 99 is newer than this pouchd, which knows {len(db._steps())}"
    ):
        db.Database(str(path))


def test_another_programs_database_is_refused_and_untouched(tmp_path):
    path = tmp_path / "pouch.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    with pytest.raises(errors.CorruptData, match="it belongs to another program"):
        db.Database(str(path))
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    raw.close()


def test_a_failing_migration_leaves_the_version_before_it(tmp_path, monkeypatch):
    good = db._steps()
    path = str(tmp_path / "pouch.db")
    monkeypatch.setattr(db, "_steps", lambda: [*good, "CREATE TABLE extra (x);\nCREATE TABLE extra (x);"])
    with pytest.raises(errors.Unavailable, match="table extra already exists"):
        db.Database(path)
    monkeypatch.setattr(db, "_steps", lambda: [*good, "CREATE TABLE extra (x);"])
    db.Database(path).close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (len(good) + 1,)
    assert raw.execute("SELECT count(*) FROM extra").fetchone() == (0,)
    raw.close()


def test_a_directory_that_does_not_exist_is_unavailable(tmp_path):
    with pytest.raises(errors.Unavailable, match="unable to open database file"):
        db.Database(str(tmp_path / "missing" / "pouch.db"))


def test_a_full_disk_is_unavailable_and_changes_nothing(database):
    database._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(errors.Unavailable, match=f"database {database.path}: database or disk is full") as caught:
        database.insert_container("big", "big", 1, b"x" * 1_000_000)
    assert caught.value.hint
    assert database.containers() == []


def test_a_closed_database_says_so(database):
    database.close()
    database.close()
    with pytest.raises(errors.Unavailable, match="it is closed"):
        database.containers()
