"""Who asks: basic and bearer authentication, and where credentials never go."""

from __future__ import annotations

import base64
import socket
import threading
import urllib.parse

import pytest
from support import fake_registry
from support.registry_client import ADA, of, read

from pouch.image.registry import pools
from pouch.spec import credentials, errors

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")  # pytest undoes ours
DATA = bytes(range(256)) * 400
BASIC = "Basic " + base64.b64encode(b"ada:secret").decode()


@pytest.fixture
def name(peer):
    """A repository that holds DATA as its one layer."""
    peer.put_image("team/app", "1", [DATA])
    return f"{peer.address}/team/app:1"


def tokens(peer):
    """The requests for tokens, as (method, fields of the query)."""
    return [
        (one.method, urllib.parse.parse_qs(urllib.parse.urlsplit(one.path).query)) for one in peer.seen(path="^/token")
    ]


def test_nothing_is_sent_that_nobody_asks_for(peer, tools, name):
    with tools.repository(name, ADA) as repository:
        assert read(repository, DATA) == DATA
    assert {one.authorization for one in peer.requests} == {""}


def test_basic_auth_is_sent_when_asked_for_and_then_at_once(peer, tools, name):
    peer.require_basic("ada", "secret")
    with tools.repository(name, ADA) as repository:
        repository.manifest("1")
        assert read(repository, DATA) == DATA
    assert [one.authorization for one in peer.seen(path="/team/")] == ["", BASIC, BASIC]


def test_without_credentials_the_sentence_is_dockers(peer, tools, name):
    peer.require_basic("ada", "secret")
    with tools.repository(name) as repository, pytest.raises(errors.Forbidden) as caught:
        repository.manifest("1")
    assert f"pull access denied for {peer.address}/team/app, repository does not exist or may require" in str(
        caught.value
    )
    assert "no basic auth credentials" in str(caught.value)


def test_a_wrong_password_is_tried_once(peer, tools, name):
    peer.require_basic("ada", "other")
    with tools.repository(name, ADA) as repository, pytest.raises(errors.Forbidden, match="authentication required"):
        repository.manifest("1")
    assert len(peer.seen(path="/manifests/")) == 2
    assert tools.pauses == []


def test_a_token_is_fetched_for_the_repository_and_used_for_all(peer, tools, name):
    peer.require_bearer("ada", "secret")
    with tools.repository(name, ADA) as repository:
        repository.manifest("1")
        assert read(repository, DATA) == DATA
    assert tokens(peer) == [
        ("GET", {"service": ["tests"], "scope": ["repository:team/app:pull"], "account": ["ada"]}),
    ]
    assert peer.seen(path="^/token")[0].authorization == BASIC
    assert not [one for one in peer.seen(path="/team/") if one.authorization.startswith("Basic")]


def test_pushing_asks_for_more(peer, tools, name):
    peer.require_bearer("ada", "secret")
    with tools.repository(name, ADA, push=True) as repository:
        assert repository.has_blob(of(DATA).digest)
        assert not repository.mount_blob(of(b"other").digest, "other/place")
    assert [fields["scope"] for _, fields in tokens(peer)] == [
        ["repository:team/app:pull,push"],
        ["repository:team/app:pull,push", "repository:other/place:pull"],
    ]


def test_anybody_gets_an_anonymous_token(peer, tools, name):
    peer.require_bearer()
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert peer.seen(path="^/token")[0].authorization == ""


def test_an_identity_token_is_posted_and_never_put_into_a_url(peer, tools, name):
    peer.require_bearer("ada", "secret", refresh_token="refresh-me")
    with tools.repository(name, credentials.Credentials(identity_token="refresh-me")) as repository:
        assert read(repository, DATA) == DATA
    assert [method for method, _ in tokens(peer)] == ["POST"]
    assert not [one for one in peer.requests if "refresh-me" in one.path + one.authorization]


