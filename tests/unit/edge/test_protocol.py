"""HTTP itself: versions, routes, malformed requests, bodies, keep-alive."""

from __future__ import annotations

import asyncio

import pytest
from support import edge_client

from pouch.edge.http import connection, message, router
from pouch.spec import errors


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.30", "/v1.56"])
async def test_all_versions_from_1_24_to_1_56_and_none_are_spoken(prefix):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"{prefix}/version")
        assert answer.status == 200
        assert answer.json() == {"ApiVersion": "1.56", "MinAPIVersion": "1.24", "Version": "0.1.0"}


async def test_a_client_that_is_too_new_is_told_the_highest_version():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/v1.57/info")
        assert answer.status == 400
        assert answer.json() == {"message": "client version 1.57 is too new. Maximum supported API version is 1.56"}


async def test_a_client_that_is_too_old_is_told_the_lowest_version():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/v1.23/info")
        assert answer.status == 400
        assert answer.json()["message"].startswith(
            "client version 1.23 is too old. Minimum supported API version is 1.24"
        )


async def test_a_version_of_thousands_of_digits_is_refused_and_not_repeated():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"/v{'9' * 5000}.1/info")
        assert answer.status == 400
        assert len(answer.body) < 200


@pytest.mark.parametrize("path", ["/v1/info", "/vx.y/info", "/v1.x/info", "/v1.43"])
async def test_what_is_no_version_is_a_path_that_does_not_exist(path):
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", path)).status == 404


async def test_ping_says_which_api_is_spoken_to_get_and_to_head():
    async with edge_client.running(version="9.8.7") as daemon:
        for method, body in (("GET", b"OK"), ("HEAD", b"")):
            answer = await daemon.request(method, "/_ping")
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["api-version"] == "1.56"
            assert answer.headers["ostype"] == "linux"
            assert answer.headers["server"] == "Pouch/9.8.7 (linux)"
            assert answer.headers["content-length"] == str(len(body))
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.headers["cache-control"] == "no-cache, no-store, must-revalidate"
            assert (answer.headers["swarm"], answer.headers["builder-version"]) == ("inactive", "1")
            assert answer.headers["docker-experimental"] == "false"


@pytest.mark.parametrize("path", ["/", "/nothing", "/containers", "/containers/web/nothing", "/containers//json", "*"])
async def test_an_unknown_path_is_not_found(path):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", path)
        assert (answer.status, answer.json()) == (404, {"message": "page not found"})


async def test_a_wrong_method_is_told_the_right_ones():
    async with edge_client.running() as daemon:
        answer = await daemon.request("PUT", "/v1.43/doctor")
        assert answer.status == 405
        assert answer.reason == "Method Not Allowed"
        assert answer.headers["allow"] == "GET, POST"
        assert answer.json() == {"message": "method PUT not allowed, only GET, POST"}


async def test_a_container_may_have_the_name_of_a_fixed_path():
    async with edge_client.running() as daemon:
        assert (await daemon.request("DELETE", "/containers/json")).status == 204
        assert daemon.engine.call("containers.remove") == ("json", False, False)


@pytest.mark.parametrize(
    "target", ["/images/example.net:5000/team/app:v1/json", "/images/example.net:5000%2Fteam%2Fapp:v1/json"]
)
async def test_an_images_name_may_hold_slashes_bare_or_encoded(target):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", target)
        assert (answer.status, answer.json()) == (404, {"message": "No such image: example.net:5000/team/app:v1"})


async def test_the_absolute_form_of_a_target_is_understood():
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", "http://pouch/v1.43/_ping")).status == 200


async def test_names_are_decoded_once_and_wrong_utf_8_does_no_harm():
    async with edge_client.running() as daemon:
        await daemon.request("POST", "/containers/%2541%FF/start")
        assert daemon.engine.call("containers.start") == ("%41\ufffd",)


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost pouch\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nContent-Length: x\r\nHost: pouch\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_a_400_and_the_connection_ends(raw):
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(raw)
        answer = await client.answer()
        assert answer.status == 400
        assert answer.json()["message"].startswith("malformed request: ")
        assert answer.headers["connection"] == "close"
        assert await client.at_end()
        assert (await daemon.request("GET", "/_ping")).status == 200


