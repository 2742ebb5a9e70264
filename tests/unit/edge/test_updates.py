"""`/containers/{id}/update` and `/daemon/update`, and the limits of a create document."""

from __future__ import annotations

import pytest
from support import edge_client

from pouch.edge.http import limits, translate
from pouch.edge.http.schema import container as schema
from pouch.edge.http.schema import decode
from pouch.spec import change, container, errors

EVERYTHING = b"""{"Image": "i", "HostConfig": {
    "MemorySwappiness": 5, "OomKillDisable": true, "CpuRealtimePeriod": 100, "CpuRealtimeRuntime": 10,
    "BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 20}], "BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1}],
    "BlkioDeviceWriteBps": [{"Path": "/dev/a", "Rate": 2}], "BlkioDeviceReadIOps": [{"Path": "/dev/a", "Rate": 3}],
    "BlkioDeviceWriteIOps": [{"Path": "/dev/a", "Rate": 4}], "DeviceCgroupRules": ["c 1:3 r"],
    "DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": null, "Capabilities": [["gpu"]], "Options": {}}],
    "MaskedPaths": [], "ReadonlyPaths": ["/proc/bus"], "PidsLimit": -1, "Links": ["a:b"]}}"""


def test_every_limit_is_shown_as_it_was_asked():
    document = decode.decode(EVERYTHING, schema.Create)
    host = translate.container_config(document)[0].host
    shown = limits.shown(host)
    for name in "MemorySwappiness OomKillDisable CpuRealtimePeriod CpuRealtimeRuntime DeviceCgroupRules".split():
        assert shown[name] == getattr(document.HostConfig, name)
    assert shown["BlkioWeightDevice"] == [{"Path": "/dev/a", "Weight": 20}]
    assert [shown[f"BlkioDevice{kind}"][0]["Rate"] for kind in ("ReadBps", "WriteBps", "ReadIOps", "WriteIOps")] == [
        1,
        2,
        3,
        4,
    ]
    assert shown["DeviceRequests"][0]["Capabilities"] == [["gpu"]]
    assert (host.masked_paths, host.readonly_paths, host.links) == ((), ("/proc/bus",), ("a:b",))
    assert shown["PidsLimit"] is None


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        (b'{"IOMaximumIOps": 5}', "does not support Maximum IO Bandwidth"),
        (b'{"Isolation": "hyperv"}', "linux only supports 'default'"),
    ],
)
def test_what_only_windows_has_is_refused(host, sentence):
    with pytest.raises(errors.InvalidInput, match=sentence):
        translate.container_config(decode.decode(b'{"Image":"i","HostConfig":' + host + b"}", schema.Create))


async def test_an_update_says_what_is_to_change_and_answers_warnings():
    async with edge_client.running() as daemon:
        daemon.engine.updates.warnings = ["discarded"]
        document = {
            "Memory": 1 << 30,
            "MemorySwap": -1,
            "PidsLimit": 0,
            "KernelMemory": 5,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "Env": ["A=1", "B"],
            "Labels": {"x": "y"},
            "LabelsRemoved": ["z"],
        }
        answer = await daemon.request("POST", "/v1.43/containers/web/update", document)
        assert answer.status == 200
        kernel, engines = answer.json()["Warnings"]
        assert ("kernel memory" in kernel, engines) == (True, "discarded")
        assert daemon.engine.call("updates.update") == (
            "web",
            change.ContainerChange(
                resources=container.Resources(memory=1 << 30, memory_swap=-1, pids_limit=-1),
                restart_policy=container.RestartPolicy(name="on-failure", maximum_retry_count=3),
                env=("A=1", "B"),
                labels={"x": "y"},
                labels_removed=("z",),
            ),
        )


async def test_dockers_own_client_changes_nothing_by_what_it_leaves_empty():
    document = (
        b'{"CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":null,"PidsLimit":null,'
        b'"BlkioDeviceReadBps":null,"CpusetCpus":"","Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,'
        b'"MemorySwappiness":null,"OomKillDisable":null,"Ulimits":null,"RestartPolicy":{"Name":"","MaximumRetryCount":0}}'
    )
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/v1.43/containers/web/update", document)
        assert answer.json() == {"Warnings": None}
        assert daemon.engine.call("updates.update") == ("web", change.ContainerChange())


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"Devices":[{"PathOnHost":"/dev/a"}]}', "Devices of a container cannot be changed"),
        (b'{"RestartPolicy":{"Name":"sometimes"}}', "invalid restart policy"),
        (b'{"Memory":"much"}', "Expected `int"),
    ],
)
async def test_a_wrong_update_is_refused(body, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/v1.43/containers/web/update", body)
        assert answer.status == 400
        assert sentence in answer.json()["message"]
        assert daemon.engine.calls == []


async def test_the_daemons_configuration_is_read_as_its_file_is():
    async with edge_client.running() as daemon:
        document = {"Labels": ["a=b"], "RegistryMirrors": [], "LogLevel": "debug", "StopTimeout": 4}
        assert (await daemon.request("POST", "/v1.43/daemon/update", document)).status == 200
        (wanted,) = daemon.engine.call("updates.update_daemon")
        assert wanted == change.DaemonChange(labels=("a=b",), registry_mirrors=(), log_level="debug", stop_timeout=4)