def test_a_registry_token_is_sent_as_it_is(peer, tools, name):
    peer.require_bearer("ada", "secret")
    peer.tokens["given"] = ("ada", {"repository:team/app:pull"})
    with tools.repository(name, credentials.Credentials(registry_token="given")) as repository:
        assert read(repository, DATA) == DATA
    assert tokens(peer) == []


def test_a_registry_token_that_is_refused_is_not_replaced(peer, tools, name):
    peer.require_bearer("ada", "secret")
    with (
        tools.repository(name, credentials.Credentials(registry_token="bad")) as repository,
        pytest.raises(errors.Forbidden),
    ):
        repository.manifest("1")
    assert tokens(peer) == []


def test_a_registry_token_cannot_bring_headers_along(peer, tools, name):
    who = credentials.Credentials(registry_token="a\r\nHost: b")
    with tools.repository(name, who) as repository, pytest.raises(errors.InvalidInput) as caught:
        repository.manifest("1")
    assert "Host" not in str(caught.value)


def test_a_token_is_not_used_beyond_its_time(peer, tools, name):
    peer.require_bearer("ada", "secret", expires_in=300)
    with tools.repository(name, ADA) as repository:
        repository.manifest("1")
        tools.now += 289
        repository.manifest("1")
        assert len(tokens(peer)) == 1
        tools.now += 2
        repository.manifest("1")
    assert len(tokens(peer)) == 2
    assert len(peer.seen(path="/manifests/")) == 4, "no request was refused on the way"


def test_a_token_without_a_time_is_good_for_a_minute(peer, tools, name):
    peer.require_bearer("ada", "secret", expires_in=0)
    with tools.repository(name, ADA) as repository:
        repository.manifest("1")
        tools.now += 49
        repository.manifest("1")
        tools.now += 2
        repository.manifest("1")
    assert len(tokens(peer)) == 2


def test_a_token_that_ends_in_the_middle_of_a_blob_is_fetched_anew(peer, tools, name):
    peer.require_bearer("ada", "secret")
    with tools.repository(name, ADA) as repository:
        repository.manifest("1")

        def cut(handler):
            fake_registry.Cut(1000)(handler)
            peer.revoke_tokens()

        peer.misbehave(cut, path="/blobs/")
        assert read(repository, DATA) == DATA
    assert len(tokens(peer)) == 2
    assert peer.seen(path="/blobs/")[-1].headers["range"] == "bytes=1000-"


def test_many_threads_share_one_token(peer, tools, name):
    peer.require_bearer("ada", "secret")
    found = []
    with tools.repository(name, ADA) as repository:
        threads = [threading.Thread(target=lambda: found.append(read(repository, DATA))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [DATA] * 6
    assert len(tokens(peer)) == 1


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_registry_that_refuses_for_ever_is_given_up_after_one_new_try(peer, tools, name, kind):
    peer.require_bearer("ada", "secret")
    realm = 'Basic realm="x"' if kind == "basic" else f'Bearer realm="{peer.url}/token",service="tests"'
    peer.misbehave(fake_registry.Status(401, {"WWW-Authenticate": realm}), path="/v2/team", times=None)
    with tools.repository(name, ADA) as repository, pytest.raises(errors.Forbidden, match="pull access denied"):
        read(repository, DATA)
    assert len(peer.seen(path="/v2/team")) == 2
    assert len(tokens(peer)) == (1 if kind == "bearer" else 0)


@pytest.mark.parametrize(
    ("header", "error", "words"),
    [
        ("Digest realm=x", errors.Unsupported, "asks for digest"),
        ('Bearer realm="', errors.Unavailable, "cannot be read"),
        ('Bearer service="x"', errors.Forbidden, "names a token server"),
        ('Bearer realm="/token"', errors.Forbidden, "names a token server"),
        ('Bearer realm="file:///etc/passwd"', errors.Forbidden, "'file'"),
        ('Bearer realm="http://me:pw@a.corp/"', errors.Forbidden, "user name"),
        ("", errors.Forbidden, "pull access denied"),
    ],
)
def test_a_challenge_that_makes_no_sense_is_named(peer, tools, name, header, error, words):
    peer.misbehave(
        fake_registry.Status(401, {"WWW-Authenticate": header} if header else {}), path="/v2/team", times=None
    )
    with tools.repository(name, ADA) as repository, pytest.raises(error, match=words):
        repository.manifest("1")
    assert len(peer.seen(path="/v2/team")) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no json", "is no token"),
        (b"{}", "no usable token"),
        (b'{"token": 5}', "is no token"),
        (b'{"token": "a b"}', "no usable token"),
        (b'{"token": "a\\r\\nX: y"}', "no usable token"),
        (b'{"token": "' + b"x" * 100_000 + b'"}', "no usable token"),
        (b'{"token": "' + b"x" * 2_000_000 + b'"}', "is no token"),
    ],
)
def test_a_token_server_that_answers_something_else_is_named(peer, tools, name, body, words):
    peer.require_bearer("ada", "secret")
    peer.misbehave(fake_registry.Status(200, {}, body), path="^/token")
    with tools.repository(name, ADA) as repository, pytest.raises(errors.CorruptData, match=f"token server.*{words}"):
        repository.manifest("1")


