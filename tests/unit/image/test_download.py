"""Blobs on their way: one download for all that want it, carried on by another, kept for a while, deleted when wrong."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest

from pouch.image import download
from pouch.spec import descriptor, digest, errors

PATIENCE = 30
"""Seconds that a failing test waits."""
DATA = bytes(range(256)) * 64


class Stream:
    """Gives pieces; an Event among them is waited for, an exception raised."""

    def __init__(self, script):
        self._script = list(script)

    def read(self, size):
        while self._script:
            step = self._script.pop(0)
            if isinstance(step, threading.Event):
                assert step.wait(PATIENCE)
            elif isinstance(step, BaseException):
                raise step
            else:
                assert len(step) <= size
                return step
        return b""


class Source:
    """A repository whose answers are scripted, one script a call."""

    def __init__(self, *scripts, behind=None):
        """behind: the registry behind this mirror."""
        self._scripts = list(scripts)
        self._behind = behind
        self.mirrored = behind is not None
        self.offsets = []

    def direct(self):
        return self._behind

    @contextlib.contextmanager
    def blob(self, wanted, *, offset=0):
        self.offsets.append(offset)
        yield Stream(self._scripts.pop(0))


def wanted(data=DATA, *, of=None, size=None):
    return descriptor.Descriptor("layer", of or digest.of_bytes(data), len(data) if size is None else size)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def downloads(store, clock):
    return download.Downloads(store.images.content, clock=clock)


@pytest.fixture
def leased(store):
    """What is committed stays until the test's end."""
    with store.images.lease([digest.of_bytes(DATA)]):
        yield


def fetch(incoming, source, *, check=lambda: None, told=lambda count: None):
    incoming.fetch(source, told, check)


def drain(incoming, check=lambda: None, size=1000):
    reader = incoming.reader(check)
    found = b""
    while piece := reader.read(size):
        found += piece
    assert reader.position == len(found)
    return found


def in_thread(work, *arguments):
    """Run work beside the test; `join` gives its answer or raises."""

    class Running(threading.Thread):
        def run(self):
            self.answer = self.error = None
            try:
                self.answer = work(*arguments)
            except BaseException as error:
                self.error = error

        def result(self):
            self.join(PATIENCE)
            assert not self.is_alive()
            if self.error is not None:
                raise self.error
            return self.answer

    thread = Running(daemon=True)
    thread.start()
    return thread


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def unfinished(store):
    return os.listdir(store.paths.tmp)


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.usefixtures("leased")
def test_a_blob_is_kept_with_its_digest_and_nothing_else_is_left(store, downloads):
    before = open_files()
    (incoming,) = downloads.join("a", [wanted()])
    counts = []
    fetch(incoming, Source([DATA[:5000], DATA[5000:]]), told=counts.append)
    assert drain(incoming) == DATA
    downloads.leave("a", [incoming], resumable=True)
    assert store.images.content.read(digest.of_bytes(DATA)) == DATA
    assert counts == [5000, len(DATA)]
    assert unfinished(store) == []
    assert open_files() == before


@pytest.mark.usefixtures("leased")
def test_the_growing_file_is_read_while_it_comes_and_ends_only_when_the_digest_is_right(downloads):
    gate, last = threading.Event(), threading.Event()
    (incoming,) = downloads.join("a", [wanted()])
    getting = in_thread(fetch, incoming, Source([DATA[:100], gate, DATA[100:], last]))
    reader = incoming.reader(lambda: None)
    assert reader.read(1000) == DATA[:100]
    gate.set()
    rest = b""
    while len(rest) < len(DATA) - 100:
        rest += reader.read(1 << 20)
    assert rest == DATA[100:]
    ending = in_thread(reader.read, 10)
    ending.join(0.3)
    assert ending.is_alive(), "an end was told before the digest was known"
    last.set()
    assert ending.result() == b""
    getting.result()
    downloads.leave("a", [incoming], resumable=False)


@pytest.mark.usefixtures("leased")
def test_several_that_want_one_blob_share_one_download(downloads):
    gate = threading.Event()
    source = Source([DATA[:100], gate, DATA[100:]])
    parts = [downloads.join("a", [wanted()])[0] for _ in range(8)]
    counts = [[] for _ in parts]
    getting = [
        in_thread(lambda part=part, told=told: fetch(part, source, told=told.append))
        for part, told in zip(parts, counts, strict=True)
    ]
    reading = [in_thread(drain, part) for part in parts]
    until(lambda: all(counts))  # those that wait hear how far it is too
    gate.set()
    assert [one.result() for one in reading] == [DATA] * 8
    for one in getting:
        one.result()
    assert source.offsets == [0]
    for part in parts:
        downloads.leave("a", [part], resumable=False)


