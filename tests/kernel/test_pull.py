"""Pulls from a registry that behaves as told: what comes, how little is asked for it, what is refused, and what is left."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tempfile
import threading
import time

import pytest
import zstandard
from support import fake_registry, images, kernel, loading
from support.pulling import PATIENCE, QUICK, Puller, Steps

from pouch.image import load, silent
from pouch.image.registry import client, hosts
from pouch.spec import descriptor, digest, errors

HERE = "amd64" if os.uname().machine == "x86_64" else "arm64"
OTHER = "arm64" if HERE == "amd64" else "amd64"
LOWER = images.layer(images.directory("etc"), images.file("etc/a", "a" * 100_000))
UPPER = images.layer(images.file("etc/b", "b" * 100_000))


pytestmark = loading.needed


@pytest.fixture
def peer():
    before = len(kernel.open_descriptors())
    with fake_registry.FakeRegistry() as made:
        yield made
    deadline = time.monotonic() + 20
    while len(kernel.open_descriptors()) > before and time.monotonic() < deadline:
        time.sleep(0.01)  # its threads close their connections


@pytest.fixture
def puller(peer):
    top = tempfile.mkdtemp(prefix="pull-", dir="/var/tmp")
    made = Puller(top, peer)
    yield made
    made.downloads.discard()
    made.database.close()
    shutil.rmtree(top)


def config(*tars, architecture=HERE, system="linux", **more):
    diff_ids = [images.sha256(tar) for tar in tars]
    return {
        "architecture": architecture,
        "os": system,
        "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        **more,
    }


def put(peer, tag, *tars, name="web", compress=images.zipped, **more):
    """An image in the registry; its manifest's digest."""
    return peer.put_image(name, tag, [compress(tar) for tar in tars], {**config(*tars), **more})


def short(tar, compress=images.zipped):
    return images.sha256(compress(tar))[7:19]


def blobs_asked(peer, *tars):
    """How often each layer's blob was asked for."""
    return [len(peer.seen("GET", f"/blobs/{images.sha256(images.zipped(tar))}")) for tar in tars]


# -- what comes -------------------------------------------------------------------------------------------------------


def test_an_image_comes_with_all_it_needs(peer, puller):
    top = put(peer, "1", LOWER, UPPER)
    steps = Steps()
    pulled = puller.pull("web:1", steps)
    assert (pulled.digest, pulled.fresh, pulled.name) == (top, True, f"{peer.address}/web:1")
    image = puller.store.get(pulled.id)
    assert image.tags == (f"{peer.address}/web:1",)
    assert image.digests == (f"{peer.address}/web@{top}",)
    assert puller.content_of(pulled.name, "etc/b") == "b" * 100_000
    assert puller.store.manifest(image) == peer.manifests["web", "1"][1], "the manifest is kept as it came"
    assert [row.digest for row in puller.store.blobs(image)] == [
        images.sha256(images.zipped(tar)) for tar in (LOWER, UPPER)
    ]
    assert os.listdir(puller.places.tmp) == []
    assert puller.database.sources(images.sha256(images.zipped(LOWER))) == [f"{peer.address}/web"]
    assert steps.all[0][:2] == ("Pulling from web", "1")
    assert steps.sentences == [f"Digest: {top}", f"Status: Downloaded newer image for {peer.address}/web:1"]
    order = [one for one in steps.of(short(LOWER)) if one != "Extracting"]
    assert order == ["Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Pull complete"]


@pytest.mark.parametrize(
    ("compress", "media"),
    [
        (images.zipped, descriptor.OCI_LAYER_GZIP),
        (zstandard.compress, descriptor.OCI_LAYER_ZSTD),
        (bytes, descriptor.OCI_LAYER),
        (bytes, descriptor.DOCKER_LAYER),
    ],
)
def test_layers_may_be_compressed_or_not(peer, puller, compress, media):
    peer.put_image("web", "1", [compress(LOWER), compress(UPPER)], config(LOWER, UPPER), media_type=media)
    assert puller.content_of(puller.pull("web:1").id, "etc/a") == "a" * 100_000


