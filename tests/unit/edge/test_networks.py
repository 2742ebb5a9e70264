"""`/networks`, and what containers' documents say of networks and ports: Docker's shapes on the wire."""

from __future__ import annotations

import dataclasses
import json
from urllib import parse

import pytest
from support import edge_client, fake_engine, fake_networks

from pouch.edge.http import endpoints, filters, networks, ports, present
from pouch.edge.http.schema import container as container_schema
from pouch.edge.http.schema import decode
from pouch.edge.http.schema import network as schema
from pouch.engine import views
from pouch.spec import container, errors, network

WEB = fake_engine.ID
LAN = fake_networks.NETWORK_ID


def asked(**members: object) -> network.NetworkConfig:
    return networks.config(decode.decode(json.dumps({"Name": "lan", **members}).encode(), schema.Create))


@pytest.mark.parametrize(
    ("method", "target", "body", "call", "status"),
    [
        ("GET", "/networks", None, ("networks.list",), 200),
        ("GET", "/networks/lan", None, ("networks.get", "lan"), 200),
        ("GET", "/networks/lan?verbose=1&scope=local", None, ("networks.get", "lan"), 200),
        ("DELETE", "/networks/lan", None, ("networks.remove", "lan"), 204),
        ("POST", "/networks/prune", None, ("networks.prune", {}), 200),
        ("POST", '/networks/prune?filters={"until":["1h"]}', None, ("networks.prune", {"until": ["1h"]}), 200),
        ("POST", "/networks/create", {"Name": "x"}, ("networks.create", network.NetworkConfig(name="x")), 201),
        (
            "POST",
            "/networks/lan/connect",
            {"Container": "web"},
            ("networks.connect", "lan", "web", network.EndpointConfig()),
            200,
        ),
        (
            "POST",
            "/networks/lan/connect",
            {"Container": "/web", "EndpointConfig": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.9.0.4"}}},
            ("networks.connect", "lan", "web", network.EndpointConfig(aliases=("a",), ipv4="10.9.0.4")),
            200,
        ),
        (
            "POST",
            "/networks/lan/connect",
            {"Container": "web", "EndpointConfig": None},
            ("networks.connect", "lan", "web", network.EndpointConfig()),
            200,
        ),
        (
            "POST",
            "/networks/lan/disconnect",
            {"Container": "web", "Force": True},
            ("networks.disconnect", "lan", "web", True),
            200,
        ),
    ],
)
async def test_a_route_asks_the_engine_once_and_answers_dockers_status(method, target, body, call, status):
    async with edge_client.running() as daemon:
        answer = await daemon.request(method, "/v1.43" + target, body)
        assert daemon.engine.calls == [call]
        assert answer.status == status


async def test_a_network_is_shown_with_its_members():
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", "/v1.51/networks/lan")).json() == {
            "Name": "lan",
            "Id": LAN,
            "Created": "2026-01-02T03:04:05Z",
            "Scope": "local",
            "Driver": "bridge",
            "EnableIPv4": True,
            "EnableIPv6": True,
            "IPAM": {
                "Driver": "default",
                "Options": {},
                "Config": [
                    {
                        "Subnet": "10.9.0.0/24",
                        "IPRange": "10.9.0.128/25",
                        "Gateway": "10.9.0.1",
                        "AuxiliaryAddresses": {"a": "10.9.0.7"},
                    }
                ],
            },
            "Internal": False,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {
                WEB: {
                    "Name": "web",
                    "EndpointID": "e" * 64,
                    "MacAddress": "02:42:0a:09:00:02",
                    "IPv4Address": "10.9.0.2/24",
                    "IPv6Address": "fd00:9::2/64",
                }
            },
            "Options": {},
            "Labels": {"tier": "back"},
        }


async def test_the_answers_of_changes_have_dockers_shapes():
    async with edge_client.running() as daemon:
        daemon.engine.networks.warnings = ["one", "two"]
        made = await daemon.request("POST", "/networks/create", {"Name": "lan"})
        assert made.json() == {"Id": LAN, "Warning": "one\ntwo"}
        assert (await daemon.request("POST", "/networks/prune")).json() == {"NetworksDeleted": ["lan"]}
        assert (await daemon.request("POST", "/networks/lan/connect", {"Container": "web"})).body == b""


