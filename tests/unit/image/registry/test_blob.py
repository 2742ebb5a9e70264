"""Manifests, blobs and tags of a registry that does what it should not."""

from __future__ import annotations

import json
import threading

import pytest
from support import fake_registry
from support.registry_client import of, read

from pouch.image.registry import blob
from pouch.spec import descriptor, errors, reference

DATA = bytes(range(256)) * 400


@pytest.fixture
def name(peer):
    """A repository that holds DATA as its one layer."""
    peer.put_image("team/app", "1", [DATA])
    return f"{peer.address}/team/app:1"


def ranges(peer):
    """What was asked for of blobs."""
    return [one.headers.get("range", "") for one in peer.seen("GET", "/blobs/")]


def test_a_blob_is_read_from_its_beginning_or_from_an_offset(peer, tools, name):
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
        assert read(repository, DATA, 1000) == DATA[1000:]
        assert read(repository, DATA, len(DATA)) == b""
    assert ranges(peer) == ["", "bytes=1000-"]


def test_a_registry_without_ranges_sends_the_whole_again(peer, tools, name):
    peer.ranges = False
    with tools.repository(name) as repository:
        assert read(repository, DATA, 1000) == DATA[1000:]


def test_an_empty_blob_needs_no_request(peer, tools, name):
    with tools.repository(name) as repository:
        assert read(repository, b"") == b""
    assert peer.seen(path="/blobs/") == []


def test_a_cut_connection_is_resumed_where_it_was_cut(peer, tools, name):
    for after in (1000, 2000, 3000):
        peer.misbehave(fake_registry.Cut(after), path="/blobs/")
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert ranges(peer) == ["", "bytes=1000-", "bytes=3000-", "bytes=6000-"]
    assert tools.pauses == [0.5, 1.0, 2.0]


def test_a_registry_that_cuts_again_and_again_is_given_up(peer, tools, name):
    peer.misbehave(fake_registry.Cut(10), path="/blobs/", times=None)
    with tools.repository(name) as repository, pytest.raises(errors.Unavailable) as caught:
        read(repository, DATA)
    assert len(ranges(peer)) == 5
    assert f"blob {of(DATA).digest} of {peer.address}/team/app: registry {peer.address}: the connection was cut" in str(
        caught.value
    )


def test_failures_are_forgiven_after_a_good_piece(peer, tools, name, monkeypatch):
    monkeypatch.setattr(blob, "PROGRESS", 5000)
    peer.misbehave(fake_registry.Cut(10_000), path="/blobs/", times=9)
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert set(tools.pauses) == {0.5}


def test_no_answer_at_all_is_tried_again(peer, tools, name):
    peer.misbehave(fake_registry.Cut(), path="/blobs/", times=2)
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert tools.pauses == [0.5, 1.0]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_succeed_later_is_tried_later(peer, tools, name, status):
    peer.misbehave(fake_registry.Status(status), path="/blobs/", times=3)
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert tools.pauses == [0.5, 1.0, 2.0]


def test_a_registry_that_asks_for_time_gets_it(peer, tools, name):
    peer.misbehave(fake_registry.Status(429, {"Retry-After": "17"}), path="/blobs/")
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert tools.pauses == [17.0]


def test_but_not_an_hour(peer, tools, name):
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your limit"}]}).encode()
    peer.misbehave(fake_registry.Status(429, {"Retry-After": "3600"}, body), path="/blobs/")
    with tools.repository(name) as repository, pytest.raises(errors.Unavailable) as caught:
        read(repository, DATA)
    assert "toomanyrequests: You have reached your limit" in str(caught.value)
    assert tools.pauses == []


@pytest.mark.parametrize("status", [400, 410, 501, 302])
def test_what_will_not_succeed_is_not_tried_again(peer, tools, name, status):
    headers = {"Location": "{path}"} if status == 302 else {}
    peer.misbehave(fake_registry.Status(status, headers), path="/blobs/", times=None)
    with tools.repository(name) as repository, pytest.raises(errors.PouchError, match=str(peer.port)):
        read(repository, DATA)
    assert tools.pauses == []


def test_a_stall_ends_with_the_next_attempt(peer, tools, name):
    peer.misbehave(fake_registry.Stall(5000), path="/blobs/")
    peer.misbehave(fake_registry.Stall(), path="/blobs/")
    with tools.repository(name, stall_seconds=0.4) as repository:
        assert read(repository, DATA) == DATA
    assert ranges(peer) == ["", "bytes=5000-", "bytes=5000-"]