def test_an_image_that_is_here_costs_one_request(peer, puller):
    top = put(peer, "1", LOWER, UPPER)
    first = puller.pull("web:1")
    before = len(peer.requests)
    steps = Steps()
    again = puller.pull("web:1", steps)
    assert (again.id, again.fresh) == (first.id, False)
    assert [one.method for one in peer.requests[before:]] == ["HEAD"]
    assert steps.sentences == [f"Digest: {top}", f"Status: Image is up to date for {peer.address}/web:1"]


def test_a_name_that_moves_leaves_the_old_image_without_it(peer, puller):
    old = put(peer, "1", LOWER)
    first = puller.pull("web:1")
    put(peer, "1", LOWER, UPPER)
    second = puller.pull("web:1")
    assert second.fresh
    assert puller.store.get(first.id).tags == ()
    assert puller.store.get(first.id).digests == (f"{peer.address}/web@{old}",)
    assert blobs_asked(peer, LOWER, UPPER) == [1, 1]


def test_by_digest_only_that_name_is_given_also_where_a_tag_stands_beside_it(peer, puller):
    top = put(peer, "1", LOWER)
    steps = Steps()
    pulled = puller.pull(f"web:other@{top}", steps)
    image = puller.store.get(pulled.id)
    assert (image.tags, image.digests) == ((), (f"{peer.address}/web@{top}",))
    assert steps.sentences[-1] == f"Status: Downloaded newer image for {peer.address}/web@{top}"
    assert not puller.pull(f"web@{top}").fresh


def test_all_tags_come_and_what_is_no_image_is_passed_over(peer, puller):
    put(peer, "1", LOWER)
    put(peer, "2", LOWER, UPPER)
    note = {"schemaVersion": 2, "mediaType": descriptor.OCI_MANIFEST, "layers": []}
    note["config"] = {"mediaType": "application/vnd.example.note", "digest": digest.of_bytes(b"{}"), "size": 2}
    peer.put_manifest("web", "sig", json.dumps(note).encode(), descriptor.OCI_MANIFEST)
    steps = Steps()
    assert [one.name.rpartition(":")[2] for one in puller.pull("web", steps, all_tags=True)] == ["1", "2"]
    assert any(one.startswith(f"Skipped {peer.address}/web:sig: ") for one in steps.sentences)
    assert blobs_asked(peer, LOWER) == [1]


def test_a_layer_that_stands_twice_in_an_image_comes_once(peer, puller):
    put(peer, "1", LOWER, UPPER, LOWER)
    pulled = puller.pull("web:1")
    assert len(set(puller.store.get(pulled.id).layers)) == 3
    assert blobs_asked(peer, LOWER, UPPER) == [1, 1]


# -- platforms --------------------------------------------------------------------------------------------------------


def put_index(peer, tag, *architectures):
    """An index of images of one layer each, whose file etc/arch says for what it is."""
    entries = []
    for architecture in architectures:
        tar = images.layer(images.file("etc/arch", architecture))
        of = peer.put_image("web", "", [images.zipped(tar)], config(tar, architecture=architecture))
        size = len(peer.manifests["web", of][1])
        platform = {"os": "linux", "architecture": architecture}
        entries.append({"mediaType": fake_registry.MANIFEST, "digest": of, "size": size, "platform": platform})
    raw = json.dumps({"schemaVersion": 2, "mediaType": fake_registry.INDEX, "manifests": entries}).encode()
    return peer.put_manifest("web", tag, raw, fake_registry.INDEX)


def test_of_an_index_this_hosts_image_comes_under_the_indexs_digest(peer, puller):
    top = put_index(peer, "1", OTHER, HERE, "s390x")
    pulled = puller.pull("web:1")
    assert puller.content_of(pulled.id, "etc/arch") == HERE
    assert puller.store.get(pulled.id).digests == (f"{peer.address}/web@{top}",)
    before = len(peer.requests)
    assert not puller.pull("web:1").fresh
    assert len(peer.requests) == before + 1


def test_another_platforms_image_comes_when_asked_for_and_a_warning_with_it(peer, puller):
    put_index(peer, "1", OTHER, HERE)
    mine = puller.pull("web:1")
    steps = Steps()
    theirs = puller.pull("web:1", steps, platform=descriptor.Platform(architecture=OTHER, os="linux"))
    assert theirs.fresh
    assert puller.content_of(theirs.id, "etc/arch") == OTHER
    assert any(one.startswith(f"Warning: {peer.address}/web:1 is made for linux/{OTHER}") for one in steps.sentences)
    assert puller.pull("web:1").id == mine.id, "and this host's again when none is asked for"


