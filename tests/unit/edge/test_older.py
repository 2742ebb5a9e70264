"""What create documents mean by version, and what is checked of bodies."""

from __future__ import annotations

import pytest
from support import edge_client

from pouch.edge.http import older
from pouch.edge.http.schema import container as schema
from pouch.edge.http.schema import decode
from pouch.spec import errors


def created(text):
    return decode.decode(text, schema.Create)


def test_clients_before_1_25_remove_containers_themselves():
    for version, kept in (((1, 24), False), ((1, 25), True)):
        document = created(b'{"HostConfig":{"AutoRemove":true}}')
        older.adapt(document, version)
        assert document.HostConfig.AutoRemove is kept


def test_the_ipc_namespace_was_shareable_before_1_40():
    for version, mode in (((1, 39), "shareable"), ((1, 40), "")):
        document = created(b"{}")
        older.adapt(document, version)
        assert document.HostConfig.IpcMode == mode
    document = created(b'{"HostConfig":{"IpcMode":"private"}}')
    older.adapt(document, (1, 30))
    assert document.HostConfig.IpcMode == "private"


def test_options_of_another_mount_are_ignored_before_1_42_and_refused_then():
    text = b'{"HostConfig":{"Mounts":[{"Type":"bind","VolumeOptions":{"NoCopy":true}}],"ConsoleSize":[10,20]}}'
    document = created(text)
    older.adapt(document, (1, 41))
    assert document.HostConfig.Mounts[0].VolumeOptions == schema.VolumeOptions()
    assert document.HostConfig.ConsoleSize == []
    with pytest.raises(errors.InvalidInput, match='VolumeOptions must not be specified on mount type "bind"'):
        older.adapt(created(text), (1, 42))


def test_several_networks_come_with_1_44():
    text = b'{"NetworkingConfig":{"EndpointsConfig":{"a":{},"b":{}}},"Healthcheck":{"StartInterval":5}}'
    with pytest.raises(errors.InvalidInput, match="Container cannot be created with multiple network endpoints: a, b"):
        older.adapt(created(text), (1, 43))
    document = created(text)
    assert older.adapt(document, (1, 44)) == []
    assert document.Healthcheck.StartInterval == 5


def test_gateways_have_priorities_from_1_48_on():
    text = b'{"NetworkingConfig":{"EndpointsConfig":{"a":{"GwPriority":7}}}}'
    for version, kept in (((1, 47), 0), ((1, 48), 7)):
        document = created(text)
        older.adapt(document, version)
        assert document.NetworkingConfig.EndpointsConfig["a"].GwPriority == kept


def test_a_mac_address_moved_from_the_container_to_the_network():
    endpoint = b'{"NetworkingConfig":{"EndpointsConfig":{"a":{"MacAddress":"02:42:ac:11:00:02"}}}}'
    document = created(endpoint)
    older.adapt(document, (1, 43))
    assert document.NetworkingConfig.EndpointsConfig["a"].MacAddress == ""
    document = created(endpoint)
    older.adapt(document, (1, 44))
    assert document.NetworkingConfig.EndpointsConfig["a"].MacAddress == "02:42:ac:11:00:02"
    whole = b'{"MacAddress":"02:42:ac:11:00:02"}'
    assert older.adapt(created(whole), (1, 43)) == []
    assert "deprecated" in older.adapt(created(whole), (1, 51))[0]
    with pytest.raises(errors.InvalidInput, match="no longer supported"):
        older.adapt(created(whole), (1, 52))


@pytest.mark.parametrize("empty", [b"[]", b"null"])
def test_an_empty_list_of_bindings_published_a_port_until_1_52(empty):
    text = b'{"HostConfig":{"PortBindings":{"80/tcp":' + empty + b"}}}"
    for version, warnings in (((1, 51), 0), ((1, 52), 1)):
        document = created(text)
        assert len(older.adapt(document, version)) == warnings
        assert document.HostConfig.PortBindings == {"80/tcp": [schema.PortBinding()]}
    document = created(text)
    assert older.adapt(document, (1, 53)) == []
    assert document.HostConfig.PortBindings == {}


def test_a_volume_driver_that_mounts_do_not_have_is_warned_of_from_1_48_on():
    text = b'{"HostConfig":{"VolumeDriver":"x","Mounts":[{"Type":"volume","Target":"/a"}]}}'
    assert older.adapt(created(text), (1, 47)) == []
    assert "volume-driver configuration is ignored" in older.adapt(created(text), (1, 48))[0]
    named = b'{"HostConfig":{"VolumeDriver":"x","Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Name":"y"}}}]}}'
    assert older.adapt(created(named), (1, 48)) == []


async def test_a_umask_of_the_host_configuration_is_taken():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/containers/create", {"Image": "i", "HostConfig": {"Umask": 0o27}})
        assert answer.status == 201
        assert daemon.engine.call("containers.create")[0].umask == 0o27


@pytest.mark.parametrize("target", ["/containers/create", "/networks/create", "/volumes/create"])
async def test_a_body_that_is_said_to_be_no_json_is_refused(target):
    async with edge_client.running() as daemon:
        client = await daemon.client()
        body = b'{"Image":"i","Name":"n"}'
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        await client.send(head.encode() + body)
        answer = await client.answer()
        assert answer.status == 400
        assert answer.json()["message"] == "unsupported Content-Type header (text/plain): must be 'application/json'"
        assert not daemon.engine.calls