def test_a_stall_on_a_kept_connection_counts_as_any_other(peer, tools, name):
    with tools.repository(name, stall_seconds=0.1) as repository:
        repository.has_blob(of(DATA).digest)
        peer.misbehave(fake_registry.Stall(), times=None)
        with pytest.raises(errors.Unavailable, match="nothing came in time"):
            repository.manifest("1")
    assert len(peer.seen(path="/manifests/")) == 5


def test_a_drip_is_as_good_as_a_stall(peer, tools, name, monkeypatch):
    """Each byte moves the clock: a byte a second is no pace for an image."""
    peer.misbehave(fake_registry.Drip(0.0001), path="/blobs/", times=None)
    monkeypatch.setattr(blob, "SLOW_BYTES", 1 << 20)
    with (
        tools.repository(name) as repository,
        repository.blob(of(DATA)) as stream,
        pytest.raises(errors.Unavailable, match="bytes came in"),
    ):
        while stream.read(65536):
            tools.now += 20


def test_an_answer_that_never_ends_its_head_ends_by_its_deadline(peer, tools, name):
    def head_by_drops(handler):
        while not handler.registry.ended.wait(0.02):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n" if handler.body_read == 0 else b"X: y\r\n")
            handler.body_read = 1

    peer.misbehave(head_by_drops, path="/manifests/", times=None)
    late = pytest.raises(errors.Unavailable, match=r"manifest for .*: no answer in time")
    with tools.repository(name, answer_seconds=0.1) as repository, late:
        repository.manifest("1")


def test_cancelling_ends_a_stall_at_once(peer, tools, name):
    cancel = threading.Event()
    peer.misbehave(fake_registry.Stall(5000), path="/blobs/")
    failures = []

    def reader(repository):
        try:
            read(repository, DATA)
        except errors.Unavailable as error:
            failures.append(str(error))

    with tools.repository(name, cancel=cancel, stall_seconds=100.0) as repository:
        thread = threading.Thread(target=reader, args=(repository,))
        thread.start()
        assert peer.stalled.wait(30)
        cancel.set()
        thread.join(30)
        assert not thread.is_alive()
    assert failures == [f"blob {of(DATA).digest} of {peer.address}/team/app: cancelled"]


def test_what_is_cancelled_already_asks_nothing(peer, tools, name):
    cancel = threading.Event()
    with tools.repository(name, cancel=cancel) as repository:
        cancel.set()
        with pytest.raises(errors.Unavailable, match="cancelled"):
            repository.manifest("1")
    assert peer.requests == []


# -- wrong content ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (fake_registry.Length(5), "it has 102405 bytes there, expected 102400"),
        (fake_registry.Length(-5), "it has 102395 bytes there, expected 102400"),
        (fake_registry.Wrong(b"short"), "it has 5 bytes there"),
        (fake_registry.Endless(), "more bytes come"),
        (fake_registry.Status(206, {"Content-Range": "bytes 5-9/102400"}, b"12345"), "asked for bytes from 0 on"),
        (fake_registry.Status(206, {}, b"12345"), "asked for bytes from 0 on"),
        (fake_registry.Status(206, {"Content-Range": "bytes 0-102399/999999"}, DATA), "it has 999999 bytes"),
        (fake_registry.Status(416), "no byte at this place"),
    ],
)
def test_a_wrong_size_is_named(peer, tools, name, fault, words):
    peer.misbehave(fault, path="/blobs/")
    with tools.repository(name) as repository, pytest.raises(errors.CorruptData, match=words) as caught:
        read(repository, DATA)
    assert peer.address in str(caught.value)
    assert tools.pauses == []


def test_a_body_in_chunks_that_ends_early_is_resumed(peer, tools, name):
    def chunks(handler):
        handler.head(200, {"Transfer-Encoding": "chunked"})
        handler.wfile.write(b"3E8\r\n" + DATA[:1000] + b"\r\n0\r\n\r\n")

    peer.misbehave(chunks, path="/blobs/")
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert ranges(peer) == ["", "bytes=1000-"]


def test_what_is_no_http_is_tried_again_and_named(peer, tools, name):
    peer.misbehave(fake_registry.Garbage(), path="/blobs/", times=None)
    with tools.repository(name) as repository, pytest.raises(errors.Unavailable, match=f"registry {peer.address}"):
        read(repository, DATA)
    assert len(tools.pauses) == 4


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ],
)
def test_foreign_layers_are_refused(peer, tools, name, media_type):
    with tools.repository(name) as repository, pytest.raises(errors.Unsupported, match="is foreign"):
        repository.blob(of(DATA, media_type))