async def test_a_head_without_end_is_refused_at_64_kib():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"GET /_ping HTTP/1.1\r\nHost: pouch\r\nX: " + b"x" * (70 << 10))
        assert (await client.answer()).status == 431


async def test_malformed_json_is_named_with_its_place():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/containers/create", b'{"Image": ')
        assert answer.status == 400
        assert answer.json()["message"] == "invalid request body: Input data was truncated"
        answer = await daemon.request("POST", "/containers/create", b'{"Image": debian}')
        assert answer.json()["message"] == "invalid request body: JSON is malformed: invalid character (byte 10)"
        assert daemon.engine.calls == []


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"HostConfig":{"Memory":"1g"}}', "Expected `int`, got `str` - at `$.HostConfig.Memory`"),
        (b'{"Env":["A=1",2]}', "Expected `str`, got `int` - at `$.Env[1]`"),
        (b'{"Labels":{"a":1}}', "Expected `str`, got `int` - at `$.Labels[...]`"),
        (b'{"HostConfig":{"Ulimits":[{"Name":"nofile"}]}}', "required field `Soft` - at `$.HostConfig.Ulimits[0]`"),
        (b'{"HostConfig":[]}', "Expected `object`, got `array` - at `$.HostConfig`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'"text"', "Expected `object`, got `str`"),
    ],
)
async def test_a_wrong_type_is_named_with_its_json_path(body, where):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/containers/create", body)
        assert answer.status == 400
        assert where in answer.json()["message"]


@pytest.mark.parametrize("body", [b'{"Image":"\xff"}', b'{"Image":"\\udcff"}', b"[" * 100_000])
async def test_a_hostile_document_is_refused_and_the_daemon_lives(body):
    async with edge_client.running() as daemon:
        assert (await daemon.request("POST", "/containers/create", body)).status == 400
        assert (await daemon.request("GET", "/_ping")).status == 200


async def test_a_body_over_the_limit_is_refused_with_413():
    async with edge_client.running() as daemon:
        body = b'{"Image":"' + b"x" * message.BODY_LIMIT + b'"}'
        answer = await daemon.request("POST", "/containers/create", body)
        assert answer.status == 413
        assert answer.json()["message"] == f"request body too large: more than {message.BODY_LIMIT} bytes"


async def test_a_broken_chunked_body_is_refused():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"POST /containers/create HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        answer = await client.answer()
        assert answer.status == 400
        assert answer.json()["message"].startswith("malformed request body: ")
        assert await client.at_end()


async def test_a_chunked_document_is_read():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(
            b"POST /containers/create HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'b\r\n{"Image": "\r\n7\r\nsmall"}\r\n0\r\n\r\n'
        )
        assert (await client.answer()).status == 201
        assert daemon.engine.call("containers.create")[0].image == "small"


async def test_a_client_that_waits_for_permission_to_send_gets_it():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(
            b"POST /containers/create HTTP/1.1\r\nHost: p\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await client.head()).status == 100
        await client.send(b'{"Image":"small"}')
        assert (await client.answer()).status == 201


async def test_a_client_whose_body_nobody_wants_is_not_asked_for_it():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"POST /nothing HTTP/1.1\r\nHost: p\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 404
        assert answer.headers["connection"] == "close"
        assert await client.at_end()


async def test_many_requests_go_over_one_connection_also_pipelined():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        for _ in range(3):
            await client.ask("POST", "/containers/web/start")
            assert (await client.answer()).status == 204
        await client.send(b"GET /_ping HTTP/1.1\r\nHost: p\r\n\r\n" * 2 + b"GET /info HTTP/1.1\r\nHost: p\r\n\r\n")
        assert [(await client.answer()).status for _ in range(3)] == [200, 200, 200]


async def test_an_unread_body_does_not_become_the_next_request():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("POST", "/nothing", b"GET /containers/web/kill HTTP/1.1\r\n\r\n")
        assert (await client.answer()).status == 404
        await client.ask("GET", "/_ping")
        assert (await client.answer()).status == 200
        assert daemon.engine.calls == []


async def test_a_client_that_asks_for_it_is_parted_from_after_the_answer():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("GET", "/_ping", Connection="close")
        answer = await client.answer()
        assert answer.headers["connection"] == "close"
        assert await client.at_end()


async def test_http_1_0_is_answered_and_ended():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"GET /_ping HTTP/1.0\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"OK")
        assert await client.at_end()


async def test_a_client_that_leaves_within_its_body_makes_nothing():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b'POST /containers/create HTTP/1.1\r\nHost: p\r\nContent-Length: 100\r\n\r\n{"Image":"x"}')
        client.end_input()
        assert (await client.answer()).status in (400, 503)
        assert daemon.engine.calls == []


