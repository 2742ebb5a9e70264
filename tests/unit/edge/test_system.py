"""The daemon's own documents by version: disk use, information."""

from __future__ import annotations

import json

import pytest
from support import edge_client, fake_engine

from pouch.edge.http import usages, versions
from pouch.engine import views
from pouch.spec import event, volume

FOUND = {
    "LayersSize": 100,
    "ReclaimableSize": 30,
    "Images": [
        {"Id": "a", "RepoTags": ["a:1"], "Size": 70, "VirtualSize": 70, "Containers": 2},
        {"Id": "b", "RepoTags": ["b:1"], "Size": 30, "VirtualSize": 30, "Containers": 0},
    ],
    "Containers": [{"Id": fake_engine.ID, "SizeRw": 7, "SizeRootFs": 77}],
    "Volumes": [
        views.VolumeView(
            volume=volume.Volume(name="used", driver="local", created="2026-01-01T00:00:00Z"),
            mountpoint="/v",
            size=5,
            users=("c",),
        ),
        views.VolumeView(
            volume=volume.Volume(name="free", driver="local", created="2026-01-01T00:00:00Z"), mountpoint="/w", size=3
        ),
    ],
    "BuildCache": [],
    "BuilderSize": 0,
}
OLD = {"LayersSize", "ReclaimableSize", "Images", "Containers", "Volumes", "BuildCache"}
NEW = {"ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"}


async def usage(target):
    async with edge_client.running() as daemon:

        async def found():
            return FOUND

        daemon.engine.system.usage = found
        answer = await daemon.request("GET", target)
        assert answer.status == 200, answer.body
        return answer.json()


async def test_disk_use_has_lists_before_1_52_and_then_summaries_beside_them():
    assert set(await usage("/v1.41/system/df")) == OLD | {"BuilderSize"}
    assert set(await usage("/v1.42/system/df")) == OLD
    assert set(await usage("/v1.51/system/df")) == OLD
    both = await usage("/v1.52/system/df")
    assert set(both) == OLD | NEW
    assert "Items" not in both["ImageUsage"]


async def test_who_says_how_much_gets_summaries_only():
    assert set(await usage("/v1.52/system/df?verbose=0")) == NEW
    whole = await usage("/v1.52/system/df?verbose=1")
    assert set(whole) == NEW
    assert [one["Id"] for one in whole["ImageUsage"]["Items"]] == ["a", "b"]


async def test_summaries_say_what_is_used_and_what_could_be_free():
    found = await usage("/v1.52/system/df?verbose=0")
    assert found["ImageUsage"] == {"ActiveCount": 1, "TotalCount": 2, "TotalSize": 100, "Reclaimable": 30}
    assert found["ContainerUsage"] == {"ActiveCount": 1, "TotalCount": 1, "TotalSize": 7, "Reclaimable": 0}
    assert found["VolumeUsage"] == {"ActiveCount": 1, "TotalCount": 2, "TotalSize": 8, "Reclaimable": 3}
    assert found["BuildCacheUsage"] == {"ActiveCount": 0, "TotalCount": 0, "TotalSize": 0, "Reclaimable": 0}


async def test_a_type_that_was_not_asked_for_is_null_and_then_absent():
    old = await usage("/v1.51/system/df?type=image")
    assert (old["Containers"], old["Volumes"], old["BuildCache"]) == (None, None, None)
    assert len(old["Images"]) == 2
    assert set(await usage("/v1.52/system/df?type=volume&type=container")) == {
        *("Volumes", "VolumeUsage", "Containers", "ContainerUsage"),
    }


async def test_types_mean_nothing_before_1_42():
    assert len((await usage("/v1.41/system/df?type=volume"))["Images"]) == 2


