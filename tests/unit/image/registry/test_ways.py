"""Mirrors, TLS, certificates and proxies: the ways to a registry."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import socket
import threading
import time
import warnings

import pytest
from support import cutting, fake_registry
from support.registry_client import ADA, of, read

from pouch.image.registry import hosts, pools
from pouch.spec import errors

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")  # pytest undoes ours
DATA = bytes(range(256)) * 400


@pytest.fixture
def name(peer):
    """A repository that holds DATA as its one layer."""
    peer.put_image("team/app", "1", [DATA])
    return f"{peer.address}/team/app:1"


@pytest.fixture
def mirror():
    with fake_registry.FakeRegistry() as running:
        yield running


def through(peer, *urls):
    """Settings with these mirrors of the peer."""
    return {"registries": {peer.address: hosts.Registry(mirrors=urls)}}


def test_a_mirror_is_asked_instead_of_the_registry_and_gets_no_credentials(peer, mirror, tools, name):
    peer.require_basic("ada", "secret")
    digest = mirror.put_image("team/app", "1", [DATA])
    with tools.repository(name, ADA, **through(peer, mirror.url)) as repository:
        assert repository.manifest("1").digest == digest
        assert read(repository, DATA) == DATA
    assert peer.requests == []
    assert {one.authorization for one in mirror.requests} == {""}


def test_a_mirror_may_ask_for_an_anonymous_token(peer, mirror, tools, name):
    mirror.require_bearer()
    mirror.put_image("team/app", "1", [DATA])
    with tools.repository(name, ADA, **through(peer, mirror.url)) as repository:
        assert read(repository, DATA) == DATA
    assert not [one for one in mirror.requests if one.authorization.startswith("Basic")]
    assert peer.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        fake_registry.Status(404),
        fake_registry.Status(503),
        fake_registry.Status(401, {"WWW-Authenticate": "Basic realm=x"}),
        fake_registry.Wrong(),
        fake_registry.Garbage(),
        fake_registry.Redirect("file:///x"),
        fake_registry.Length(7),
    ],
    ids=str,
)
def test_a_mirror_that_fails_is_stood_in_for(peer, mirror, tools, name, fault):
    """What a mirror gives is checked as far as sizes and digests of manifests go; the blob's digest is the reader's."""
    digest = mirror.put_image("team/app", "1", [DATA])
    mirror.misbehave(fault, times=None)
    with tools.repository(name, **through(peer, mirror.url)) as repository:
        assert repository.manifest(digest).digest == digest
        if not isinstance(fault, fake_registry.Wrong):
            assert read(repository, DATA) == DATA
    assert mirror.requests


def test_a_mirror_that_is_down_costs_no_pause(peer, tools, name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with tools.repository(name, **through(peer, url)) as repository:
            assert read(repository, DATA) == DATA
    assert tools.pauses == []


def test_a_blob_goes_on_at_the_registry_where_a_mirror_stops(peer, mirror, tools, name):
    mirror.put_image("team/app", "1", [DATA])
    mirror.misbehave(fake_registry.Cut(1000), path="/blobs/", times=None)
    with tools.repository(name, **through(peer, mirror.url)) as repository:
        assert read(repository, DATA) == DATA
    assert peer.seen(path="/blobs/")[0].headers["range"] == "bytes=2000-"


def test_a_mirror_is_told_for_whom_it_stands(peer, mirror, tools, name):
    mirror.put_image("team/app", "1", [DATA])
    with tools.repository(name, **through(peer, mirror.url)) as repository:
        repository.manifest("1")
    assert mirror.requests[0].path == f"/v2/team/app/manifests/1?ns=127.0.0.1%3A{peer.port}"
    with tools.repository(name) as repository:
        repository.manifest("1")
    assert "ns=" not in peer.requests[-1].path


def test_mirrors_are_asked_in_order(peer, mirror, tools, name):
    with fake_registry.FakeRegistry() as second:
        second.put_image("team/app", "1", [DATA])
        with tools.repository(name, **through(peer, mirror.url, second.url)) as repository:
            assert read(repository, DATA) == DATA
        assert len(mirror.requests) == len(second.requests) == 1
    assert peer.requests == []


def test_the_registry_itself_can_be_asked_past_its_mirrors(peer, mirror, tools, name):
    mirror.put_blob("team/app", DATA)
    with tools.repository(name, **through(peer, mirror.url)) as repository:
        assert repository.mirrored
        assert not repository.direct().mirrored
        assert read(repository.direct(), DATA) == DATA
    assert mirror.requests == []


def test_the_registrys_failure_is_the_one_that_is_told(peer, mirror, tools, name):
    own = pytest.raises(errors.NotFound, match=f"{peer.address}: manifest unknown")
    with tools.repository(name, **through(peer, mirror.url)) as repository, own:
        repository.manifest("none")


def test_pushing_goes_to_the_registry_alone(peer, mirror, tools, name):
    with tools.repository(name, push=True, **through(peer, mirror.url)) as repository:
        assert repository.has_blob(of(DATA).digest)
    assert mirror.requests == []


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(authority):
    with fake_registry.FakeRegistry(tls=authority.server_context()) as running:
        running.put_image("team/app", "1", [DATA])
        yield running


def test_loopback_needs_no_certificate_that_is_trusted(secure, tools):
    with tools.repository(f"{secure.address}/team/app") as repository:
        assert read(repository, DATA) == DATA


def test_any_other_registry_does(secure, tools):
    strict = {"registries": {secure.address: hosts.Registry(insecure=False)}}
    with (
        tools.repository(f"{secure.address}/team/app", **strict) as repository,
        pytest.raises(errors.Unavailable) as caught,
    ):
        read(repository, DATA)
    assert "its certificate is not trusted" in str(caught.value)
    assert f"certs.d/{secure.address}/ca.crt" in caught.value.hint
    assert tools.pauses == []


def test_an_authority_of_ones_own_is_trusted(secure, tools, authority):
    own = {"registries": {secure.address: hosts.Registry(ca=authority.certificate, insecure=False)}}
    with tools.repository(f"{secure.address}/team/app", **own) as repository:
        assert read(repository, DATA) == DATA


def test_a_certificate_must_be_for_the_hosts_name(tools, authority, tmp_path):
    context = authority.server_context()
    wrong = authority.server("wrong", "DNS:other.corp")
    context.load_cert_chain(wrong.certificate, wrong.key)
    with fake_registry.FakeRegistry(tls=context) as peer:
        own = {"registries": {peer.address: hosts.Registry(ca=authority.certificate)}}
        refused = pytest.raises(errors.Unavailable, match=r"its certificate is not trusted.*mismatch")
        with tools.repository(f"{peer.address}/team/app", **own) as repository, refused:
            read(repository, DATA)


def test_a_directory_of_certificates_has_authority_and_client(tools, authority, tmp_path):
    with fake_registry.FakeRegistry(tls=authority.server_context(clients=True)) as peer:
        peer.put_image("team/app", "1", [DATA])
        folder = tmp_path / peer.address
        folder.mkdir()
        shutil.copy(authority.certificate, folder / "ca.crt")
        settings = {"certs_dirs": (str(tmp_path),)}
        with tools.repository(f"{peer.address}/team/app", **settings) as repository, pytest.raises(errors.Unavailable):
            read(repository, DATA)
        pair = authority.client()
        shutil.copy(pair.certificate, folder / "me.cert")
        shutil.copy(pair.key, folder / "me.key")
        with tools.repository(f"{peer.address}/team/app", **settings) as repository:
            assert read(repository, DATA) == DATA


@pytest.mark.parametrize("content", [b"", b"no certificate"])
def test_a_file_that_is_no_certificate_is_named(secure, tools, tmp_path, content):
    bad = tmp_path / "bad.crt"
    bad.write_bytes(content)
    own = {"registries": {secure.address: hosts.Registry(ca=str(bad))}}
    named = pytest.raises(errors.InvalidInput, match=r"authority .*bad\.crt")
    with tools.repository(f"{secure.address}/team/app", **own) as repository, named:
        read(repository, DATA)


def test_a_plain_registry_is_not_spoken_to_where_tls_is_wanted(peer, tools, name):
    strict = {"registries": {peer.address: hosts.Registry(insecure=False)}}
    with tools.repository(name, ADA, **strict) as repository, pytest.raises(errors.Unavailable) as caught:
        repository.manifest("1")
    assert "insecure-registry" in caught.value.hint
    assert peer.requests == []


def test_a_registry_that_speaks_tls_now_is_found_out(peer, tools, name, authority):
    """The way that was found is kept, and looked for anew when it no longer works."""
    shared = tools.client()

    def manifest():
        from pouch.spec import reference

        with shared.repository(reference.Reference.parse(name)) as repository:
            return repository.manifest("1")

    manifest()
    peer.misbehave(fake_registry.Status(400), path="/manifests/")
    with pytest.raises(errors.Unavailable):
        manifest()
    manifest()
    assert len(peer.seen(path="^/v2/$")) == 2


def test_ipv6_is_spoken_to(tools):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
            port = listener.getsockname()[1]
            threading.Thread(target=_greet, args=(listener,), daemon=True).start()
            unknown = pytest.raises(errors.NotFound, match="manifest")
            with tools.repository(f"[::1]:{port}/team/app") as repository, unknown:
                repository.manifest("1")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def _greet(listener):
    """Answer every request with 404."""
    listener.settimeout(30)
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            if client.recv(65536)[:1] != b"\x16":
                client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


# -- proxies ----------------------------------------------------------------------------------------------------------


def test_tls_goes_through_a_tunnel(secure, tools, authority):
    """registry.corp exists in the proxy's world only, so nothing went past it."""
    with cutting.Proxy({"registry.corp:443": secure.address}, login=("me", "pw")) as proxy:
        settings = {"https_proxy": proxy.url, "registries": {"registry.corp": hosts.Registry(insecure=True)}}
        with tools.repository("registry.corp/team/app", ADA, **settings) as repository:
            assert read(repository, DATA) == DATA
        assert set(proxy.asked) == {"CONNECT registry.corp:443"}