async def test_an_unexpected_error_says_nothing_of_the_inside_and_is_logged(caplog):
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.start"] = RuntimeError("secret /path")
        answer = await daemon.request("POST", "/containers/web/start")
        assert answer.status == 500
        assert answer.json() == {"message": "internal error (RuntimeError); see the daemon's log"}
        assert "secret /path" in caplog.text


async def test_bytes_that_are_no_utf_8_are_replaced_in_answers():
    async with edge_client.running() as daemon:
        daemon.engine.containers.processes = [{"pid": 1, "command": ["a\udcff", "\ud800"]}]
        answer = await daemon.request("GET", "/containers/web/tree")
        assert (answer.status, answer.json()) == (200, [{"pid": 1, "command": ["a\ufffd", "\ufffd"]}])


async def test_a_hundred_clients_at_once_are_served():
    async with edge_client.running() as daemon:
        answers = await asyncio.gather(*(daemon.request("GET", "/containers/json") for _ in range(100)))
        assert {answer.status for answer in answers} == {200}


def test_every_route_is_reached_by_its_own_path():
    """No template hides another one."""

    class Noun:
        def __getattr__(self, name):
            return Noun()

    from pouch.edge.http import server

    routes = server.routes(Noun())
    found = router.Router(routes)
    for route in routes:
        assert found.find(route.method, route.template.replace("{name}", "x")) == (
            route,
            "x" if "{name}" in route.template else "",
        )


def test_negotiation_hands_back_version_and_path():
    assert router.negotiate("/v1.30/containers/v1.2/json") == ((1, 30), "/containers/v1.2/json")
    assert router.negotiate("/volumes") == ((1, 56), "/volumes")
    with pytest.raises(errors.InvalidInput):
        router.negotiate("/v2.0/info")


def test_the_first_value_of_a_query_key_counts():
    assert message.parse_query("a=1&a=2&b=&c") == {"a": "1", "b": "", "c": ""}


async def test_a_head_that_does_not_end_is_answered_408(monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.02)
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"GET /_ping HTTP/1.1\r\nHo")
        answer = await client.answer()
        assert (answer.status, answer.reason) == (408, "Request Timeout")
        assert await client.at_end()


async def test_between_requests_a_client_may_be_silent(monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.01)
    async with edge_client.running() as daemon:
        client = await daemon.client()
        for _ in range(2):
            await asyncio.sleep(0.03)
            await client.ask("GET", "/_ping")
            assert (await client.answer()).status == 200


async def test_a_document_that_does_not_come_is_answered_408(monkeypatch):
    monkeypatch.setattr(message, "READ_SECONDS", 0.02)
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b'POST /containers/create HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\n{"')
        answer = await client.answer()
        assert answer.status == 408
        assert "did not come within" in answer.json()["message"]
        assert await client.at_end()
        assert daemon.engine.calls == []


async def test_an_archive_may_take_long_but_not_stand_still(monkeypatch):
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(message, "READ_SECONDS", 0.01)
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"POST /images/load HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.02)
            await client.send(b"1\r\nx\r\n")
        answer = await client.answer()
        assert "nothing more of the request's body came" in answer.lines()[-1]["error"]
        assert bytes(daemon.engine.archives.loaded) == b"xxxxx"
        assert await client.at_end()


async def test_no_thread_waits_for_an_archive_that_has_not_begun():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"POST /images/load HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"")
        await daemon.request("GET", "/_ping")
        assert daemon.engine.calls == []
        await client.send(b"1\r\nx\r\n")
        await daemon.engine.reached("archives.load")