@pytest.mark.usefixtures("leased")
def test_who_waits_carries_on_where_the_first_gave_up(store, downloads):
    gave_up = errors.Unavailable("cancelled")
    gate = threading.Event()
    first, second = (downloads.join("a", [wanted()])[0] for _ in range(2))
    giving_up = in_thread(fetch, first, Source([DATA[:100], gate, gave_up]))
    until(lambda: first.count == 100)
    source = Source([DATA[100:]])
    carrying_on = in_thread(fetch, second, source)
    gate.set()
    with pytest.raises(errors.Unavailable, match="cancelled"):
        giving_up.result()
    downloads.leave("a", [first], resumable=False)
    carrying_on.result()
    assert source.offsets == [100]
    assert drain(second) == DATA
    downloads.leave("a", [second], resumable=False)
    assert store.images.content.read(digest.of_bytes(DATA)) == DATA


@pytest.mark.usefixtures("leased")
def test_what_a_failed_pull_has_got_is_carried_on_by_the_next(store, downloads):
    (first,) = downloads.join("a", [wanted()])
    with pytest.raises(errors.Unavailable):
        fetch(first, Source([DATA[:3000], errors.Unavailable("cut")]))
    downloads.leave("a", [first], resumable=True)
    (second,) = downloads.join("a", [wanted()])
    source = Source([DATA[3000:]])
    fetch(second, source)
    assert source.offsets == [3000]
    assert drain(second) == DATA
    downloads.leave("a", [second], resumable=True)
    assert unfinished(store) == []


def test_what_was_cancelled_is_deleted(store, downloads):
    before = open_files()
    (first,) = downloads.join("a", [wanted()])
    with pytest.raises(errors.Unavailable):
        fetch(first, Source([DATA[:3000], errors.Unavailable("cut")]))
    downloads.leave("a", [first], resumable=False)
    assert unfinished(store) == []
    assert open_files() == before
    assert not downloads.waiting


def test_what_is_kept_goes_after_its_time(store, downloads, clock):
    (first,) = downloads.join("a", [wanted()])
    with pytest.raises(errors.Unavailable):
        fetch(first, Source([DATA[:3000], errors.Unavailable("cut")]))
    downloads.leave("a", [first], resumable=True)
    clock.now += download.KEPT_SECONDS - 1
    downloads.discard(older=download.KEPT_SECONDS)
    assert downloads.waiting
    assert len(unfinished(store)) == 1
    clock.now += 2
    downloads.discard(older=download.KEPT_SECONDS)
    assert not downloads.waiting
    assert unfinished(store) == []


def test_a_lease_of_a_failed_pull_rests_as_long(store, downloads, clock):
    blob = digest.of_bytes(DATA)
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.images.lease([blob]))
        store.images.content.put(DATA)
        downloads.rest(stack.pop_all())
    store.images.collect()
    assert store.images.content.exists(blob)
    clock.now += download.KEPT_SECONDS + 1
    downloads.discard(older=download.KEPT_SECONDS)
    assert not store.images.content.exists(blob)


def test_wrong_bytes_are_told_to_all_and_deleted(store, downloads):
    (first,), (second,) = (downloads.join("a", [wanted(of=digest.of_bytes(b"other"))]) for _ in range(2))
    with pytest.raises(errors.CorruptData, match=rf"its content has the digest {digest.of_bytes(DATA)}"):
        fetch(first, Source([DATA]))
    with pytest.raises(errors.CorruptData, match="its content has the digest"):
        fetch(second, Source())
    reader = second.reader(lambda: None)
    assert reader.read(1 << 20) == DATA
    with pytest.raises(errors.CorruptData, match="its content has the digest"):
        reader.read(10)
    downloads.leave("a", [first], resumable=True)
    (third,) = downloads.join("a", [wanted(of=digest.of_bytes(b"other"))])
    assert third is not first, "the next pull begins anew, also while another still holds the wrong one"
    downloads.leave("a", [second], resumable=True)
    downloads.leave("a", [third], resumable=True)
    assert unfinished(store) == []