def test_an_image_of_another_platform_than_asked_for_is_refused(peer, puller):
    put(peer, "1", LOWER)
    wanted = descriptor.Platform(architecture="s390x", os="linux")
    with pytest.raises(errors.Unsupported, match=f"wanted linux/s390x, actual: linux/{HERE}"):
        puller.pull("web:1", platform=wanted)
    put_index(peer, "2", OTHER, "riscv64")
    with pytest.raises(errors.Unsupported, match=f"no image for linux/.*, it has linux/{OTHER}, linux/riscv64"):
        puller.pull("web:2", platform=wanted)
    put(peer, "3", LOWER, os="windows")
    with pytest.raises(errors.Unsupported, match=f"it is made for windows/{HERE}, expected linux"):
        puller.pull("web:3")
    assert puller.is_empty()


# -- what is here already ---------------------------------------------------------------------------------------------


def test_layers_that_are_here_are_not_downloaded(peer, puller):
    put(peer, "1", LOWER)
    put(peer, "2", LOWER, UPPER)
    puller.pull("web:1")
    steps = Steps()
    puller.pull("web:2", steps)
    assert steps.of(short(LOWER)) == ["Already exists"]
    assert steps.of(short(UPPER))[0] == "Pulling fs layer"
    assert blobs_asked(peer, LOWER, UPPER) == [1, 1]


def loaded(puller, *tars):
    """An image of these layers that came another way: unpacked, but with blobs of our own."""
    load.load(puller.store, io.BytesIO(images.docker_archive(None, images.Picture(layers=list(tars)))), silent)


def test_a_layer_whose_blob_is_another_is_fetched_as_blob_only_and_compared(peer, puller):
    loaded(puller, LOWER)
    put(peer, "1", LOWER, UPPER, compress=zstandard.compress)
    layer = puller.places.layer(puller.store.get("test").layers[0])
    before = os.stat(layer).st_ino
    pulled = puller.pull("web:1")
    image = puller.store.get(pulled.id)
    assert os.stat(layer).st_ino == before, "it was unpacked again"
    assert [row.digest for row in puller.store.blobs(image)] == [
        images.sha256(zstandard.compress(tar)) for tar in (LOWER, UPPER)
    ]
    assert puller.store.get("test").layers[0] == image.layers[0]


def test_a_blob_that_only_claims_to_hold_a_layer_that_is_here_is_refused(peer, puller):
    loaded(puller, LOWER)
    peer.put_image("web", "1", [images.zipped(UPPER)], config(LOWER))
    with pytest.raises(errors.CorruptData, match=f"its content has the digest {images.sha256(UPPER)}"):
        puller.pull("web:1")
    assert [image.tags for image in puller.store.list()] == [("test:latest",)]


# -- what is wrong ----------------------------------------------------------------------------------------------------


def test_a_wrong_digest_is_refused_and_nothing_is_left(peer, puller):
    put(peer, "1", LOWER, UPPER)
    of = images.sha256(images.zipped(UPPER))
    peer.misbehave(fake_registry.Wrong(), path=f"/blobs/{of}", times=None)
    with pytest.raises(errors.CorruptData, match=rf"blob {of}: its content has the digest sha256:"):
        puller.pull("web:1")
    assert puller.is_empty()
    assert not puller.downloads.waiting


def test_a_wrong_diff_id_is_refused_and_nothing_is_left(peer, puller):
    peer.put_image("web", "1", [images.zipped(LOWER), images.zipped(UPPER)], config(LOWER, LOWER))
    with pytest.raises(errors.CorruptData, match=f"layer {images.sha256(LOWER)}: its content has the digest"):
        puller.pull("web:1")
    assert puller.is_empty()


@pytest.mark.parametrize("more", [-1, 1])
def test_a_wrong_size_is_refused_and_nothing_is_left(peer, puller, more):
    put(peer, "1", LOWER)
    document = json.loads(peer.manifests["web", "1"][1])
    document["layers"][0]["size"] += more
    peer.put_manifest("web", "1", json.dumps(document).encode())
    with pytest.raises(errors.CorruptData, match=r"blob sha256:.* bytes"):
        puller.pull("web:1")
    assert puller.is_empty()


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (images.zipped(LOWER)[:-20], "gzip"),
        (gzip.compress(LOWER[:50_000]), "ends"),
        (b"no tar at all" * 1000, "layer"),
    ],
)
def test_a_damaged_layer_is_refused_and_nothing_is_left(peer, puller, blob, words):
    peer.put_image("web", "1", [blob], config(LOWER))
    with pytest.raises(errors.CorruptData, match=words):
        puller.pull("web:1")
    assert puller.is_empty()


