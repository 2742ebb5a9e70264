"""What the engine has none of is answered as dockerd answers without it."""

from __future__ import annotations

import pytest
from support import edge_client

from pouch.edge.http import absent
from pouch.spec import errors

READ = (
    "/swarm",
    "/swarm/unlockkey",
    "/services",
    "/nodes",
    "/tasks",
    "/secrets",
    "/configs",
    "/services/web/logs",
    "/nodes/self",
)


@pytest.mark.parametrize("target", READ)
async def test_a_node_without_swarm_says_so(target):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"/v1.45{target}")
        assert (answer.status, answer.json()) == (503, {"message": absent.NO_SWARM})


@pytest.mark.parametrize(
    "target", ["/services/create", "/secrets/create", "/configs/create", "/services/web/update", "/swarm/update"]
)
async def test_nothing_can_be_made_without_swarm(target):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", target, {})
        assert (answer.status, answer.json()) == (503, {"message": absent.NO_SWARM})


async def test_leaving_no_swarm_and_changing_no_cluster_volume_are_unavailable():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/swarm/leave")
        assert (answer.status, answer.json()["message"]) == (503, "This node is not part of a swarm")
        answer = await daemon.request("PUT", "/volumes/data", {})
        assert (answer.status, "cluster volumes" in answer.json()["message"]) == (503, True)


@pytest.mark.parametrize(
    "target", ["/swarm/init", "/swarm/join", "/build", "/session", "/grpc", "/plugins/pull", "/plugins/create"]
)
async def test_what_another_engine_would_do_is_refused_with_a_reason(target):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", target)
        assert answer.status == 501
        assert "not supported" in answer.json()["message"] or "builds no images" in answer.json()["message"]


async def test_there_are_no_plugins():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/plugins")
        assert (answer.status, answer.json()) == (200, [])
        for method, target in (
            ("GET", "/plugins/vieux/sshfs:latest/json"),
            ("DELETE", "/plugins/vieux/sshfs"),
            ("POST", "/plugins/x/enable"),
        ):
            answer = await daemon.request(method, target)
            assert answer.status == 404
            assert answer.json()["message"].endswith("not found")


async def test_pruning_builds_removes_nothing_and_does_not_fail():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/build/prune")
        assert (answer.status, answer.json()) == (200, {"CachesDeleted": None, "SpaceReclaimed": 0})


async def test_an_image_has_no_attestations_and_a_missing_one_is_missing():
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", "/images/debian:bookworm/attestations")).json() == []
        daemon.engine.fail["images.get"] = errors.NotFound("No such image: none:latest")
        assert (await daemon.request("GET", "/images/none/attestations")).status == 404


async def test_checkpoints_are_refused_of_a_container_and_missing_of_none():
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", "/containers/web/checkpoints")).status == 501
        daemon.engine.fail["containers.get"] = errors.NotFound("No such container: none")
        assert (await daemon.request("GET", "/containers/none/checkpoints")).status == 404