async def test_what_is_not_there_is_not_found():
    async with edge_client.running() as daemon:
        for target in ("/networks/nope", "/networks/lan?scope=swarm"):
            answer = await daemon.request("GET", target)
            name = target.split("/")[2].partition("?")[0]
            assert (answer.status, answer.json()) == (404, {"message": f"network {name} not found"})


@pytest.mark.parametrize("action", ["connect", "disconnect"])
async def test_a_member_must_be_named(action):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", f"/networks/lan/{action}", {})
        assert answer.status == 400
        assert answer.json()["message"].startswith("no container given\nhint: ")
        assert daemon.engine.calls == []


def test_a_whole_network_is_translated():
    pool = {
        "Subnet": "FD00:9:0::/64",
        "Gateway": "fd00:9:0:0::1",
        "IPRange": "fd00:9::8000/113",
        "AuxiliaryAddresses": {"r": "fd00:9::7"},
    }
    assert asked(
        Driver="macvlan",
        CheckDuplicate=True,
        Internal=True,
        Attachable=True,
        EnableIPv6=True,
        EnableIPv4=False,
        IPAM={"Driver": "default", "Options": {"o": "p"}, "Config": [{"Subnet": "10.9.0.0/24"}, {}, pool]},
        Options={"parent": "eth0"},
        Labels={"a": "b"},
    ) == network.NetworkConfig(
        name="lan",
        driver="macvlan",
        pools=(
            network.Pool(subnet="10.9.0.0/24"),
            network.Pool(
                subnet="fd00:9::/64",
                gateway="fd00:9::1",
                ip_range="fd00:9::8000/113",
                aux_addresses={"r": "fd00:9::7"},
            ),
        ),
        ipv4=False,
        ipv6=True,
        internal=True,
        attachable=True,
        options={"parent": "eth0"},
        labels={"a": "b"},
        ipam_options={"o": "p"},
    )


def test_what_docker_clients_leave_empty_is_left_to_the_engine():
    empty = {
        "Driver": "",
        "IPAM": {"Driver": "", "Options": None, "Config": None},
        "Options": {},
        "Labels": None,
        "EnableIPv4": None,
    }
    assert asked(**empty) == network.NetworkConfig(name="lan")


@pytest.mark.parametrize(
    ("members", "kind", "sentence"),
    [
        ({"IPAM": {"Config": [{"Subnet": "10.9.0.5/24"}]}}, errors.InvalidInput, "it should be 10.9.0.0/24"),
        ({"IPAM": {"Config": [{"Subnet": "x"}]}}, errors.InvalidInput, "invalid subnet x"),
        ({"IPAM": {"Config": [{"Subnet": "10.9.0.0/33"}]}}, errors.InvalidInput, "invalid subnet 10.9.0.0/33"),
        ({"IPAM": {"Config": [{"Gateway": "10.9.0.1"}]}}, errors.InvalidInput, "must have a corresponding subnet"),
        (
            {"IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "g"}]}},
            errors.InvalidInput,
            "invalid IP address: g",
        ),
        (
            {"IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "AuxiliaryAddresses": {"a": ""}}]}},
            errors.InvalidInput,
            "auxiliary",
        ),
        ({"Scope": "swarm"}, errors.Unsupported, "network lan: scope 'swarm'"),
        ({"Ingress": True}, errors.Unsupported, "Ingress is for clusters"),
        ({"ConfigOnly": True}, errors.Unsupported, "ConfigOnly is for clusters"),
        ({"ConfigFrom": {"Network": "x"}}, errors.Unsupported, "ConfigFrom is for clusters"),
    ],
)
def test_what_cannot_be_is_named(members, kind, sentence):
    with pytest.raises(kind) as caught:
        asked(**members)
    assert sentence in caught.value.message


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["bridge", "lan", "spare"]),
        ({"driver": ["bridge"]}, ["bridge", "lan", "spare"]),
        ({"driver": ["macvlan"]}, []),
        ({"type": ["builtin"]}, ["bridge"]),
        ({"type": {"custom": True}}, ["lan", "spare"]),
        ({"type": ["custom", "builtin"]}, ["bridge", "lan", "spare"]),
        ({"name": ["a"]}, ["lan", "spare"]),
        ({"name": ["^la", "e$"]}, ["bridge", "lan", "spare"]),
        ({"id": [LAN[:8]]}, ["lan"]),
        ({"scope": ["local"]}, ["bridge", "lan", "spare"]),
        ({"scope": ["swarm"]}, []),
        ({"label": ["tier=back"]}, ["lan"]),
        ({"dangling": ["true"]}, ["spare"]),
        ({"dangling": ["0"]}, ["bridge", "lan"]),
        ({"name": ["a"], "dangling": ["false"]}, ["lan"]),
    ],
)
async def test_filters_of_networks(wanted, found):
    async with edge_client.running() as daemon:
        daemon.engine.networks.views.append(fake_networks.network_view("spare", labels={}))
        daemon.engine.containers.views = [
            fake_engine.container_view(networks={"lan": network.EndpointConfig()}, network_ids={"lan": LAN})
        ]
        answer = await daemon.request("GET", f"/networks?filters={parse.quote(json.dumps(wanted))}")
        assert [one["Name"] for one in answer.json()] == found
        assert all(one["Containers"] == {} for one in answer.json())