def test_what_does_not_fit_is_not_begun(peer, puller, monkeypatch):
    put(peer, "1", LOWER)
    real = os.statvfs(puller.places.tmp)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*real[:3], 0, 0, *real[5:])))
    with pytest.raises(errors.Unavailable, match=r"web:1: \d+ bytes are to come, 0 are free below") as caught:
        puller.pull("web:1")
    assert "free some space" in caught.value.hint
    assert blobs_asked(peer, LOWER) == [0]
    assert puller.is_empty()


def test_as_many_diff_ids_as_layers_are_expected(peer, puller):
    peer.put_image("web", "1", [images.zipped(LOWER)], config(LOWER, UPPER))
    with pytest.raises(errors.CorruptData, match="2 diff_ids for 1 layers"):
        puller.pull("web:1")
    assert puller.is_empty()


def test_what_is_not_there_is_told_in_dockers_sentence(peer, puller):
    put(peer, "1", LOWER)
    with pytest.raises(errors.NotFound, match=f"manifest for {peer.address}/web:2 not found: .*manifest unknown"):
        puller.pull("web:2")


def test_a_blob_the_registry_has_lost_is_told_and_nothing_is_left(peer, puller):
    put(peer, "1", LOWER, UPPER)
    of = images.sha256(images.zipped(UPPER))
    del peer.blobs["web", of]
    with pytest.raises(errors.NotFound, match=of):
        puller.pull("web:1")
    assert puller.is_empty()


def test_a_mirrors_wrong_bytes_come_from_the_registry_itself(peer, puller):
    put(peer, "1", LOWER, UPPER)
    with fake_registry.FakeRegistry() as mirror:
        mirror.blobs, mirror.manifests = peer.blobs, peer.manifests
        mirror.misbehave(fake_registry.Wrong(), path="/blobs/", times=None)
        settings = hosts.Settings(registries={peer.address: hosts.Registry(mirrors=(mirror.url,))})
        puller.registries = client.Client(settings, policy=QUICK)
        pulled = puller.pull("web:1")
        assert len(mirror.seen("GET", "/blobs/")) == 3
    assert puller.content_of(pulled.id, "etc/b") == "b" * 100_000
    assert os.listdir(puller.places.tmp) == []


# -- what is cut ------------------------------------------------------------------------------------------------------


def ranges_asked(peer, tar):
    return [one.headers.get("range") for one in peer.seen("GET", f"/blobs/{images.sha256(images.zipped(tar))}")]


RANDOM = images.layer(images.file("etc/r", os.urandom(400_000)))


def test_a_cut_download_goes_on_where_it_was(peer, puller):
    put(peer, "1", RANDOM)
    peer.misbehave(fake_registry.Cut(100_000), path=f"/blobs/{images.sha256(images.zipped(RANDOM))}")
    puller.pull("web:1")
    assert ranges_asked(peer, RANDOM) == [None, "bytes=100000-"]


def fail(peer, puller):
    """A pull whose second layer is cut after 100,000 bytes and never goes on, when the first one is unpacked."""
    put(peer, "1", LOWER, RANDOM)
    steps = Steps()

    def failing(handler):
        steps.wait("Pull complete")
        handler.reply(503)

    blob = f"/blobs/{images.sha256(images.zipped(RANDOM))}"
    peer.misbehave(fake_registry.Cut(100_000), path=blob)
    peer.misbehave(failing, path=blob, times=None)
    with pytest.raises(errors.Unavailable, match="503"):
        puller.pull("web:1", steps)


def test_the_next_pull_goes_on_where_a_failed_one_was(peer, puller):
    fail(peer, puller)
    assert puller.store.list() == []
    assert puller.downloads.waiting
    peer.behave()
    before = len(peer.requests)
    steps = Steps()
    pulled = puller.pull("web:1", steps)
    assert peer.requests[-1].headers["range"] == "bytes=100000-"
    assert len([one for one in peer.requests[before:] if "/blobs/" in one.path]) == 2, "configuration and the rest"
    assert steps.of(short(LOWER)) == ["Already exists"]
    assert puller.content_of(pulled.id, "etc/a") == "a" * 100_000
    puller.downloads.discard()
    assert os.listdir(puller.places.tmp) == []


