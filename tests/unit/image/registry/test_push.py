"""Sending blobs and manifests: resumed after cuts, in pieces where the whole is refused, without leaving things behind."""

from __future__ import annotations

import contextlib
import io
import threading

import pytest
from support import fake_registry
from support.registry_client import ADA, of, push, read

from pouch.image.registry import upload
from pouch.spec import descriptor, errors

DATA = bytes(range(256)) * 4000  # 1,024,000 bytes


@pytest.fixture
def name(peer):
    return f"{peer.address}/team/app:1"


def sent(peer):
    """What was sent: method, bytes, place."""
    return [
        (one.method, one.length, one.headers.get("content-range", ""))
        for one in peer.seen(path="/blobs/uploads/u")
        if one.method != "GET"
    ]


def test_a_blob_goes_in_one_request(peer, tools, name):
    with tools.repository(name, push=True) as repository:
        assert not repository.has_blob(of(DATA).digest)
        told = push(repository, DATA)
        assert repository.has_blob(of(DATA).digest)
        assert read(repository, DATA) == DATA
    assert sent(peer) == [("PUT", len(DATA), "")]
    assert told == sorted(told)
    assert told[-1] == len(DATA)
    assert peer.uploads == {}


def test_an_empty_blob_can_be_sent(peer, tools, name):
    with tools.repository(name, push=True) as repository:
        push(repository, b"")
        assert repository.has_blob(of(b"").digest)


def test_a_cut_upload_goes_on_where_the_registry_is(peer, tools, name):
    peer.misbehave(fake_registry.CutUpload(300_000), method="PUT")
    peer.misbehave(fake_registry.CutUpload(200_000), method="PUT")
    with tools.repository(name, push=True) as repository:
        push(repository, DATA)
    assert peer.blobs["team/app", of(DATA).digest] == DATA
    assert sent(peer)[-1] == ("PUT", 524_000, "500000-1023999")


def test_an_upload_that_the_registry_lost_begins_anew(peer, tools, name):
    def lose(handler):
        peer.uploads.clear()
        handler.close_connection = True

    peer.misbehave(lose, method="PUT")
    with tools.repository(name, push=True) as repository:
        push(repository, DATA)
    assert peer.blobs["team/app", of(DATA).digest] == DATA
    assert len(peer.seen("POST")) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_succeed_later_is_tried_later(peer, tools, name, status):
    peer.misbehave(fake_registry.Status(status), method="PUT", times=3)
    with tools.repository(name, push=True) as repository:
        push(repository, DATA)
    assert tools.pauses == [0.5, 1.0, 2.0]


def test_a_registry_that_fails_for_ever_is_given_up_and_the_upload_taken_back(peer, tools, name):
    peer.misbehave(fake_registry.Status(503), method="PUT", times=None)
    with (
        tools.repository(name, push=True) as repository,
        pytest.raises(errors.Unavailable, match=f"blob {of(DATA).digest}"),
    ):
        push(repository, DATA)
    assert len(sent(peer)) == 6
    assert sent(peer)[-1][0] == "DELETE"
    assert peer.uploads == {}


def test_a_registry_that_cuts_for_ever_is_given_up(peer, tools, name):
    peer.misbehave(fake_registry.CutUpload(10), method="PUT", times=None)
    with tools.repository(name, push=True) as repository, pytest.raises(errors.Unavailable, match="cut"):
        push(repository, DATA)
    assert len(peer.seen("PUT")) == 5


def test_a_registry_that_refuses_large_requests_gets_small_ones(peer, tools, name, monkeypatch):
    monkeypatch.setattr(upload, "CHUNK", 400_000)
    monkeypatch.setattr(upload, "SMALLEST_CHUNK", 100_000)
    peer.largest_body = 210_000
    with tools.repository(name, push=True) as repository:
        push(repository, DATA)
    assert peer.blobs["team/app", of(DATA).digest] == DATA
    taken = [one for one in sent(peer) if one[1]]
    assert taken[0] == ("PATCH", 200_000, "0-199999")
    assert taken[-1] == ("PUT", 24_000, "1000000-1023999")
    assert tools.pauses == []


def test_one_that_refuses_everything_is_given_up(peer, tools, name, monkeypatch):
    monkeypatch.setattr(upload, "CHUNK", 400_000)
    monkeypatch.setattr(upload, "SMALLEST_CHUNK", 100_000)
    peer.largest_body = 10
    with tools.repository(name, push=True) as repository, pytest.raises(errors.Unavailable, match="too large"):
        push(repository, DATA)


def test_pieces_are_as_large_as_the_registry_wants_them(peer, tools, name, monkeypatch):
    monkeypatch.setattr(upload, "CHUNK", 100_000)
    monkeypatch.setattr(upload, "SMALLEST_CHUNK", 100)
    peer.smallest_chunk = 300_000
    peer.largest_body = 400_000
    with tools.repository(name, push=True) as repository:
        push(repository, DATA)
    assert [length for method, length, _ in sent(peer) if method == "PATCH"] == [300_000] * 3


def test_pieces_are_resumed_too(peer, tools, name, monkeypatch):
    monkeypatch.setattr(upload, "CHUNK", 300_000)
    peer.largest_body = 400_000
    peer.misbehave(fake_registry.CutUpload(50_000), method="PATCH")
    with tools.repository(name, push=True) as repository:
        push(repository, DATA)
    assert peer.blobs["team/app", of(DATA).digest] == DATA