def test_a_token_server_that_fails_is_asked_again_and_then_named(peer, tools, name):
    peer.require_bearer("ada", "secret")
    peer.misbehave(fake_registry.Status(503), path="^/token", times=2)
    with tools.repository(name, ADA) as repository:
        repository.manifest("1")
    assert tools.pauses == [0.5, 1.0]
    peer.misbehave(fake_registry.Status(503), path="^/token", times=None)
    with tools.repository(name, ADA) as repository, pytest.raises(errors.Unavailable, match="token server"):
        repository.manifest("1")


def test_a_token_server_elsewhere_gets_what_docker_would_send_it(peer, tools, name):
    with fake_registry.FakeRegistry() as elsewhere:
        elsewhere.require_bearer("ada", "secret")
        peer.require_bearer("ada", "secret", realm=f"http://{elsewhere.other_name}/token")
        elsewhere.tokens = peer.tokens
        with tools.repository(name, ADA) as repository:
            assert read(repository, DATA) == DATA
        asked = elsewhere.seen()
    assert [(one.method, one.authorization) for one in asked] == [("GET", BASIC)]


def test_a_token_server_does_not_send_us_on(peer, tools, name):
    with fake_registry.FakeRegistry() as elsewhere:
        peer.require_bearer("ada", "secret")
        peer.misbehave(fake_registry.Redirect(f"{elsewhere.url}/token"), path="^/token", times=None)
        with tools.repository(name, ADA) as repository, pytest.raises(errors.Unavailable, match="token server"):
            repository.manifest("1")
        assert elsewhere.requests == []


def test_no_url_of_a_registry_is_logged(peer, tools, name, caplog):
    """Redirects go to URLs with signatures; a log is read by more people than may pull."""
    caplog.set_level("DEBUG")
    peer.misbehave(fake_registry.Redirect("{path}?signature=hidden"), path="/blobs/")
    with tools.repository(name) as repository:
        assert read(repository, DATA) == DATA
    assert "hidden" not in caplog.text


# -- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_do_not_follow_a_redirect_to_another_host(peer, tools, name, auth):
    if auth == "basic":
        peer.require_basic("ada", "secret")
    else:
        peer.require_bearer("ada", "secret")
    with fake_registry.FakeRegistry() as elsewhere:
        elsewhere.put_blob("team/app", DATA)
        with tools.repository(name, ADA) as repository:
            repository.manifest("1")
            for place in (elsewhere.url, f"http://{peer.other_name}"):
                peer.misbehave(fake_registry.Redirect(place + "{path}"), path="^/v2/team/app/blobs/")
                if place == elsewhere.url:
                    assert read(repository, DATA) == DATA
                else:
                    with pytest.raises(errors.Forbidden):
                        read(repository, DATA)  # the same server by another name asks who we are, and is not told
        assert [one.authorization for one in elsewhere.requests] == [""]
    assert [one.authorization for one in peer.requests if one.headers["host"] == peer.other_name] == [""]