def test_plain_http_is_asked_of_the_proxy(peer, tools, name):
    with cutting.Proxy({"registry.corp:80": peer.address}) as proxy:
        settings = {"http_proxy": proxy.url, "registries": {"registry.corp": hosts.Registry(plain_http=True)}}
        with tools.repository("registry.corp/team/app", **settings) as repository:
            assert read(repository, DATA) == DATA
        assert proxy.asked == [f"GET http://registry.corp/v2/team/app/blobs/{of(DATA).digest}"]


def test_a_proxy_that_refuses_is_named_without_its_password(tools):
    with cutting.Proxy(login=("me", "right")) as proxy:
        wrong = proxy.url.replace("right", "hidden")
        with (
            tools.repository("registry.corp/team/app", https_proxy=wrong) as repository,
            pytest.raises(errors.Unavailable) as caught,
        ):
            repository.manifest("1")
        assert f"through the proxy http://{proxy.address}" in str(caught.value)
        assert "407" in str(caught.value)
        assert "hidden" not in str(caught.value)


def test_loopback_is_not_asked_of_a_proxy(peer, tools, name):
    with cutting.Proxy() as proxy:
        with tools.repository(name, http_proxy=proxy.url, https_proxy=proxy.url) as repository:
            assert read(repository, DATA) == DATA
        assert proxy.asked == []


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "deadline"])
def test_a_name_server_that_is_silent_does_not_hold_us(tools, monkeypatch, end):
    asked, answer, cancel = threading.Event(), threading.Event(), threading.Event()

    def silent(*_):
        asked.set()
        answer.wait(60)
        return []

    monkeypatch.setattr(pools.socket, "getaddrinfo", silent)
    settings = {"answer_seconds": 0.1} if end == "deadline" else {}
    failures = []

    def ask(repository):
        with pytest.raises(errors.Unavailable) as caught:
            repository.manifest("1")
        failures.append(str(caught.value))

    try:
        with tools.repository("registry.corp/team/app", cancel=cancel, **settings) as repository:
            thread = threading.Thread(target=ask, args=(repository,))
            thread.start()
            assert asked.wait(30)
            if end == "cancel":
                cancel.set()
            thread.join(30)
            assert not thread.is_alive()
    finally:
        answer.set()
    assert failures
    assert failures[0].endswith("cancelled" if end == "cancel" else "no answer in time")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".corp"])