def test_a_token_that_ends_in_the_middle_is_fetched_anew(peer, tools, name):
    peer.require_bearer("ada", "secret")

    def revoke(handler):
        peer.revoke_tokens()
        handler.answer_truly()

    peer.misbehave(revoke, method="PUT")
    with tools.repository(name, ADA, push=True) as repository:
        push(repository, DATA)
    assert peer.blobs["team/app", of(DATA).digest] == DATA
    assert len(peer.seen(path="^/token")) == 2


def test_who_may_not_push_is_told_so(peer, tools, name):
    peer.require_bearer("ada", "secret", anonymous_pull=("repository:team/app",))
    with (
        tools.repository(name, push=True) as repository,
        pytest.raises(errors.Forbidden, match="push access denied for"),
    ):
        push(repository, DATA)


def test_credentials_do_not_go_to_an_upload_elsewhere(peer, tools, name):
    peer.require_basic("ada", "secret")
    with fake_registry.FakeRegistry() as elsewhere:
        elsewhere.uploads["u1"] = bytearray()
        place = f"{elsewhere.url}/v2/team/app/blobs/uploads/u1?_state=abc%2Fdef"
        with tools.repository(name, ADA, push=True) as repository:
            repository.has_blob(of(DATA).digest)
            peer.misbehave(fake_registry.Status(202, {"Location": place}), method="POST")
            push(repository, DATA)
        assert elsewhere.blobs["team/app", of(DATA).digest] == DATA
        assert {one.authorization for one in elsewhere.requests} == {""}


@pytest.mark.parametrize("place", ["", "file:///x", "http://me:pw@a.corp/"])
def test_a_strange_place_to_send_to_is_refused(peer, tools, name, place):
    peer.misbehave(fake_registry.Status(202, {"Location": place} if place else {}), method="POST", times=None)
    with (
        tools.repository(name, push=True) as repository,
        pytest.raises(errors.Forbidden, match="Location that is refused"),
    ):
        push(repository, DATA)


def test_uploads_are_not_redirected(peer, tools, name):
    peer.misbehave(fake_registry.Redirect("http://127.0.0.1:9/"), method="PUT", times=None)
    with tools.repository(name, push=True) as repository, pytest.raises(errors.Unavailable, match="307"):
        push(repository, DATA)


def test_wrong_bytes_are_refused_by_the_registry(peer, tools, name):
    wanted = descriptor.Descriptor("x", of(b"other").digest, len(DATA))
    with tools.repository(name, push=True) as repository, pytest.raises(errors.Unavailable, match="digest invalid"):
        repository.push_blob(wanted, lambda: contextlib.closing(io.BytesIO(DATA)), lambda count: None)


def test_a_file_that_ends_early_is_named(peer, tools, name):
    wanted = descriptor.Descriptor("x", of(DATA).digest, len(DATA) + 5)
    with (
        tools.repository(name, push=True) as repository,
        pytest.raises(errors.CorruptData, match="5 bytes before its end"),
    ):
        repository.push_blob(wanted, lambda: contextlib.closing(io.BytesIO(DATA)), lambda count: None)


def test_cancelling_ends_an_upload_at_once(peer, tools, name):
    cancel = threading.Event()
    peer.misbehave(fake_registry.Stall(), method="PUT")
    failures = []

    def sender(repository):
        try:
            push(repository, DATA)
        except errors.Unavailable as error:
            failures.append(str(error))

    with tools.repository(name, push=True, cancel=cancel) as repository:
        thread = threading.Thread(target=sender, args=(repository,))
        thread.start()
        assert peer.stalled.wait(30)
        cancel.set()
        thread.join(30)
        assert not thread.is_alive()
    assert failures == [f"blob {of(DATA).digest} of {peer.address}/team/app: cancelled"]


def test_a_blob_is_mounted_from_another_repository(peer, tools, name):
    peer.put_blob("team/base", DATA)
    with tools.repository(name, push=True) as repository:
        assert repository.mount_blob(of(DATA).digest, "team/base")
        assert repository.has_blob(of(DATA).digest)
    assert peer.uploads == {}


def test_what_cannot_be_mounted_leaves_no_upload_behind(peer, tools, name):
    with tools.repository(name, push=True) as repository:
        assert not repository.mount_blob(of(DATA).digest, "team/base")
    assert peer.uploads == {}


def test_a_manifest_is_sent_as_it_is(peer, tools, name):
    raw = b'{"schemaVersion":2,  "layers":[]}'
    with tools.repository(name, push=True) as repository:
        digest = repository.push_manifest(raw, descriptor.OCI_MANIFEST, "1")
        assert repository.manifest("1").raw == raw
    assert peer.manifests["team/app", digest] == (descriptor.OCI_MANIFEST, raw)


def test_a_registry_that_keeps_another_manifest_is_found_out(peer, tools, name):
    peer.misbehave(fake_registry.Status(201, {"Docker-Content-Digest": of(b"x").digest}), method="PUT")
    with tools.repository(name, push=True) as repository, pytest.raises(errors.CorruptData, match="it keeps sha256:"):
        repository.push_manifest(b"{}", descriptor.OCI_MANIFEST, "1")
