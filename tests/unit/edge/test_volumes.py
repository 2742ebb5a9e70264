"""`/volumes` of the API, and volumes in `/system/df`."""

from __future__ import annotations

import json
from urllib import parse

from support import edge_client, fake_engine

from pouch.spec import errors, volume

DATA = {
    "CreatedAt": "2026-01-02T03:04:05Z",
    "Driver": "local",
    "Labels": {"tier": "back"},
    "Mountpoint": "/volumes/data/_data",
    "Name": "data",
    "Options": None,
    "Scope": "local",
}


def filters(**given):
    return "filters=" + parse.quote(json.dumps(given))


async def test_a_list_with_warnings_and_filters():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/v1.43/volumes?" + filters(dangling=["true"], name=["d"]))
        assert answer.json() == {"Volumes": [DATA], "Warnings": None}
        assert daemon.engine.call("volumes.list") == ({"dangling": ["true"], "name": ["d"]},)
        daemon.engine.volumes.warnings = ["far does not answer"]
        assert (await daemon.request("GET", "/volumes")).json()["Warnings"] == ["far does not answer"]


async def test_an_unknown_filter_is_refused():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/volumes?" + filters(colour=["red"]))
        assert answer.status == 400
        assert "invalid filter 'colour'" in answer.json()["message"]


async def test_create():
    async with edge_client.running() as daemon:
        body = {"Name": "data", "Driver": "", "DriverOpts": {"type": "tmpfs"}, "Labels": {"a": "b"}}
        answer = await daemon.request("POST", "/volumes/create", body)
        assert answer.status == 201
        assert answer.json()["Name"] == "data"
        wanted = volume.VolumeConfig(name="data", options={"type": "tmpfs"}, labels={"a": "b"})
        assert daemon.engine.call("volumes.create") == (wanted,)


async def test_create_of_nothing_in_particular():
    async with edge_client.running() as daemon:
        for body in ({}, {"Labels": None, "DriverOpts": None}):
            answer = await daemon.request("POST", "/volumes/create", body)
            assert answer.status == 201
        assert [call[1] for call in daemon.engine.calls] == [volume.VolumeConfig()] * 2


async def test_inspect_of_one_and_of_none():
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", "/volumes/data")).json() == DATA
        answer = await daemon.request("GET", "/volumes/nope")
        assert answer.status == 404
        assert answer.json()["message"] == "get nope: no such volume"


async def test_a_volume_may_be_called_as_a_verb():
    async with edge_client.running() as daemon:
        await daemon.request("DELETE", "/volumes/prune")
        assert daemon.engine.call("volumes.remove") == ("prune", False)


async def test_remove():
    async with edge_client.running() as daemon:
        assert (await daemon.request("DELETE", "/volumes/data?force=1")).status == 204
        assert daemon.engine.call("volumes.remove") == ("data", True)
        daemon.engine.fail["volumes.remove"] = errors.Conflict("remove data: volume is in use - [c0ffee]")
        answer = await daemon.request("DELETE", "/volumes/data")
        assert answer.status == 409
        assert answer.json()["message"] == "remove data: volume is in use - [c0ffee]"


async def test_prune_as_clients_of_each_time_expect_it():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/v1.43/volumes/prune?" + filters(label=["a"]))
        assert answer.json() == {"VolumesDeleted": ["a" * 64], "SpaceReclaimed": 4096}
        await daemon.request("POST", "/v1.41/volumes/prune")
        assert [call[1] for call in daemon.engine.calls] == [{"label": ["a"]}, {"all": ["true"]}]


async def test_disk_usage_has_sizes_and_counts(monkeypatch):
    async with edge_client.running() as daemon:

        async def usage():
            return {"Images": [], "Containers": [], "Volumes": [fake_engine.volume_view(size=5)], "BuildCache": []}

        monkeypatch.setattr(daemon.engine.system, "usage", usage)
        found = (await daemon.request("GET", "/system/df")).json()["Volumes"]
        assert found == [{**DATA, "UsageData": {"RefCount": 1, "Size": 5}}]
