"""The collector: what is used or leased stays, what is not goes, whoever does what at the same time."""

from __future__ import annotations

import errno
import os
import random
import threading

import pytest

from pouch.spec import digest, errors
from pouch.store import content, db, erase, gc, paths


class Store:
    """Layers and blobs called by words, without any image room."""

    def __init__(self, top, run, **options):
        self.paths = paths.Paths(str(top), run)
        self.paths.ensure()
        self.database = db.Database(self.paths.db)
        self.content = content.Content(self.paths, self.database)
        self.collector = gc.Collector(self.paths, self.database, **options)

    def layer(self, word):
        """A layer of that name, with one file; its chain-id."""
        of = digest.of_bytes(word.encode())
        os.makedirs(self.paths.layer(of), exist_ok=True)
        with open(f"{self.paths.layer(of)}/file", "w", encoding="utf-8") as file:
            file.write(word)
        self.database.insert_layer(db.LayerRow(of, of, "", 10))
        return of

    def image(self, word, layers):
        """An image on leased layers, each of which has a blob: the word itself."""
        id = self.content.put(f"config {word}".encode())
        manifest = self.content.put(f"manifest {word}".encode())
        rows = [db.BlobRow(self.content.put(one.encode()), self.layer(one), "tar", len(one)) for one in layers]
        self.database.insert_image(
            id,
            manifest_digest=manifest,
            created="",
            size=1,
            layers=[row.diff_id for row in rows],
            references=[f"x/{word}:1"],
            blobs=rows,
        )
        return id

    def names(self, word, layers):
        """What an image needs."""
        words = [f"config {word}", f"manifest {word}", *layers]
        return [digest.of_bytes(one.encode()) for one in words]

    def left(self):
        return sorted([*os.listdir(self.paths.layers), *os.listdir(self.paths.blobs), *os.listdir(self.paths.tmp)])


@pytest.fixture
def store(tmp_path, short_run):
    made = Store(tmp_path, short_run)
    yield made
    made.database.close()


def test_what_is_leased_stays_and_goes_with_the_last_lease(store):
    with store.collector.lease(store.names("web", ["a"])):
        with store.collector.lease(store.names("web", ["a"])):
            store.layer("a")
            store.content.put(b"a")
        assert len(store.left()) == 2
        assert store.collector.collect().layers == ()
    assert store.left() == []
    assert store.database.layers() == []
    assert store.database.blobs() == {}


def test_more_can_be_leased_as_it_becomes_known(store):
    with store.collector.lease() as lease, store.content.writer() as writer:
        writer.write(b"made by us")
        lease.add([writer.digest()])
        blob = writer.commit().digest
        with store.collector.lease():
            pass
        assert store.content.exists(blob)
    assert store.left() == []


def test_a_lease_is_let_go_of_when_the_work_fails(store):
    with pytest.raises(ValueError, match="x"), store.collector.lease() as lease:
        lease.add([store.layer("a")])
        raise ValueError("x")
    assert store.left() == []


def test_deleting_can_be_put_off_but_not_the_going(tmp_path, short_run):
    later = []
    store = Store(tmp_path, short_run, defer=later.append)
    layer = store.layer("a")
    store.collector.collect()
    assert not os.path.exists(store.paths.layer_home(layer))
    [grave] = os.listdir(store.paths.tmp)
    assert os.listdir(f"{store.paths.tmp}/{grave}") == ["fs"]
    for work in later:
        work()
    assert os.listdir(store.paths.tmp) == []
    store.database.close()


def test_what_cannot_be_deleted_is_said_and_left_to_the_next_start(store, monkeypatch, caplog):
    def resist(path):
        raise errors.KernelError("unlink", path, 1)

    store.layer("a")
    with monkeypatch.context() as patched:
        patched.setattr(erase, "erase", resist)
        assert len(store.collector.collect().layers) == 1
    assert "could not be deleted" in caplog.text
    assert os.listdir(store.paths.layers) == []
    store.collector.tidy()
    assert store.left() == []


def test_where_nothing_can_be_moved_it_is_deleted_in_place(store, monkeypatch, caplog):
    """A full disk may refuse the name that is to be given: that must not keep images from being removed."""

    def full(path, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.layer("a")
    store.content.put(b"blob")
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", full)
        assert len(store.collector.collect().layers) == 1
    assert store.left() == []
    assert "is deleted where it is: No space left on device" in caplog.text


def test_at_the_start_everything_goes_that_no_record_knows_or_nobody_uses(store, caplog):
    caplog.set_level("INFO")
    with store.collector.lease(store.names("kept", ["a"])):
        store.image("kept", ["a"])
    kept = store.left()
    os.makedirs(f"{store.paths.layers}/{'f' * 64}/fs/deep")
    os.makedirs(f"{store.paths.tmp}/layer-1/fs")
    for path in (f"{store.paths.blobs}/{'e' * 64}", f"{store.paths.tmp}/blob-1"):
        with open(path, "w", encoding="utf-8"):
            pass
    os.symlink("/", f"{store.paths.tmp}/link")
    store.layer("b")
    store.content.put(b"b")
    store.collector.tidy()
    assert store.left() == kept
    assert "what was left behind is deleted: 3 unfinished, 1 layers and 1 blobs without a record" in caplog.text
    caplog.clear()
    store.collector.tidy()
    assert caplog.text == ""


def test_documents_of_before_blobs_were_noted_are_noted_at_the_start(store):
    with store.collector.lease(store.names("kept", ["a"])):
        id = store.image("kept", ["a"])
    store.database._connection.execute("PRAGMA foreign_keys = OFF")
    store.database._connection.execute("DELETE FROM blobs")
    store.collector.tidy()
    assert store.content.exists(id)
    assert store.database.find_blob(id) == len("config kept")


def test_many_threads_make_and_remove_what_they_share_and_nothing_is_missing_or_left(store):
    """Each image is whole as long as its record is there; in the end nothing is left of those that went."""
    wrong = []
    words = [f"w{number}" for number in range(4)]
    layers = ["a", "b", "c"]
    turns = {word: threading.Lock() for word in words}

    def whole(word, chosen):
        blobs = store.names(word, chosen)
        return all(store.content.exists(one) for one in blobs) and all(
            os.path.exists(f"{store.paths.layer(digest.of_bytes(one.encode()))}/file") for one in chosen
        )

    def work(seed):
        dice = random.Random(seed)
        for _ in range(25):
            word = dice.choice(words)
            chosen = layers[: 1 + words.index(word) % 3]
            with turns[word]:  # images of one name do not come and go at once, their layers do
                with store.collector.lease(store.names(word, chosen)):
                    id = store.image(word, chosen)
                    if not whole(word, chosen):
                        wrong.append(f"{word}: incomplete when it was kept")
                if not whole(word, chosen):
                    wrong.append(f"{word}: incomplete after its lease")
                if dice.random() < 0.6:
                    store.database.delete_image(id)
                    store.collector.collect()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for row in store.database.images():
        store.database.delete_image(row.id)
    store.collector.collect()
    assert store.left() == []
    assert store.database.blobs() == {}
    assert store.database.layers() == []


def test_a_collection_that_fails_does_not_hide_why_the_work_did(store, monkeypatch, caplog):
    def full():
        raise errors.Unavailable("no space")

    with monkeypatch.context() as patched:
        patched.setattr(store.collector, "collect", full)
        with pytest.raises(ValueError, match="the work"), store.collector.lease() as lease:
            lease.add([store.layer("a")])
            raise ValueError("the work")
    assert "nothing was collected: no space" in caplog.text
    store.collector.collect()
    assert store.left() == []