@pytest.mark.parametrize(
    "wanted",
    [{"type": ["x"]}, {"dangling": ["x"]}, {"dangling": ["true", "false"]}, {"colour": ["red"]}, {"name": ["("]}],
)
async def test_a_wrong_filter_is_named(wanted):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"/networks?filters={parse.quote(json.dumps(wanted))}")
        assert answer.status == 400
        assert next(iter(wanted)) in answer.json()["message"]


def web(**changes: object) -> views.ContainerView:
    """`web` in `lan` and `other`, with a published port and one that is exposed only."""
    second = fake_networks.endpoint(
        id="f" * 64,
        network_id="d" * 64,
        network_name="other",
        interface="eth1",
        ipv4="10.8.0.2",
        ipv6="",
        ipv6_prefix=0,
        ipv6_gateway="",
    )
    state = container.State(
        status=container.Status.RUNNING,
        pid=42,
        started_at="2026-01-02T03:04:06Z",
        endpoints=(fake_networks.endpoint(), second),
        ports=(
            network.PublishedPort(port=80, protocol="tcp", host_ip="0.0.0.0", host_port=8080),
            network.PublishedPort(port=80, protocol="tcp", host_ip="::", host_port=8080),
            network.PublishedPort(port=53, protocol="udp", host_ip="127.0.0.1", host_port=32768),
        ),
    )
    lan = network.EndpointConfig(
        aliases=("www",), ipv4="10.9.0.2", mac="02:42:0a:09:00:02", links=("a:b",), driver_options={"o": "p"}
    )
    view = fake_engine.container_view(
        config=container.ContainerConfig(
            image="i",
            host=container.HostConfig(
                network_mode="lan",
                ports=(
                    network.PortBinding(port=80, host_port="8080"),
                    network.PortBinding(port=53, protocol="udp", host_ip="127.0.0.1"),
                ),
                publish_all=True,
                network_rate=network.Rate(ingress=5),
                network_policy=(network.PolicyRule(action="deny", network="10.0.0.0/8"),),
            ),
        ),
        state=state,
        networks={"lan": lan, "other": network.EndpointConfig()},
        network_ids={"lan": LAN, "other": "d" * 64},
        exposed=("53/udp", "80/tcp", "443/tcp"),
    )
    return dataclasses.replace(view, **changes)


def test_the_places_of_a_running_container():
    found = present.inspect(web())["NetworkSettings"]
    assert found["Networks"] == {
        "lan": {
            "IPAMConfig": {"IPv4Address": "10.9.0.2"},
            "Links": ["a:b"],
            "Aliases": ["www"],
            "DNSNames": ["web", "www", WEB[:12]],
            "GwPriority": 0,
            "NetworkID": LAN,
            "EndpointID": "e" * 64,
            "Gateway": "10.9.0.1",
            "IPAddress": "10.9.0.2",
            "IPPrefixLen": 24,
            "IPv6Gateway": "fd00:9::1",
            "GlobalIPv6Address": "fd00:9::2",
            "GlobalIPv6PrefixLen": 64,
            "MacAddress": "02:42:0a:09:00:02",
            "DriverOpts": {"o": "p"},
        },
        "other": {
            "IPAMConfig": None,
            "Links": None,
            "Aliases": None,
            "DNSNames": ["web", "www", WEB[:12]],
            "GwPriority": 0,
            "NetworkID": "d" * 64,
            "EndpointID": "f" * 64,
            "Gateway": "10.9.0.1",
            "IPAddress": "10.8.0.2",
            "IPPrefixLen": 24,
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "MacAddress": "02:42:0a:09:00:02",
            "DriverOpts": None,
        },
    }
    assert (found["IPAddress"], found["EndpointID"]) == ("", "")