def test_they_do_follow_one_to_the_same_host(peer, tools, name):
    peer.require_basic("ada", "secret")
    with tools.repository(name, ADA) as repository:
        repository.manifest("1")
        peer.misbehave(fake_registry.Redirect("{path}?again", status=302), path="/blobs/")
        assert read(repository, DATA) == DATA
    assert [one.authorization for one in peer.seen(path="/blobs/")] == [BASIC, BASIC]


def test_redirects_end(peer, tools, name):
    peer.misbehave(fake_registry.Redirect("{path}"), path="/blobs/", times=None)
    with tools.repository(name) as repository, pytest.raises(errors.Unavailable, match="more than 5 redirects"):
        read(repository, DATA)
    assert len(peer.seen(path="/blobs/")) == 6
    assert tools.pauses == []


@pytest.mark.parametrize("place", ["file:///etc/passwd", "", "https://me:pw@a.corp/"])
def test_a_redirect_to_a_strange_place_is_refused(peer, tools, name, place):
    peer.misbehave(fake_registry.Redirect(place), path="/blobs/")
    with tools.repository(name) as repository, pytest.raises(errors.Forbidden, match="Location that is refused"):
        read(repository, DATA)


def test_from_tls_there_is_no_redirect_to_plain_http(tools, authority):
    with fake_registry.FakeRegistry(tls=authority.server_context()) as peer, fake_registry.FakeRegistry() as elsewhere:
        peer.put_image("team/app", "1", [DATA])
        peer.misbehave(fake_registry.Redirect(elsewhere.url + "{path}"), path="/blobs/")
        with (
            tools.repository(f"{peer.address}/team/app") as repository,
            pytest.raises(errors.Forbidden, match="without TLS"),
        ):
            read(repository, DATA)
        assert elsewhere.requests == []


def test_a_registry_elsewhere_does_not_lead_to_this_machine(peer, tools, monkeypatch):
    """By a name that means loopback: what addresses a name has is known only when it is connected to. Here 127.0.0.2 alone is inside."""
    real = socket.getaddrinfo
    inside = {"inside.corp": "127.0.0.2"}
    peer.put_image("team/app", "1", [DATA])
    peer.misbehave(fake_registry.Redirect("http://inside.corp{path}"), path="/blobs/")
    monkeypatch.setattr(pools.socket, "getaddrinfo", lambda host, *more: real(inside.get(host, host), *more))
    monkeypatch.setattr(pools.hosts, "is_inward", lambda address: address == "127.0.0.2")
    with (
        tools.repository(f"{peer.address}/team/app") as repository,
        pytest.raises(errors.Unavailable, match=r"inside\.corp, which is 127\.0\.0\.2, an address that only this host"),
    ):
        read(repository, DATA)


# -- logging in -------------------------------------------------------------------------------------------------------


def test_logging_in_gives_the_identity_token(peer, tools):
    peer.require_bearer("ada", "secret", refresh_token="refresh-me")
    assert tools.client().check(peer.address, ADA) == "refresh-me"
    (_, fields) = tokens(peer)[0]
    assert (fields["offline_token"], fields["client_id"], "scope" in fields) == (["true"], ["pouch"], False)


def test_logging_in_with_basic_auth_gives_none(peer, tools):
    peer.require_basic("ada", "secret")
    assert tools.client().check(peer.address, ADA) == ""


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_wrong_credentials_do_not_log_in(peer, tools, kind):
    (peer.require_basic if kind == "basic" else peer.require_bearer)("ada", "other")
    with pytest.raises(errors.Forbidden, match=f"login to {peer.address}"):
        tools.client().check(peer.address, ADA)


def test_what_is_no_registry_cannot_be_logged_in_to(peer, tools):
    peer.misbehave(fake_registry.Status(404), path="^/v2/", times=None)
    with pytest.raises(errors.Unsupported, match="is no registry"):
        tools.client().check(peer.address, ADA)


def test_where_nobody_listens_is_said(tools):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(errors.Unavailable) as caught:
            tools.client().check(address, ADA)
    assert address in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "secret" not in str(caught.value)
