"""`POST /containers/create`: networks, ports, rates and policies of Docker's document."""

from __future__ import annotations

import json

import pytest
from support import edge_client

from pouch.edge.http import translate
from pouch.edge.http.schema import container as schema
from pouch.edge.http.schema import decode
from pouch.spec import container, errors, network


def config(**members: object) -> container.ContainerConfig:
    document = json.dumps({"Image": "i", **members}).encode()
    return translate.container_config(decode.decode(document, schema.Create))[0]


def host(**members: object) -> container.HostConfig:
    return config(HostConfig=members).host


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"80/tcp": [{"HostPort": "8080"}]}, [network.PortBinding(port=80, host_port="8080")]),
        ({"80": [{"HostIp": "", "HostPort": ""}]}, [network.PortBinding(port=80)]),
        (
            {"53/UDP": [{"HostIp": "0:0::1", "HostPort": "0"}]},
            [network.PortBinding(port=53, protocol="udp", host_ip="::1")],
        ),
        (
            {"80/tcp": [{"HostPort": "8000-8010"}, {"HostIp": "127.0.0.1", "HostPort": "9-9"}]},
            [
                network.PortBinding(port=80, host_port="8000-8010"),
                network.PortBinding(port=80, host_ip="127.0.0.1", host_port="9"),
            ],
        ),
        (
            {"80-81/sctp": [{}]},
            [network.PortBinding(port=80, protocol="sctp"), network.PortBinding(port=81, protocol="sctp")],
        ),
        ({"80/tcp": [{"HostPort": "1"}, {"HostPort": "1"}]}, [network.PortBinding(port=80, host_port="1")]),
        ({"80/tcp": None, "81/tcp": [], "82/tcp": {}}, []),
    ],
)
def test_port_bindings(given, wanted):
    assert list(host(PortBindings=given).ports) == wanted


def test_a_port_that_is_bound_is_exposed_with_those_that_only_are():
    found = config(
        ExposedPorts={"443/tcp": {}, "53/udp": {}, "7-8": {}},
        HostConfig={"PortBindings": {"80/tcp": None, "443": [{}]}},
    )
    assert found.exposed_ports == ("443/tcp", "53/udp", "7/tcp", "8/tcp", "80/tcp")


@pytest.mark.parametrize(
    "port", ["", "x", "0", "65536", "80/icmp", "80/", "8-7", "-1", "1-", "٨", "99999999999", "80/tcp/udp"]
)
def test_a_port_that_is_none_is_named(port):
    for members in ({"ExposedPorts": {port: {}}}, {"HostConfig": {"PortBindings": {port: [{}]}}}):
        with pytest.raises(errors.InvalidInput) as caught:
            config(**members)
        assert caught.value.message.startswith(f'invalid port specification: "{port}"')
        assert caught.value.hint


@pytest.mark.parametrize("port", ["x", "65536", "0-5", "9-8", "1,2", " 1"])
def test_a_host_port_that_is_none_is_named(port):
    with pytest.raises(errors.InvalidInput, match=f'invalid port specification: "{port}"'):
        host(PortBindings={"80/tcp": [{"HostPort": port}]})


@pytest.mark.parametrize("address", ["localhost", "1.2.3", "fe80::1%eth0", "1.2.3.4/8"])
def test_a_host_address_that_is_none_is_named(address):
    with pytest.raises(errors.InvalidInput, match=f"invalid IP address: {address}"):
        host(PortBindings={"80/tcp": [{"HostIp": address}]})


def test_all_exposed_ports_may_be_published():
    assert host(PublishAllPorts=True).publish_all


def test_endpoints_keep_their_order_and_what_the_daemon_reports_is_no_wish():
    places = {
        "back": {
            "IPAMConfig": {"IPv4Address": "10.1.0.9", "IPv6Address": "FD00:0::9"},
            "Aliases": ["db", "db", "store"],
            "MacAddress": "02-42-AC-11-00-02",
            "DriverOpts": {"a": "b"},
            "Links": ["x:y"],
            "IPAddress": "10.1.0.77",
            "GlobalIPv6PrefixLen": 64,
            "NetworkID": "abc",
        },
        "abc": None,
    }
    found = config(NetworkingConfig={"EndpointsConfig": places}).networks
    assert list(found) == ["back", "abc"]
    assert found["abc"] == network.EndpointConfig()
    assert found["back"] == network.EndpointConfig(
        aliases=("db", "store"),
        ipv4="10.1.0.9",
        ipv6="fd00::9",
        mac="02:42:ac:11:00:02",
        driver_options={"a": "b"},
        links=("x:y",),
    )


def test_nulls_in_an_endpoint_count_as_left_out():
    place = {"IPAMConfig": None, "Links": None, "Aliases": None, "DriverOpts": None, "MacAddress": ""}
    assert config(NetworkingConfig={"EndpointsConfig": {"n": place}}).networks == {"n": network.EndpointConfig()}


@pytest.mark.parametrize("mode", ["", "default", "bridge"])
def test_the_default_network_has_one_name(mode):
    found = config(
        HostConfig={"NetworkMode": mode}, NetworkingConfig={"EndpointsConfig": {mode or "default": {"Aliases": ["a"]}}}
    )
    assert found.host.network_mode == "bridge"
    assert found.networks == {"bridge": network.EndpointConfig(aliases=("a",))}


