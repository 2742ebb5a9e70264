"""Pushing: what is sent and what is not, in which words, and what a failure or a client that leaves does. The registry is a fake in memory."""

from __future__ import annotations

import threading

import pytest
from support import images, kept

from pouch.image import push
from pouch.spec import digest, errors

BASE = images.layer(images.file("etc/os", "small"))
MORE = images.layer(images.file("etc/motd", "hello"))
LARGE = images.layer(images.file("srv/x", bytes(range(256)) * 16000))
WAIT = 30.0


class FakeRepository:
    """A repository in memory. others: blobs by path of other repositories; fails: error by digest."""

    def __init__(self, others=None):
        self.blobs, self.manifests, self.order = {}, {}, []
        self.others = others or {}
        self.fails = {}
        self.tried = []
        self.says = None
        self.gate = None
        self.sending = threading.Semaphore(0)
        self.most = self._now = 0
        self._lock = threading.Lock()

    def has_blob(self, digest):
        return digest in self.blobs

    def mount_blob(self, digest, from_path):
        self.tried.append((digest, from_path))
        if digest not in self.others.get(from_path, ()):
            return False
        self.blobs[digest] = b"mounted"
        return True

    def push_blob(self, descriptor, opened, told):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.sending.release()
        try:
            if self.gate:
                self.gate()
            if descriptor.digest in self.fails:
                raise self.fails[descriptor.digest]
            with opened() as file:
                data = b""
                while piece := file.read(64 << 10):
                    data += piece
                    told(len(data))
            assert (digest.of_bytes(data), len(data)) == (descriptor.digest, descriptor.size)
            self.blobs[descriptor.digest] = data
            self.order.append(descriptor.digest)
        finally:
            with self._lock:
                self._now -= 1

    def push_manifest(self, raw, media_type, ref):
        self.manifests[ref] = (raw, media_type)
        return digest.of_bytes(raw) if self.says is None else self.says


class Pushing:
    """One push and what it told."""

    def __init__(self, store, repository, limit=5):
        self.store, self.repository = store, repository
        self.uploads = push.Uploads(limit)
        self.steps, self.results = [], []
        self.cancel = threading.Event()

    def report(self, status, id="", current=0, total=0):
        self.steps.append((status, id, current, total))

    def run(self, name, **options):
        chosen = push.chosen(self.store.images, name, **options)
        push.push(
            self.store.images,
            self.store.database,
            self.repository,
            chosen,
            self.uploads,
            report=self.report,
            told=lambda *result: self.results.append(result),
            cancel=self.cancel,
        )

    def of(self, tar):
        """The statuses of a layer, in order, each once."""
        shown = digest.of_bytes(tar)[7:19]
        return list(dict.fromkeys(status for status, id, *_ in self.steps if id == shown))

    @property
    def sentences(self):
        return [status for status, id, *_ in self.steps if not id]


@pytest.fixture
def pushing(store):
    return Pushing(store, FakeRepository())


def keep(store, *layers, tags=("r.test:5000/a/x:1",), **more):
    return kept.keep(store, images.Picture(layers=list(layers), tags=tags), compress=images.zipped, **more)


def blob(tar):
    return digest.of_bytes(images.zipped(tar))


@pytest.mark.parametrize("types", [kept.OCI, kept.DOCKER], ids=["oci", "docker"])
def test_blobs_come_before_the_manifest_which_is_as_it_came(store, pushing, types):
    image = keep(store, BASE, MORE, types=types)
    pushing.run("r.test:5000/a/x:1")
    repository = pushing.repository
    assert set(repository.blobs) == {image.id, blob(BASE), blob(MORE)}
    assert repository.manifests == {"1": (store.images.manifest(image), types[0])}
    assert pushing.results == [("1", image.manifest_digest, len(store.images.manifest(image)))]
    assert pushing.sentences == [
        "The push refers to repository [r.test:5000/a/x]",
        f"1: digest: {image.manifest_digest} size: {len(store.images.manifest(image))}",
    ]
    assert pushing.of(BASE) == pushing.of(MORE) == ["Preparing", "Pushing", "Pushed"]
    assert [id for status, id, *_ in pushing.steps if status == "Preparing"] == [
        digest.of_bytes(MORE)[7:19],
        digest.of_bytes(BASE)[7:19],
    ]