@pytest.mark.usefixtures("leased")
def test_a_mirrors_wrong_bytes_are_thrown_away_and_come_from_the_registry_itself(store, downloads):
    gate = threading.Event()
    registry = Source([DATA[:100], gate, DATA[100:]])
    mirror = Source([b"x" * len(DATA)], behind=registry)
    (incoming,) = downloads.join("a", [wanted()])
    early = incoming.reader(lambda: None)
    getting = in_thread(fetch, incoming, mirror)
    while not early.stale:
        with contextlib.suppress(download.Stale):
            assert set(early.read(100)) == {ord("x")}
    with pytest.raises(download.Stale, match="it comes anew"):
        early.read(100)
    gate.set()
    assert drain(incoming) == DATA
    getting.result()
    assert registry.offsets == [0]
    downloads.leave("a", [incoming], resumable=True)
    assert unfinished(store) == []


def test_a_mirror_that_is_cut_is_no_reason_to_begin_anew(downloads):
    registry = Source()
    mirror = Source([DATA[:100], errors.Unavailable("cut")], behind=registry)
    (incoming,) = downloads.join("a", [wanted()])
    with pytest.raises(errors.Unavailable, match="cut"):
        fetch(incoming, mirror)
    assert (incoming.count, registry.offsets) == (100, [])
    downloads.leave("a", [incoming], resumable=False)


@pytest.mark.parametrize(
    ("size", "wrong"), [(len(DATA) - 1, "more than the"), (len(DATA) + 1, f"it ended after {len(DATA)} of")]
)
def test_a_wrong_number_of_bytes_is_refused(store, downloads, size, wrong):
    (incoming,) = downloads.join("a", [wanted(size=size)])
    with pytest.raises(errors.PouchError, match=wrong):
        fetch(incoming, Source([DATA]))
    downloads.leave("a", [incoming], resumable=False)
    assert unfinished(store) == []


def test_another_registrys_bytes_are_not_carried_on(downloads):
    (evil,) = downloads.join("evil", [wanted()])
    with pytest.raises(errors.Unavailable):
        fetch(evil, Source([b"x" * 100, errors.Unavailable("cut")]))
    downloads.leave("evil", [evil], resumable=True)
    (good,) = downloads.join("good", [wanted()])
    assert good is not evil
    assert good.count == 0
    downloads.leave("good", [good], resumable=False)
    downloads.discard()


def test_a_wait_ends_when_it_has_no_purpose_any_more(downloads):
    def leave():
        raise errors.Unavailable("the client has gone")

    gate = threading.Event()
    first, second = (downloads.join("a", [wanted()])[0] for _ in range(2))
    getting = in_thread(fetch, first, Source([DATA[:10], gate, errors.Unavailable("cut")]))
    until(lambda: first.count)
    with pytest.raises(errors.Unavailable, match="the client has gone"):
        fetch(second, Source(), check=leave)
    reader = second.reader(leave)
    assert reader.read(100) == DATA[:10]
    with pytest.raises(errors.Unavailable, match="the client has gone"):
        reader.read(100)
    gate.set()
    with pytest.raises(errors.Unavailable, match="cut"):
        getting.result()
    downloads.leave("a", [first, second], resumable=False)


@pytest.mark.usefixtures("leased")
def test_a_blob_that_came_another_way_is_not_downloaded(store, downloads):
    store.images.content.put(DATA)
    (incoming,) = downloads.join("a", [wanted()])
    source = Source()
    fetch(incoming, source)
    assert source.offsets == []
    assert drain(incoming) == DATA
    downloads.leave("a", [incoming], resumable=False)
    (wrong,) = downloads.join("a", [wanted(size=5)])
    with pytest.raises(errors.CorruptData, match=f"it has {len(DATA)} bytes, the manifest says 5"):
        fetch(wrong, source)
    downloads.leave("a", [wrong], resumable=False)


@pytest.mark.usefixtures("leased")
def test_an_empty_blob_is_a_blob(store, downloads):
    with store.images.lease([digest.of_bytes(b"")]):
        (incoming,) = downloads.join("a", [wanted(b"")])
        fetch(incoming, Source())
        assert drain(incoming) == b""
        downloads.leave("a", [incoming], resumable=False)
        assert store.images.content.read(digest.of_bytes(b"")) == b""


def test_a_full_disk_is_told_and_leaves_nothing(store, downloads, monkeypatch):
    (incoming,) = downloads.join("a", [wanted()])
    writer = type("Full", (), {"count": 0, "path": __file__, "write": lambda *_: full()})()

    def full():
        raise errors.Unavailable("no space left on device")

    monkeypatch.setattr(store.images.content, "writer", lambda *_, **__: contextlib.nullcontext(writer))
    with pytest.raises(errors.Unavailable, match="no space left"):
        fetch(incoming, Source([DATA]))
    assert incoming.spoiled
    downloads.leave("a", [incoming], resumable=True)
    assert not downloads.waiting