async def test_containers_of_images_are_counted_here_in_every_version():
    for version in ("1.30", "1.44", "1.56"):
        found = await usage(f"/v{version}/system/df")
        assert [one["Containers"] for one in found["Images"]] == [2, 0]
        assert ("VirtualSize" in found["Images"][0]) is (version == "1.30")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/v1.42/system/df?type=zz", "unknown object type: zz"),
        ("/v1.52/system/df?verbose=maybe", "invalid value for verbose: maybe"),
    ],
)
async def test_what_is_no_type_or_truth_is_refused(target, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", target)
        assert (answer.status, answer.json()["message"].splitlines()[0]) == (400, sentence)


async def test_information_has_each_versions_members():
    async with edge_client.running() as daemon:
        whole = {
            "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"],
            "RuncCommit": {"ID": "abc", "Expected": "abc"},
            "FirewallBackend": {"Driver": "nftables"},
            "BridgeNfIptables": False,
            "RegistryConfig": {"AllowNondistributableArtifactsCIDRs": None, "Mirrors": None},
        }

        async def info():
            return whole

        daemon.engine.system.info = info

        async def told(version):
            return (await daemon.request("GET", f"/v{version}/info")).json()

        assert (await told("1.24"))["SecurityOptions"] == ["seccomp", "userns"]
        assert (await told("1.25"))["SecurityOptions"] == whole["SecurityOptions"]
        assert "AllowNondistributableArtifactsCIDRs" in (await told("1.46"))["RegistryConfig"]
        assert (await told("1.47"))["RegistryConfig"] == {"Mirrors": None}
        assert (await told("1.48"))["RuncCommit"] == {"ID": "abc", "Expected": "abc"}
        assert (await told("1.49"))["RuncCommit"] == {"ID": "abc"}
        assert "FirewallBackend" not in await told("1.48")
        assert "FirewallBackend" in await told("1.49")
        assert "BridgeNfIptables" in await told("1.49")
        assert "BridgeNfIptables" not in await told("1.50")


def test_every_summary_is_of_a_version_that_has_it():
    document = usages.document({}, frozenset(("image",)), (1, 30), verbose=None)
    assert set(versions.fit(versions.Noun.USAGE, document, (1, 30))) >= {"Images", "LayersSize"}
    assert "ImageUsage" not in versions.fit(versions.Noun.USAGE, document, (1, 30))


async def test_events_come_in_the_form_that_is_asked_for():
    happened = event.Event("image", "pull", "debian", {}, 7 * 10**9)
    for version, accept, kind, mark in (
        ("1.51", "application/json-seq", "application/json", b""),
        ("1.52", "application/json-seq", "application/json-seq", b"\x1e"),
        ("1.52", "text/plain, application/x-ndjson;q=0.5", "application/x-ndjson", b""),
        ("1.52", "application/jsonl", "application/json", b""),
        ("1.53", "application/jsonl", "application/jsonl", b""),
        ("1.53", "application/jsonl;q=0", "application/json", b""),
    ):
        async with edge_client.running() as daemon:
            daemon.engine.events.stream = fake_engine.FakeStream(happened)
            answer = await daemon.request("GET", f"/v{version}/events", Accept=accept)
            assert answer.headers["content-type"] == kind
            assert answer.body[: len(mark)] == mark
            assert json.loads(answer.body[len(mark) :])["Action"] == "pull"


async def test_images_that_are_made_are_no_event_before_1_46():
    for version, told in (("1.45", 0), ("1.46", 1)):
        async with edge_client.running() as daemon:
            daemon.engine.events.stream = fake_engine.FakeStream(event.Event("image", "create", "sha256:x", {}, 7))
            answer = await daemon.request("GET", f"/v{version}/events")
            assert len(answer.body.splitlines()) == told


async def test_events_do_not_end_before_they_begin():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/events?since=5&until=4")
        assert (answer.status, answer.json()["message"]) == (400, "`since` time (5) cannot be after `until` time (4)")


async def test_lists_of_networks_had_their_members_before_1_28():
    async with edge_client.running() as daemon:
        await daemon.request("GET", "/v1.28/networks")
        assert "networks.get" not in daemon.engine.called
        assert (await daemon.request("GET", "/v1.27/networks")).status == 200
        assert "networks.get" in daemon.engine.called


@pytest.mark.parametrize("noun", ["containers", "networks", "volumes"])
async def test_every_prune_may_be_told_line_by_line(noun):
    async with edge_client.running() as daemon:
        report = (await daemon.request("POST", f"/v1.55/{noun}/prune?stream=1")).json()
        answer = await daemon.request("POST", f"/v1.56/{noun}/prune?stream=1")
        assert answer.headers["content-type"] == "application/jsonl"
        lines = [json.loads(text) for text in answer.body.splitlines()]
        assert lines[-1] == {"aux": report}
        (removed,) = [value for name, value in report.items() if name.endswith("Deleted")]
        assert [one["id"] for one in lines[:-1]] == removed
