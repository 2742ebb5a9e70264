"""`/containers/{id}/archive` and `/containers/{id}/stats`: what they ask of the engine, and Docker's members."""

from __future__ import annotations

import base64
import json

import pytest
from support import edge_client, fake_files

from pouch.edge.http import statistics
from pouch.engine import views
from pouch.spec import errors, sample

WEB = "/containers/web/archive"


def told(answer):
    return json.loads(base64.b64decode(answer.headers["x-docker-container-path-stat"]))


async def test_head_tells_what_stands_at_a_path():
    async with edge_client.running() as daemon:
        answer = await daemon.request("HEAD", f"{WEB}?path=/etc/hosts")
        assert (answer.status, answer.body) == (200, b"")
        assert told(answer) == {
            "name": "hosts",
            "size": 12,
            "mode": 0o644,
            "mtime": "2026-01-02T03:04:05.000000006Z",
            "linkTarget": "",
        }


async def test_get_is_a_tar_with_the_same_header():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"{WEB}?path=/etc")
        assert daemon.engine.call("files.get") == ("web", "/etc")
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/x-tar", b"tarend")
        assert told(answer)["mode"] == 1 << 31 | 0o755


async def test_put_hands_the_body_on():
    async with edge_client.running() as daemon:
        target = f"{WEB}?path=/etc&noOverwriteDirNonDir=true&copyUIDGID=1"
        answer = await daemon.request("PUT", target, b"a tar")
        assert daemon.engine.call("files.put") == ("web", "/etc", True, True)
        assert (answer.status, answer.body, bytes(daemon.engine.files.received)) == (200, b"", b"a tar")


@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT"])
async def test_a_path_has_to_be_given_and_to_be_there(method):
    async with edge_client.running() as daemon:
        assert (await daemon.request(method, WEB)).status == 400
        assert (await daemon.request(method, f"{WEB}?path=/none")).status == 404


async def test_what_fails_before_the_first_piece_has_its_status():
    async with edge_client.running() as daemon:
        daemon.engine.fail["files.get"] = errors.Conflict("no")
        assert (await daemon.request("GET", f"{WEB}?path=/etc")).status == 409
        daemon.engine.fail["files.put"] = errors.InvalidInput("container rootfs is marked read-only")
        answer = await daemon.request("PUT", f"{WEB}?path=/etc", b"")
        assert (answer.status, answer.json()) == (400, {"message": "container rootfs is marked read-only"})


async def test_stats_are_lines_of_json():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/containers/web/stats?stream=0&one-shot=1")
        assert daemon.engine.call("statistics.watch") == ("web", False, True)
        (line,) = answer.lines()
        assert (line["name"], line["read"], line["preread"]) == (
            "/web",
            "2026-01-02T03:04:06.000000000Z",
            "0001-01-01T00:00:00Z",
        )


async def test_a_stream_that_is_one_shot_is_refused():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/containers/web/stats?stream=1&one-shot=1")
        assert (answer.status, answer.json()["message"]) == (400, "cannot have stream=true and one-shot=true")


def test_numbers_have_dockers_members():
    now = fake_files.reading(total=4_000_000_000)
    before = fake_files.reading(time="2026-01-02T03:04:05.000000000Z")
    found = statistics.document(views.Sample(id="x", name="web", now=now, before=before))
    assert (
        found["cpu_stats"]["cpu_usage"]["total_usage"] - found["precpu_stats"]["cpu_usage"]["total_usage"] == 2 * 10**9
    )
    assert (found["cpu_stats"]["online_cpus"], found["cpu_stats"]["system_cpu_usage"]) == (2, 100 * 10**9)
    assert found["memory_stats"] == {"usage": 64 << 20, "stats": {"inactive_file": 16 << 20}, "limit": 1 << 30}
    assert found["pids_stats"] == {"current": 3, "limit": 100}
    assert found["networks"]["eth0"]["rx_bytes"] == 1000
    assert found["blkio_stats"]["io_service_bytes_recursive"] is None
    assert "percpu_usage" not in found["cpu_stats"]["cpu_usage"]


def test_numbers_of_v1_have_their_own_members():
    blocks = sample.Blocks(bytes=(sample.BlockNumber(8, 0, "read", 4096),))
    memory = sample.Memory(usage=5, limit=9, most=7, failures=2)
    now = sample.Reading(time="t", cpu=sample.Cpu(total=3, per_cpu=(1, 2)), memory=memory, blocks=blocks, unified=False)
    found = statistics.document(views.Sample(id="x", name="web", now=now))
    assert found["cpu_stats"]["cpu_usage"]["percpu_usage"] == [1, 2]
    assert found["memory_stats"] == {"usage": 5, "stats": {}, "limit": 9, "max_usage": 7, "failcnt": 2}
    assert found["blkio_stats"]["io_service_bytes_recursive"] == [{"major": 8, "minor": 0, "op": "read", "value": 4096}]
    assert found["blkio_stats"]["io_queue_recursive"] == []
    assert "networks" not in found


def test_one_that_does_not_run_has_empty_numbers():
    found = statistics.document(views.Sample(id="x", name="web"))
    assert (found["read"], found["memory_stats"], found["pids_stats"]) == ("0001-01-01T00:00:00Z", {}, {})
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] == 0