def test_a_registrys_words_are_made_harmless(peer, tools, name):
    body = json.dumps({"errors": [{"code": "X", "message": "a\x1b[31m\nb" + "c" * 5000}]}).encode()
    peer.misbehave(fake_registry.Status(404, {}, body), path="/manifests/")
    with tools.repository(name) as repository, pytest.raises(errors.NotFound) as caught:
        repository.manifest("1")
    assert "x: a?[31m b" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b'{"errors": 5}', b"[" * 100_000, b"x" * 1_000_000, b"\xff\xfe"]
)
def test_a_refusal_without_words_is_told_by_its_status(peer, tools, name, body):
    peer.misbehave(fake_registry.Status(403, {}, body), path="/manifests/")
    with tools.repository(name) as repository, pytest.raises(errors.Forbidden, match="403 Forbidden"):
        repository.manifest("1")


# -- manifests --------------------------------------------------------------------------------------------------------

MANIFEST = {"schemaVersion": 2, "mediaType": descriptor.OCI_MANIFEST, "config": {}, "layers": []}


def keep(peer, document, media_type=descriptor.OCI_MANIFEST):
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return peer.put_manifest("team/app", "m", raw, media_type), raw


def test_a_manifest_comes_by_tag_and_by_digest(peer, tools, name):
    digest, raw = keep(peer, MANIFEST)
    with tools.repository(name) as repository:
        for ref in ("m", digest):
            found = repository.manifest(ref)
            assert (found.raw, found.media_type, found.digest) == (raw, descriptor.OCI_MANIFEST, digest)
            assert repository.head(ref) == descriptor.Descriptor(descriptor.OCI_MANIFEST, digest, len(raw))
    accepted = peer.seen("GET", "/manifests/")[0].headers["accept"]
    assert {*descriptor.MANIFESTS, *descriptor.INDEXES} == set(accepted.split(", "))


def test_a_manifest_that_is_not_there_is_said_in_dockers_words(peer, tools, name):
    with tools.repository(name) as repository:
        with pytest.raises(
            errors.NotFound, match=f"manifest for {peer.address}/team/app:none not found: .*manifest unknown"
        ):
            repository.manifest("none")
        assert repository.head("none") is None


@pytest.mark.parametrize("ref", ["m", "digest"])
def test_a_manifest_must_have_its_digest(peer, tools, name, ref):
    digest, _ = keep(peer, MANIFEST)
    peer.misbehave(fake_registry.Wrong(), path="/manifests/")
    with tools.repository(name) as repository, pytest.raises(errors.CorruptData, match=f"expected {digest}"):
        repository.manifest("m" if ref == "m" else digest)


def test_a_manifest_has_at_most_4_mib(peer, tools, name):
    keep(peer, b"{" + b" " * (4 << 20) + b"}")
    with tools.repository(name) as repository:
        with pytest.raises(errors.CorruptData, match="more than 4194304 bytes"):
            repository.manifest("m")
        peer.misbehave(fake_registry.Endless(), path="/manifests/")
        with pytest.raises(errors.CorruptData, match="more than 4194304 bytes"):
            repository.manifest("m")


@pytest.mark.parametrize(
    ("document", "media_type", "found"),
    [
        (MANIFEST, "application/json", descriptor.OCI_MANIFEST),
        (MANIFEST, "", descriptor.OCI_MANIFEST),
        (MANIFEST, descriptor.OCI_MANIFEST.upper() + "; charset=utf-8", descriptor.OCI_MANIFEST),
        ({"schemaVersion": 2, "layers": []}, descriptor.DOCKER_MANIFEST, descriptor.DOCKER_MANIFEST),
        ({"schemaVersion": 2, "layers": []}, "text/plain", descriptor.OCI_MANIFEST),
        ({"schemaVersion": 2, "manifests": []}, "text/plain", descriptor.OCI_INDEX),
        ({"schemaVersion": 2, "manifests": [], "layers": None}, descriptor.DOCKER_INDEX, descriptor.DOCKER_INDEX),
    ],
)
def test_what_a_document_is(peer, tools, name, document, media_type, found):
    keep(peer, document, media_type)
    with tools.repository(name) as repository:
        assert repository.manifest("m").media_type == found