def test_what_was_pushed_has_a_name_by_digest_and_is_known_to_be_there(store, pushing):
    image = keep(store, BASE)
    pushing.run("r.test:5000/a/x:1")
    assert store.images.get(image.id).digests == (f"r.test:5000/a/x@{image.manifest_digest}",)
    assert store.database.sources(blob(BASE)) == ["r.test:5000/a/x"]
    assert store.database.sources(image.id) == ["r.test:5000/a/x"]


def test_a_blob_that_is_there_is_not_sent(store, pushing):
    keep(store, BASE, MORE)
    pushing.repository.blobs[blob(BASE)] = b"there"
    pushing.run("r.test:5000/a/x:1")
    assert pushing.of(BASE) == ["Preparing", "Layer already exists"]
    assert blob(BASE) not in pushing.repository.order


def test_a_blob_that_another_repository_of_the_registry_holds_is_mounted(store, pushing):
    keep(store, BASE, MORE)
    pushing.repository.others = {"b/has": {blob(BASE)}}
    for name in ("r.test:5000/b/gone", "r.test:5000/b/has", "other.test/b/has", "r.test:5000/a/x"):
        store.database.note_source(blob(BASE), name)
    pushing.run("r.test:5000/a/x:1")
    assert pushing.of(BASE) == ["Preparing", "Mounted from b/has"]
    assert pushing.repository.tried == [(blob(BASE), "b/gone"), (blob(BASE), "b/has")]
    assert pushing.of(MORE) == ["Preparing", "Pushing", "Pushed"]


def test_a_repository_that_the_pusher_may_not_read_is_no_reason_to_fail(store, pushing):
    keep(store, BASE)
    store.database.note_source(blob(BASE), "r.test:5000/b/secret")

    def refuse(digest, from_path):
        raise errors.Forbidden("denied: requested access to the resource is denied")

    pushing.repository.mount_blob = refuse
    pushing.run("r.test:5000/a/x:1")
    assert pushing.of(BASE)[-1] == "Pushed"


def test_after_some_vain_mounts_a_blob_is_sent(store, pushing):
    keep(store, BASE)
    for number in range(push.MOUNTS_TRIED + 2):
        store.database.note_source(blob(BASE), f"r.test:5000/b/{number}")
    pushing.run("r.test:5000/a/x:1")
    assert len(pushing.repository.tried) == push.MOUNTS_TRIED
    assert pushing.of(BASE)[-1] == "Pushed"


def test_progress_counts_the_blobs_bytes_and_not_every_piece(store, pushing):
    keep(store, LARGE)
    size = len(images.zipped(LARGE))
    pushing.run("r.test:5000/a/x:1")
    told = [(current, total) for status, _, current, total in pushing.steps if status == "Pushing"]
    assert told[0] == (0, size)
    assert {total for _, total in told} == {size}
    assert [current for current, _ in told] == sorted({current for current, _ in told})
    assert len(told) <= 2 + size // (512 << 10)


def test_a_layer_that_comes_twice_is_sent_once(store, pushing):
    keep(store, BASE, MORE, BASE)
    pushing.run("r.test:5000/a/x:1")
    assert pushing.repository.order.count(blob(BASE)) == 1
    assert [status for status, id, *_ in pushing.steps if id == digest.of_bytes(BASE)[7:19]].count("Pushed") == 1