def test_a_name_that_nobody_has_is_said_at_once(tools, host):
    with (
        tools.repository(f"{host}/team/app") as repository,
        pytest.raises(errors.Unavailable, match=f"registry {host}: no such host"),
    ):
        repository.manifest("1")
    assert tools.pauses == []


# -- leaks ------------------------------------------------------------------------------------------------------------


def test_nothing_stays_open(peer, tools, name):
    """Descriptors of this process; the registry in it closes its ends a moment after ours."""
    faults = [None, fake_registry.Cut(1000), fake_registry.Status(503), fake_registry.Redirect("file:///x")]
    before = len(os.listdir("/proc/self/fd"))
    for fault in faults:
        peer.behave()
        if fault is not None:
            peer.misbehave(fault, path="/blobs/", times=None)
        with tools.repository(name) as repository, contextlib.suppress(errors.PouchError):
            repository.manifest("1")
            with repository.blob(of(DATA)) as stream:
                stream.read(10)  # and no more
            read(repository, DATA)
    deadline = time.monotonic() + 30
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_an_answer_that_comes_with_the_cancel_is_closed(peer, tools, name):
    """Else its connection is left to the garbage collector, open until then."""
    cancel = threading.Event()

    def answer(handler):
        cancel.set()
        handler.answer_truly()

    peer.misbehave(answer, path="/manifests/", times=None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with tools.repository(name, cancel=cancel) as repository, pytest.raises(errors.Unavailable, match="cancelled"):
            repository.manifest("1")
        gc.collect()
    assert [str(one.message) for one in said if one.category is ResourceWarning] == []
