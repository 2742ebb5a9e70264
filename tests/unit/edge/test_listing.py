"""Containers looked at: lists and inspect by version, sizes, old forms of asking."""

from __future__ import annotations

import pytest
from support import edge_client, fake_engine

from pouch.edge.http import versions
from pouch.spec import container, errors

STATES = "created, running, paused, restarting, removing, exited, dead"


def web(**changes):
    return fake_engine.container_view(**changes)


def job():
    return web(
        id="1" * 64,
        name="job",
        created="2026-01-01T00:00:00.000000000Z",
        config=container.ContainerConfig(image="debian:bookworm", annotations={"team": "blue"}),
        state=container.State(status=container.Status.EXITED, finished_at="2026-01-01T00:00:01Z"),
    )


async def names(daemon, target):
    answer = await daemon.request("GET", target)
    assert answer.status == 200, answer.body
    return [one["Names"][0][1:] for one in answer.json()]


async def test_sizes_come_for_who_asks():
    async with edge_client.running() as daemon:
        plain = (await daemon.request("GET", "/containers/json")).json()[0]
        assert "SizeRw" not in plain
        assert not [call for call in daemon.engine.calls if call[0] == "files.sizes"]
        (line,) = (await daemon.request("GET", "/containers/json?size=1")).json()
        whole = (await daemon.request("GET", "/containers/web/json?size=1")).json()
        assert (line["SizeRw"], line["SizeRootFs"]) == (whole["SizeRw"], whole["SizeRootFs"])
        assert line["SizeRootFs"] >= line["SizeRw"] >= 0
        assert daemon.engine.calls.count(("files.sizes", fake_engine.ID)) == 2


async def test_an_image_whose_name_means_another_now_is_shown_by_its_id():
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", "/containers/json")).json()[0]["Image"] == "debian:bookworm"
        own = "sha256:" + "ab" * 32
        for images in ([], [fake_engine.image_view(id="sha256:" + "ef" * 32)]):
            daemon.engine.images.views = images
            (line,) = (await daemon.request("GET", "/containers/json")).json()
            assert (line["Image"], line["ImageID"]) == (own, own)


async def test_one_that_goes_while_sizes_are_looked_at_is_listed_without():
    async with edge_client.running() as daemon:
        daemon.engine.fail["files.sizes"] = errors.NotFound("No such container: x")
        (line,) = (await daemon.request("GET", "/containers/json?size=1")).json()
        assert line["Names"] == ["/web"]
        assert "SizeRw" not in line


async def test_before_and_since_of_old_are_filters():
    async with edge_client.running() as daemon:
        daemon.engine.containers.views = [web(), job()]
        assert await names(daemon, "/v1.24/containers/json?before=web") == ["job"]
        assert await names(daemon, "/v1.24/containers/json?since=job") == ["web"]
        assert await names(daemon, '/v1.24/containers/json?since=job&filters={"since":["web"]}') == []
        assert (await daemon.request("GET", "/v1.24/containers/json?before=none")).status == 404


async def test_filters_may_be_a_map_of_truths_as_of_old():
    async with edge_client.running() as daemon:
        daemon.engine.containers.views = [web(), job()]
        assert await names(daemon, '/containers/json?filters={"status":{"exited":true,"running":false}}') == ["job"]


async def test_annotations_are_a_filter_from_1_56_on():
    async with edge_client.running() as daemon:
        daemon.engine.containers.views = [web(), job()]
        asked = '?all=1&filters={"annotation":["team=blue"]}'
        assert await names(daemon, "/v1.56/containers/json" + asked) == ["job"]
        assert (await daemon.request("GET", "/v1.55/containers/json" + asked)).status == 400


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (
            '{"status":["zz"]}',
            f"invalid filter 'status=zz': invalid value for state (zz): must be one of {STATES}",
        ),
        (
            '{"health":["zz"]}',
            "invalid filter 'health=zz': invalid value for health (zz): must be one of none, starting, healthy, unhealthy",
        ),
        ('{"is-task":["zz"]}', "invalid filter 'is-task=[zz]'"),
        ('{"zz":["y"]}', "invalid filter 'zz'"),
        ("{bad", "invalid filter"),
    ],
)
async def test_wrong_filters_are_refused_in_dockers_words(wanted, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"/containers/json?filters={wanted}")
        assert (answer.status, answer.json()["message"].splitlines()[0]) == (400, sentence)


async def test_tasks_of_a_swarm_are_none():
    async with edge_client.running() as daemon:
        assert await names(daemon, '/containers/json?filters={"is-task":["true"]}') == []
        assert await names(daemon, '/containers/json?filters={"is-task":["false"]}') == ["web"]
        assert await names(daemon, '/containers/json?filters={"isolation":["default"]}') == ["web"]


def test_aliases_end_with_the_short_id_before_1_45():
    document = {
        "Id": "a" * 64,
        "Config": {"Hostname": "box"},
        "NetworkSettings": {"Networks": {"lan": {"Aliases": ["db"]}, "bridge": {"Aliases": None}}},
    }
    old = versions.fit(versions.Noun.CONTAINER, document, (1, 44))["NetworkSettings"]["Networks"]
    assert old["lan"]["Aliases"] == ["db", "a" * 12, "box"]
    assert old["bridge"]["Aliases"] is None
    assert versions.fit(versions.Noun.CONTAINER, document, (1, 45)) == document