@pytest.mark.parametrize("mode", ["none", "host", "container:web", "ns:/run/netns/x"])
def test_what_is_no_network_is_no_place_until_something_is_wanted_of_it(mode):
    empty = config(HostConfig={"NetworkMode": mode}, NetworkingConfig={"EndpointsConfig": {mode: {}}})
    assert empty.networks == {}
    fixed = config(HostConfig={"NetworkMode": mode}, NetworkingConfig={"EndpointsConfig": {mode: {"Aliases": ["a"]}}})
    assert fixed.networks == {mode: network.EndpointConfig(aliases=("a",))}


def test_a_cni_network_is_a_network():
    found = config(HostConfig={"NetworkMode": "cni:lan"}, NetworkingConfig={"EndpointsConfig": {"cni:lan": {}}})
    assert found.host.network_mode == "cni:lan"
    assert list(found.networks) == ["cni:lan"]


def test_the_mac_address_of_older_clients_is_that_of_the_first_network():
    found = config(MacAddress="02:42:AC:11:00:02", HostConfig={"NetworkMode": "lan"})
    assert found.networks == {"lan": network.EndpointConfig(mac="02:42:ac:11:00:02")}
    own = config(
        MacAddress="02:42:ac:11:00:02",
        HostConfig={"NetworkMode": "lan"},
        NetworkingConfig={"EndpointsConfig": {"lan": {"MacAddress": "02:42:ac:11:00:03", "Aliases": ["a"]}}},
    )
    assert own.networks == {"lan": network.EndpointConfig(mac="02:42:ac:11:00:03", aliases=("a",))}


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({"IPAMConfig": {"IPv4Address": "fd00::1"}}, "invalid IPv4 address: fd00::1"),
        ({"IPAMConfig": {"IPv4Address": "10.0.0.300"}}, "invalid IPv4 address: 10.0.0.300"),
        ({"IPAMConfig": {"IPv6Address": "10.0.0.3"}}, "invalid IPv6 address: 10.0.0.3"),
        ({"IPAMConfig": {"IPv6Address": "fe80::1%lo"}}, "invalid IPv6 address: fe80::1%lo"),
        ({"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}, "link-local addresses cannot be chosen"),
        ({"MacAddress": "02:42"}, "invalid MAC address: 02:42"),
        ({"MacAddress": "02:42-ac:11:00:02"}, "invalid MAC address: 02:42-ac:11:00:02"),
        ({"MacAddress": "00:00:00:00:00:00"}, "invalid MAC address: 00:00:00:00:00:00: not of one interface"),
        ({"MacAddress": "01:42:ac:11:00:02"}, "invalid MAC address: 01:42:ac:11:00:02: not of one interface"),
    ],
)
def test_wrong_addresses_are_named(place, sentence):
    with pytest.raises(errors.InvalidInput) as caught:
        config(NetworkingConfig={"EndpointsConfig": {"n": place}})
    assert caught.value.message == sentence


def test_rates():
    assert host().network_rate == network.UNLIMITED
    assert host(NetworkRate={"Ingress": 1_000_000}).network_rate == network.Rate(ingress=1_000_000)
    assert host(NetworkRate={"Egress": 5, "Ingress": 0}).network_rate == network.Rate(egress=5)
    with pytest.raises(errors.InvalidInput, match=r"invalid NetworkRate.Egress -1"):
        host(NetworkRate={"Egress": -1})


def test_policies_keep_their_order():
    rules = [{"Action": "deny", "Network": "10.0.0.0/8"}, {"Action": "allow", "Network": "FD00:0::/8"}]
    assert host(NetworkPolicy=rules).network_policy == (
        network.PolicyRule(action="deny", network="10.0.0.0/8"),
        network.PolicyRule(action="allow", network="fd00::/8"),
    )


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"Action": "drop", "Network": "10.0.0.0/8"}, "invalid NetworkPolicy action 'drop'"),
        ({"Action": "deny", "Network": "10.0.0.1/8"}, "invalid subnet 10.0.0.1/8: it should be 10.0.0.0/8"),
        ({"Action": "deny", "Network": "10.0.0.1"}, "invalid subnet 10.0.0.1"),
        ({"Action": "deny", "Network": "fe80::%lo/64"}, "invalid subnet fe80::%lo/64"),
        ({"Action": "deny", "Network": "1" * 300 + "/8"}, "invalid subnet " + "1" * 200 + "..."),
        ({"Action": "deny"}, "invalid subnet "),
    ],
)
def test_wrong_policies_are_named(rule, sentence):
    with pytest.raises(errors.InvalidInput) as caught:
        host(NetworkPolicy=[rule])
    assert caught.value.message == sentence


def test_volumes_and_their_givers():
    found = config(Volumes={"/data": None, "/x": {}}, HostConfig={"VolumesFrom": ["web:ro"], "VolumeDriver": "far"})
    assert found.volumes == ("/data", "/x")
    assert (found.host.volumes_from, found.host.volume_driver) == (("web:ro",), "far")


@pytest.mark.parametrize(
    ("sentence", "status"),
    [("No such image: i:latest", 404), ("network lan not found", 400), ("No such container: x", 400)],
)
async def test_only_a_missing_image_is_404_because_clients_pull_then(sentence, status):
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.create"] = errors.NotFound(sentence)
        answer = await daemon.request("POST", "/containers/create", {"Image": "i"})
        assert (answer.status, answer.json()) == (status, {"message": sentence})