def test_only_the_default_bridge_is_shown_in_the_oldest_members():
    place = fake_networks.endpoint(network_name="bridge", names=())
    view = web(
        state=dataclasses.replace(web().state, endpoints=(place,)), networks={"bridge": network.EndpointConfig()}
    )
    found = present.inspect(view)["NetworkSettings"]
    assert (found["IPAddress"], found["Gateway"], found["EndpointID"]) == ("10.9.0.2", "10.9.0.1", "e" * 64)
    assert found["Networks"]["bridge"]["Aliases"] is None


def test_a_stopped_container_keeps_its_networks_without_addresses():
    found = present.inspect(web(state=container.State()))["NetworkSettings"]
    assert found["Ports"] == {}
    assert list(found["Networks"]) == ["lan", "other"]
    assert found["Networks"]["lan"]["NetworkID"] == LAN
    assert found["Networks"]["lan"]["Aliases"] == ["www"]
    assert (found["Networks"]["lan"]["IPAddress"], found["Networks"]["lan"]["EndpointID"]) == ("", "")
    assert present.summary(web(state=container.State()), 0)["Ports"] == []


@pytest.mark.parametrize(
    ("mode", "names"), [("none", ["none"]), ("host", ["host"]), ("container:x", []), ("ns:/x", [])]
)
def test_modes_that_are_no_network(mode, names):
    view = web(
        config=container.ContainerConfig(image="i", host=container.HostConfig(network_mode=mode)),
        state=container.State(status=container.Status.RUNNING),
        networks={},
        network_ids={},
    )
    assert list(endpoints.settings(view)) == names
    assert ports.settings(view) == {}
    assert ports.summary(view) == []


def test_published_ports_in_all_documents():
    document = present.inspect(web())
    assert document["NetworkSettings"]["Ports"] == {
        "443/tcp": None,
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}],
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    }
    assert document["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
    }
    assert document["HostConfig"]["PublishAllPorts"] is True
    assert document["Config"]["ExposedPorts"] == {"53/udp": {}, "80/tcp": {}, "443/tcp": {}}
    assert document["Config"]["MacAddress"] == "02:42:0a:09:00:02"
    assert present.summary(web(), 0)["Ports"] == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "127.0.0.1", "PrivatePort": 53, "PublicPort": 32768, "Type": "udp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ]


def test_what_inspect_shows_can_be_asked_again():
    document = present.inspect(web())["HostConfig"]
    again = {
        name: document[name]
        for name in ("PortBindings", "PublishAllPorts", "NetworkMode", "NetworkRate", "NetworkPolicy")
    }
    given = decode.decode(json.dumps({"Image": "i", "HostConfig": again}).encode(), container_schema.Create)
    host = web().config.host
    assert ports.bindings(given.HostConfig.PortBindings) == host.ports
    assert endpoints.rate(given.HostConfig.NetworkRate) == host.network_rate
    assert endpoints.policy(given.HostConfig.NetworkPolicy) == host.network_policy


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"network": ["lan"]}, True),
        ({"network": ["nope", "other"]}, True),
        ({"network": [LAN[:12]]}, True),
        ({"network": ["nope"]}, False),
        ({"publish": ["8080"]}, True),
        ({"publish": ["8080/tcp"]}, True),
        ({"publish": ["8000-8100"]}, True),
        ({"publish": ["80"]}, False),
        ({"publish": ["32768"]}, False),
        ({"publish": ["1", "32768/udp"]}, True),
        ({"expose": ["443"]}, True),
        ({"expose": ["1-53/udp"]}, True),
        ({"expose": ["53"]}, False),
    ],
)
def test_filters_of_containers_by_networks_and_ports(wanted, found):
    assert all(test(web()) for test in filters.container_predicates(wanted)) is found


@pytest.mark.parametrize("key", ["publish", "expose"])
@pytest.mark.parametrize("value", ["x", "9-3", "80/foo", "0"])
async def test_a_filter_by_no_port_is_refused(key, value):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"/containers/json?filters={parse.quote(json.dumps({key: [value]}))}")
        assert answer.status == 400
        assert f'invalid port specification: "{value}"' in answer.json()["message"]