@pytest.mark.parametrize(
    ("document", "media_type", "error", "words"),
    [
        (b"no json", descriptor.OCI_MANIFEST, errors.CorruptData, "no manifest"),
        (b"[]", descriptor.OCI_MANIFEST, errors.CorruptData, "no manifest"),
        (b"[" * 100_000, descriptor.OCI_MANIFEST, errors.CorruptData, "no manifest"),
        (b'{"mediaType": "\xff"}', descriptor.OCI_MANIFEST, errors.CorruptData, "no manifest"),
        (MANIFEST, descriptor.OCI_INDEX, errors.CorruptData, "it says that it is"),
        (MANIFEST | {"manifests": []}, descriptor.OCI_MANIFEST, errors.CorruptData, "both an index and a manifest"),
        ({"schemaVersion": 2, "manifests": []}, descriptor.OCI_MANIFEST, errors.CorruptData, "not of its type"),
        ({"schemaVersion": 2, "layers": []}, descriptor.OCI_INDEX, errors.CorruptData, "not of its type"),
        ({"schemaVersion": 1}, "application/json", errors.Unsupported, "schema 1"),
        ({}, "application/vnd.docker.distribution.manifest.v1+prettyjws", errors.Unsupported, "schema 1"),
    ],
)
def test_what_is_no_manifest(peer, tools, name, document, media_type, error, words):
    keep(peer, document, media_type)
    with tools.repository(name) as repository, pytest.raises(error, match=words) as caught:
        repository.manifest("m")
    assert peer.address in str(caught.value)


# -- tags and search --------------------------------------------------------------------------------------------------


def test_tags_come_page_by_page(peer, tools, name):
    wanted = sorted(f"t{number}" for number in range(25))
    for tag in wanted:
        peer.put_manifest("team/app", tag, b"{}")
    peer.page = 10
    with tools.repository(name) as repository:
        assert repository.tags() == ["1", *wanted]
    assert len(peer.seen(path="/tags/list")) == 3


def test_a_list_of_tags_without_end_is_given_up(peer, tools, name, monkeypatch):
    monkeypatch.setattr("pouch.image.registry.repository.MOST_PAGES", 7)
    page = fake_registry.Status(200, {"Link": '</v2/team/app/tags/list?x>; rel="next"'}, b'{"tags": ["a"]}')
    peer.misbehave(page, path="/tags/", times=None)
    with tools.repository(name) as repository, pytest.raises(errors.CorruptData, match="has no end"):
        repository.tags()
    assert len(peer.seen(path="/tags/")) == 7


@pytest.mark.parametrize("body", [b"x", b"[]", b'{"tags": [1]}', b"[" * 100_000])
def test_a_list_of_tags_that_is_none(peer, tools, name, body):
    peer.misbehave(fake_registry.Status(200, {}, body), path="/tags/")
    with tools.repository(name) as repository, pytest.raises(errors.CorruptData, match="cannot be read"):
        repository.tags()


def test_search_asks_the_registry_that_the_term_names(peer, tools):
    peer.search_results = [{"name": f"team/{number}", "description": "d", "star_count": number} for number in range(9)]
    found = tools.client().search(f"{peer.address}/app", 5)
    assert [one["name"] for one in found] == [f"team/{number}" for number in range(5)]
    assert peer.seen(path="/v1/search")[0].path == "/v1/search?q=app&n=5"


def test_a_registry_without_search_says_so(peer, tools):
    with pytest.raises(errors.Unsupported, match=f"registry {peer.address} has no search"):
        tools.client().search(f"{peer.address}/app")


def test_a_search_without_a_registry_asks_the_default_one(peer, tools):
    peer.search_results = []
    reference.use(reference.Defaults(peer.address))
    try:
        assert tools.client().search("team/app") == []
    finally:
        reference.use(reference.Defaults())
    assert peer.seen(path="/v1/search")[0].path == "/v1/search?q=team%2Fapp&n=25"


def test_a_search_that_answers_something_else(peer, tools):
    peer.misbehave(fake_registry.Status(200, {}, b'{"results": 5}'), path="/v1/")
    with pytest.raises(errors.CorruptData, match="cannot be read"):
        tools.client().search(f"{peer.address}/app")


def test_a_connection_that_was_kept_and_is_closed_by_now_costs_no_pause(peer, tools, name):
    """A server may close what is idle at any moment, also when the next request is on its way."""

    def leave(handler):
        handler.answer_truly()
        handler.close_connection = True  # without a word in the head

    peer.misbehave(leave, path="/manifests/", times=20)
    with tools.repository(name) as repository:
        for _ in range(20):
            repository.manifest("1")
    assert tools.pauses == []
