"""`POST /containers/{id}/upgrade`."""

from __future__ import annotations

import pytest
from support import edge_client

from pouch.spec import container, errors

PATH = "/v1.43/containers/web/upgrade"


@pytest.mark.parametrize(
    ("query", "document", "wish"),
    [
        ("", {}, {}),
        ("?t=0", {"Cmd": ["a", "b"]}, {"stop_timeout": 0, "cmd": ("a", "b")}),
        ("?t=-1", {"Cmd": "a b", "WaitReady": 30}, {"stop_timeout": -1, "cmd": ("a b",), "ready_seconds": 30}),
        ("", {"Entrypoint": [""], "Cmd": None}, {"entrypoint": ()}),
        ("", {"Entrypoint": ["/e"], "Cmd": []}, {"entrypoint": ("/e",)}),
    ],
)
async def test_a_document_is_a_wish(query, document, wish):
    async with edge_client.running() as daemon:
        daemon.engine.containers.warnings = ["mind the gap"]
        answer = await daemon.request("POST", PATH + query, {"Image": "shop:2", **document})
        assert (answer.status, answer.json()) == (200, {"Warnings": ["mind the gap"]})
        assert daemon.engine.call("containers.upgrade") == ("web", container.UpgradeConfig(image="shop:2", **wish))


@pytest.mark.parametrize(
    ("query", "document", "sentence"),
    [
        ("", {}, "no image to upgrade to given"),
        ("", {"Image": 3}, "$.Image"),
        ("", {"Image": "x", "WaitReady": -1}, "invalid WaitReady -1"),
        ("", {"Image": "x", "WaitReady": 3601}, "seconds, from 0 to 3600"),
        ("", {"Image": "x", "Cmd": {"a": 1}}, "$.Cmd"),
        ("?t=soon", {"Image": "x"}, "invalid value for t"),
    ],
)
async def test_what_is_wrong_is_refused_before_the_engine_is_asked(query, document, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", PATH + query, document)
        assert answer.status == 400
        assert sentence in answer.json()["message"]
        assert not [call for call in daemon.engine.calls if call[0] == "containers.upgrade"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("No such image: shop:2"), 404),
        (errors.Conflict("cannot upgrade"), 409),
        (errors.StartFailed("it is as before"), 500),
        (errors.StartFailed("no such program; it is as before", exit_code=127), 400),
    ],
)
async def test_failures_have_their_status(error, status):
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.upgrade"] = error
        answer = await daemon.request("POST", PATH, {"Image": "shop:2"})
        assert answer.status == status
        assert answer.json()["message"] == error.message