def test_what_a_failed_pull_has_got_can_be_given_up(peer, puller):
    fail(peer, puller)
    puller.downloads.discard()
    assert puller.is_empty()


# -- several at once --------------------------------------------------------------------------------------------------


def test_eight_pulls_at_once_download_once(peer, puller):
    put(peer, "1", LOWER, RANDOM, UPPER)
    go = threading.Event()

    def held(handler):
        assert go.wait(PATIENCE)
        handler.answer_truly()

    peer.misbehave(held, path=f"/blobs/{images.sha256(images.zipped(RANDOM))}")
    steps = [Steps() for _ in range(8)]
    running = [puller.beside("web:1", one) for one in steps]
    for one in steps:
        one.wait("Pulling fs layer")
    go.set()
    assert len({one.result().id for one in running}) == 1
    assert blobs_asked(peer, LOWER, RANDOM, UPPER) == [1, 1, 1]
    assert os.listdir(puller.places.tmp) == []
    for one in steps:
        assert one.sentences[-1].startswith("Status: ")


def test_a_pull_that_is_cancelled_ends_soon_and_leaves_nothing(peer, puller):
    put(peer, "1", LOWER, RANDOM)
    peer.misbehave(fake_registry.Stall(50_000), path=f"/blobs/{images.sha256(images.zipped(RANDOM))}")
    steps, cancel = Steps(), threading.Event()
    running = puller.beside("web:1", steps, cancel)
    steps.wait("Pull complete")
    assert peer.stalled.wait(PATIENCE)
    cancel.set()
    with pytest.raises(errors.Unavailable):
        running.result()
    assert puller.is_empty()
    assert not puller.downloads.waiting


def test_when_one_of_two_leaves_the_other_goes_on_where_it_was(peer, puller):
    put(peer, "1", RANDOM)
    peer.misbehave(fake_registry.Stall(50_000), path=f"/blobs/{images.sha256(images.zipped(RANDOM))}")
    first_steps, second_steps, cancel = Steps(), Steps(), threading.Event()
    first = puller.beside("web:1", first_steps, cancel)
    first_steps.wait("Downloading")
    second = puller.beside("web:1", second_steps)
    second_steps.wait("Downloading")
    assert peer.stalled.wait(PATIENCE)
    cancel.set()
    with pytest.raises(errors.Unavailable):
        first.result()
    second.result()
    assert ranges_asked(peer, RANDOM) == [None, "bytes=50000-"]
    assert os.listdir(puller.places.tmp) == []


def test_layers_that_another_removes_meanwhile_stay(peer, puller):
    put(peer, "1", LOWER)
    put(peer, "2", LOWER, RANDOM)
    puller.pull("web:1")
    go = threading.Event()

    def held(handler):
        assert go.wait(PATIENCE)
        handler.answer_truly()

    peer.misbehave(held, path=f"/blobs/{images.sha256(images.zipped(RANDOM))}")
    steps = Steps()
    running = puller.beside("web:2", steps)
    steps.wait("Already exists")
    puller.store.remove(f"{peer.address}/web:1")
    go.set()
    assert puller.content_of(running.result().id, "etc/a") == "a" * 100_000
    assert blobs_asked(peer, LOWER) == [1]


def test_who_waits_for_anothers_unpacking_can_leave(peer, puller):
    put(peer, "1", RANDOM)
    go = threading.Event()

    def held(handler):
        assert go.wait(PATIENCE)
        handler.answer_truly()

    peer.misbehave(held, path=f"/blobs/{images.sha256(images.zipped(RANDOM))}")
    first_steps, second_steps, cancel = Steps(), Steps(), threading.Event()
    first = puller.beside("web:1", first_steps)
    first_steps.wait("Pulling fs layer")
    second = puller.beside("web:1", second_steps, cancel)
    second_steps.wait("Pulling fs layer")
    cancel.set()
    with pytest.raises(errors.Unavailable, match="cancelled"):
        second.result()
    go.set()
    first.result()
