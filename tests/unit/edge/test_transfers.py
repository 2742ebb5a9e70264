"""Pull, push, search, distribution, login: names, credentials, statuses, and the end with the client."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from support import edge_client, fake_engine

from pouch.edge.http import registry
from pouch.engine import views
from pouch.spec import credentials, errors

DIGEST = "sha256:" + "ef" * 32
ANN = credentials.Credentials("ann", "s3cret", server="reg:5000")


def header(document: object, *, urlsafe: bool = True) -> str:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(content).decode()


@pytest.mark.parametrize(
    ("query", "name", "platform", "all_tags"),
    [
        ("fromImage=debian&tag=bookworm", "debian:bookworm", "", False),
        ("fromImage=debian:bookworm", "debian:bookworm", "", False),
        ("fromImage=debian:bullseye&tag=bookworm", "debian:bookworm", "", False),
        ("fromImage=debian", "debian", "", True),
        ("fromImage=debian:", "debian", "", True),
        ("fromImage=reg:5000/a/b", "reg:5000/a/b", "", True),
        ("fromImage=reg:5000%2Fa%2Fb&tag=1&platform=linux/arm64/v8", "reg:5000/a/b:1", "linux/arm64/v8", False),
        (f"fromImage=debian&tag={DIGEST}", f"debian@{DIGEST}", "", False),
        (f"fromImage=debian@{DIGEST}", f"debian@{DIGEST}", "", False),
        (f"fromImage=debian:1@{DIGEST}", f"debian:1@{DIGEST}", "", False),
    ],
)
async def test_a_pull_names_an_image_or_all_of_a_repository(query, name, platform, all_tags):
    async with edge_client.running() as daemon:
        assert (await daemon.request("POST", f"/images/create?{query}")).status == 200
        assert daemon.engine.call("transfers.pull") == (name, credentials.ANONYMOUS, platform, all_tags)


@pytest.mark.parametrize(
    ("target", "name", "all_tags"),
    [
        ("debian/push?tag=1", "debian:1", False),
        ("reg:5000/a/b/push", "reg:5000/a/b", True),
        ("reg:5000%2Fa%2Fb/push?tag=x", "reg:5000/a/b:x", False),
        ("debian:1/push", "debian:1", False),
    ],
)
async def test_a_push_names_an_image_or_all_of_a_repository(target, name, all_tags):
    async with edge_client.running() as daemon:
        assert (await daemon.request("POST", f"/images/{target}")).status == 200
        assert daemon.engine.call("transfers.push") == (name, credentials.ANONYMOUS, all_tags)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        (header({"username": "ann", "password": "s3cret", "serveraddress": "reg:5000"}), ANN),
        (header({"username": "ann", "password": "s3cret", "serveraddress": "reg:5000"}, urlsafe=False), ANN),
        (header({"username": "ann", "password": "s3cret", "serveraddress": "reg:5000"}).rstrip("="), ANN),
        (header({"auth": header(b"ann:s3c:ret"), "serveraddress": "r"}),
         credentials.Credentials("ann", "s3c:ret", server="r")),
        (header({"identitytoken": "tok", "email": None}), credentials.Credentials(identity_token="tok")),
        (header({"registrytoken": "tok", "unknown": [1]}), credentials.Credentials(registry_token="tok")),
        (header({}), credentials.ANONYMOUS),
        (header(b"null"), credentials.ANONYMOUS),
        ("", credentials.ANONYMOUS),
    ],
)  # fmt: skip
async def test_credentials_come_in_a_header(text, who):
    async with edge_client.running() as daemon:
        await daemon.request("POST", "/images/create?fromImage=x&tag=1", X_Registry_Auth=text)
        assert daemon.engine.call("transfers.pull")[1] == who


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not base64!", "not base64"),
        (header(b"s3cret"), "JSON is malformed"),
        (header(b'["s3cret"]'), "Expected `object`, got `array`"),
        (header({"username": "s3cret", "password": 5}), "Expected `str`, got `int` - at `$.password`"),
        (header({"auth": "s3cret!"}), "not base64"),
        (header({"auth": header(b"\xff:\xff")}), "auth: not UTF-8"),
        (header(b"\xff\xfe"), "JSON is malformed"),
        (header(b"[" * 30_000), "nested too deeply"),
    ],
)
@pytest.mark.parametrize("target", ["/images/create?fromImage=x&tag=1", "/images/x/push?tag=1"])
async def test_a_wrong_header_is_refused_and_not_repeated(target, text, reason):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", target, X_Registry_Auth=text)
        message = answer.json()["message"]
        assert answer.status == 400
        assert message.startswith(f"invalid X-Registry-Auth header: {reason}")
        assert "s3cret" not in message
        assert daemon.engine.calls == []


async def test_of_old_the_credentials_of_a_push_were_its_body():
    async with edge_client.running() as daemon:
        body = {"username": "ann", "password": "s3cret", "serveraddress": "reg:5000"}
        await daemon.request("POST", "/images/x/push?tag=1", body)
        assert daemon.engine.call("transfers.push") == ("x:1", ANN, False)
        answer = await daemon.request("POST", "/images/x/push?tag=1", {"username": 5})
        assert answer.status == 400


async def test_a_transfer_is_told_in_dockers_stream_with_what_programs_want_to_know():
    async with edge_client.running() as daemon:
        daemon.engine.transfers.steps = fake_engine.FakeStream(
            views.Progress("The push refers to repository [r/x]"),
            views.Progress("Pushing", "abc", 5, 10),
            views.Progress("1: digest: sha256:e size: 5"),
            views.Progress("", aux={"Tag": "1", "Digest": "sha256:e", "Size": 5}),
        )
        answer = await daemon.request("POST", "/images/r/x/push?tag=1")
        assert answer.lines() == [
            {"status": "The push refers to repository [r/x]"},
            {"status": "Pushing", "progressDetail": {"current": 5, "total": 10}, "id": "abc"},
            {"status": "1: digest: sha256:e size: 5"},
            {"progressDetail": {}, "aux": {"Tag": "1", "Digest": "sha256:e", "Size": 5}},
        ]
        assert daemon.engine.transfers.steps.closed.is_set()


@pytest.mark.parametrize("target", ["/images/create?fromImage=x&tag=1", "/images/x/push?tag=1"])
async def test_what_fails_before_the_first_step_has_its_status_also_when_it_takes_long(target):
    async with edge_client.running() as daemon:
        steps = daemon.engine.transfers.steps = fake_engine.FakeStream(open_end=True)
        client = await daemon.client()
        await client.ask("POST", target)
        head = asyncio.create_task(client.answer())
        await asyncio.sleep(0)
        steps.queue.put_nowait(errors.NotFound("pull access denied for x"))
        answer = await head
        assert (answer.status, answer.json()) == (404, {"message": "pull access denied for x"})
        assert steps.closed.is_set()
        await client.ask("GET", "/_ping")
        assert (await client.answer()).status == 200


async def test_what_fails_later_stands_in_the_stream():
    async with edge_client.running() as daemon:
        daemon.engine.transfers.steps = fake_engine.FakeStream(
            views.Progress("Pulling from x", "1"), errors.Unavailable("reg: stalled")
        )
        answer = await daemon.request("POST", "/images/create?fromImage=x&tag=1")
        assert answer.status == 200
        assert answer.lines()[1] == {"errorDetail": {"code": 503, "message": "reg: stalled"}, "error": "reg: stalled"}


@pytest.mark.parametrize("first", [(), (views.Progress("Pulling from x", "1"),)])
async def test_a_pull_ends_with_its_client_also_before_its_first_step(first):
    async with edge_client.running() as daemon:
        steps = daemon.engine.transfers.steps = fake_engine.FakeStream(*first, open_end=True)
        client = await daemon.client()
        await client.ask("POST", "/images/create?fromImage=x&tag=1")
        await daemon.engine.reached("transfers.pull")
        if first:
            await client.head()
        await client.leave()
        await steps.closed.wait()


QUESTIONS = [
    ("GET", "/images/search?term=x", "transfers.search"),
    ("GET", "/distribution/x/json", "transfers.distribution"),
    ("POST", "/auth", "transfers.authenticate"),
]


@pytest.mark.parametrize(("method", "target", "call"), QUESTIONS)
async def test_a_question_to_a_registry_is_given_up_when_its_client_leaves(method, target, call, caplog):
    async with edge_client.running() as daemon:
        asked = asyncio.Event()
        given_up = asyncio.Event()

        async def never(*arguments):
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()

        setattr(daemon.engine.transfers, call.rpartition(".")[2], never)
        client = await daemon.client()
        await client.ask(method, target, {"username": "ann"} if method == "POST" else None)
        await asked.wait()
        await client.leave()
        await given_up.wait()
        await daemon.forgotten()
        assert caplog.records == []
        assert (await daemon.request("GET", "/_ping")).status == 200


async def test_a_question_to_a_registry_does_not_hold_up_the_daemons_end():
    async with edge_client.running() as daemon:
        daemon.engine.gate["transfers.search"] = asyncio.Event()
        client = await daemon.client()
        await client.ask("GET", "/images/search?term=x")
        await daemon.engine.reached("transfers.search")
        async with asyncio.timeout(10):
            await daemon.server.close(60.0)


async def test_a_pull_that_has_not_begun_does_not_hold_up_the_daemons_end():
    async with edge_client.running() as daemon:
        steps = daemon.engine.transfers.steps = fake_engine.FakeStream(open_end=True)
        client = await daemon.client()
        await client.ask("POST", "/images/create?fromImage=x&tag=1")
        await daemon.engine.reached("transfers.pull")
        async with asyncio.timeout(10):
            await daemon.server.close(60.0)
        assert steps.closed.is_set()


async def test_a_pull_without_a_name_is_refused():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/images/create")
        assert (answer.status, daemon.engine.calls) == (400, [])
        assert "fromImage is missing" in answer.json()["message"]


async def test_search_has_dockers_shape_and_filters():
    async with edge_client.running() as daemon:
        daemon.engine.transfers.found = [
            {"name": "debian", "description": "a base", "star_count": 5, "is_official": True},
            {"name": "ann/debian", "description": None, "star_count": 1},
        ]
        text = header({"username": "ann", "password": "s3cret", "serveraddress": "reg:5000"})
        answer = await daemon.request("GET", "/images/search?term=deb&limit=7", X_Registry_Auth=text)
        assert daemon.engine.call("transfers.search") == ("deb", 7, ANN)
        assert answer.json() == [
            {"star_count": 5, "is_official": True, "name": "debian", "is_automated": False, "description": "a base"},
            {"star_count": 1, "is_official": False, "name": "ann/debian", "is_automated": False, "description": ""},
        ]
        for wanted, count in (
            ('{"stars":["2"]}', 1),
            ('{"is-official":["false"]}', 1),
            ('{"is-official":{"true":true}}', 1),
            ('{"is-automated":["1"]}', 0),
        ):
            assert len((await daemon.request("GET", f"/images/search?term=deb&filters={wanted}")).json()) == count


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "term is missing"),
        ("term=x&limit=101", "limit 101 is outside the range of [1, 100]"),
        ("term=x&limit=-1", "limit -1 is outside the range of [1, 100]"),
        ("term=x&limit=y", "'y' is not a number"),
        ('term=x&filters={"stars":["many"]}', "invalid filter 'stars=many'"),
        ('term=x&filters={"is-official":["maybe"]}', "invalid filter 'is-official=maybe'"),
        ('term=x&filters={"colour":["red"]}', "invalid filter 'colour'"),
    ],
)
async def test_a_wrong_search_is_refused_before_a_registry_is_asked(query, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"/images/search?{query}")
        assert (answer.status, daemon.engine.calls) == (400, [])
        assert sentence in answer.json()["message"]


async def test_distribution_has_dockers_shape():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/distribution/reg:5000/a/b:1/json")
        assert daemon.engine.call("transfers.distribution") == ("reg:5000/a/b:1", credentials.ANONYMOUS)
        assert answer.json() == {
            "Descriptor": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGEST, "size": 524},
            "Platforms": [{"architecture": "amd64", "os": "linux"}],
            "Raw": base64.b64encode(b'{"layers":[]}').decode(),
        }


async def test_login_answers_a_sentence_and_a_token_or_401():
    async with edge_client.running() as daemon:
        body = {"username": "ann", "password": "s3cret", "serveraddress": "reg:5000"}
        answer = await daemon.request("POST", "/auth", body)
        assert daemon.engine.call("transfers.authenticate") == (ANN,)
        assert (answer.status, answer.json()) == (200, {"Status": "Login Succeeded", "IdentityToken": ""})
        daemon.engine.fail["transfers.authenticate"] = errors.Forbidden("reg:5000: unauthorized")
        answer = await daemon.request("POST", "/auth", body)
        assert (answer.status, answer.reason, answer.json()) == (
            401,
            "Unauthorized",
            {"message": "reg:5000: unauthorized"},
        )
        assert (await daemon.request("POST", "/auth", {"password": ["s3cret"]})).status == 400
        assert (await daemon.request("POST", "/auth", {"serveraddress": "reg:5000"})).status == 400


@pytest.mark.parametrize(
    ("name", "tag", "joined"),
    [
        ("a", "", "a"),
        ("a:1", "2", "a:2"),
        ("r:5/a", "2", "r:5/a:2"),
        (f"a:1@{DIGEST}", "2", "a:2"),
        ("a:1", DIGEST, f"a@{DIGEST}"),
    ],
)
def test_a_tag_replaces_the_names_own(name, tag, joined):
    assert registry.joined(name, tag) == joined