def test_all_tags_go_in_their_order_and_shared_layers_once(store, pushing):
    keep(store, BASE, tags=("r.test:5000/a/x:2", "r.test:5000/a/x:2b"))
    keep(store, BASE, MORE, tags=("r.test:5000/a/x:1", "r.test:5000/other:1"))
    pushing.run("r.test:5000/a/x", every_tag=True)
    assert [tag for tag, *_ in pushing.results] == ["1", "2", "2b"]
    assert set(pushing.repository.manifests) == {"1", "2", "2b"}
    assert pushing.repository.order.count(blob(BASE)) == 1
    assert pushing.sentences[0] == "The push refers to repository [r.test:5000/a/x]"
    assert len(pushing.sentences) == 4


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("nobody/x:1", errors.NotFound, "An image does not exist locally with the tag: nobody/x"),
        ("r.test:5000/a/x:2", errors.NotFound, "tag does not exist: r.test:5000/a/x:2"),
        ("r.test:5000/a/x@sha256:" + "0" * 64, errors.InvalidInput, "cannot push a digest reference"),
        ("a/X", errors.InvalidInput, "must be lowercase"),
    ],
)
def test_what_cannot_be_pushed_is_said_in_dockers_sentences(store, pushing, name, error, sentence):
    keep(store, BASE)
    with pytest.raises(error) as failed:
        pushing.run(name)
    assert sentence in failed.value.message
    assert pushing.steps == []


def test_an_image_whose_layers_were_not_kept_says_what_to_do(store, pushing):
    store.image("r.test/old:1")
    with pytest.raises(errors.Unsupported, match="were not kept") as failed:
        pushing.run("r.test/old:1")
    assert failed.value.hint


def test_a_failed_upload_is_the_answer_and_no_manifest_is_sent(store, pushing):
    image = keep(store, BASE, MORE)
    pushing.repository.fails[blob(MORE)] = errors.Forbidden("denied: requested access to the resource is denied")
    with pytest.raises(errors.Forbidden, match=r"^denied: requested access to the resource is denied$"):
        pushing.run("r.test:5000/a/x:1")
    assert pushing.cancel.is_set()
    assert pushing.repository.manifests == {}
    assert pushing.results == []
    assert store.images.get(image.id).digests == ()
    assert store.database.sources(blob(MORE)) == []


def test_a_registry_that_takes_the_manifest_for_another_is_not_believed(store, pushing):
    keep(store, BASE)
    pushing.repository.says = digest.of_bytes(b"other")
    with pytest.raises(errors.CorruptData, match="the registry took the manifest"):
        pushing.run("r.test:5000/a/x:1")


def test_at_most_so_many_uploads_run_at_once_also_over_several_pushes(store):
    layers = [images.layer(images.file(f"f{number}", "x")) for number in range(6)]
    keep(store, *layers)
    repository = FakeRepository()
    both = threading.Barrier(2)
    repository.gate = lambda: both.wait(WAIT)  # passes only in pairs: two do run at once
    one, two = Pushing(store, repository, limit=2), Pushing(store, repository, limit=2)
    two.uploads = one.uploads
    image = store.images.get("r.test:5000/a/x:1")
    repository.blobs[image.id] = b"there"
    threads = [threading.Thread(target=each.run, args=("r.test:5000/a/x:1",)) for each in (one, two)]
    repository.has_blob = lambda digest: digest == image.id  # so that both send all
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert repository.most == 2
    assert len(repository.order) == 12
    assert sum(status == "Waiting" for status, *_ in one.steps) >= 4  # those that have no turn at once


def test_who_leaves_while_a_push_waits_for_its_turn_ends_it(store):
    keep(store, BASE, MORE)
    repository = FakeRepository()
    left = threading.Event()
    repository.gate = lambda: left.wait(WAIT)
    pushing = Pushing(store, repository, limit=1)
    failures = []

    def run():
        try:
            pushing.run("r.test:5000/a/x:1")
        except errors.PouchError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert repository.sending.acquire(timeout=WAIT)
    pushing.cancel.set()
    left.set()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert [type(error) for error in failures] == [errors.Unavailable]
    assert repository.manifests == {}
    assert len(repository.order) <= 1


def test_what_is_being_pushed_is_not_collected(store, pushing):
    image = keep(store, BASE)
    pushing.uploads = push.Uploads(1)
    removed = []
    pushing.repository.gate = lambda: removed or removed.append(store.images.remove("r.test:5000/a/x:1"))
    pushing.run("r.test:5000/a/x:1")
    assert pushing.repository.blobs[blob(BASE)] == images.zipped(BASE)
    assert "1" in pushing.repository.manifests
    with pytest.raises(errors.NotFound):
        store.images.get(image.id)
    assert not store.images.content.exists(blob(BASE))
