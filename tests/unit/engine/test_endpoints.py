"""Which networks a container belongs to, and how it is in each."""

from __future__ import annotations

import dataclasses

import pytest

from pouch.engine import endpoints, interface_parameters, network_shelf, upgrade
from pouch.engine import record as records
from pouch.spec import container, errors, network

ID = "c0ffee" * 10 + "c0ff"


def made(name: str, **changes: object) -> network.Network:
    pools = (
        network.Pool(subnet="10.1.0.0/24", gateway="10.1.0.1", ip_range="10.1.0.128/25"),
        network.Pool(subnet="fd00:1::/64", gateway="fd00:1::1"),
    )
    config = network.NetworkConfig(name=name, **{"pools": pools, **changes})  # type: ignore[arg-type]
    return network.Network(
        id=(name.encode().hex() * 64)[:64], created="", config=config, predefined=name in ("bridge", "host", "none")
    )


@pytest.fixture
def networks():
    shelf = network_shelf.NetworkShelf(None, None)  # type: ignore[arg-type]
    for name in ("bridge", "web", "data"):
        shelf.add(made(name))
    shelf.add(made("host", driver="host", pools=()))
    shelf.add(made("none", driver="null", pools=()))
    return shelf


def config(mode: str = "bridge", /, **networks: network.EndpointConfig) -> container.ContainerConfig:
    return container.ContainerConfig(image="i", networks=networks, host=container.HostConfig(network_mode=mode))


def record(wanted: container.ContainerConfig | None = None, **changes: object) -> records.Record:
    base = records.Record(
        id=ID,
        name="shop",
        created="",
        config=wanted or config(),
        image_id="",
        image_name="i",
        layers=(),
        entrypoint=(),
        cmd=(),
        env=(),
        working_dir="/",
        user="",
        labels={},
        stop_signal="",
        runtime="crun",
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (config(), ["bridge"]),
        (config("default"), ["bridge"]),
        (config("web", web=network.EndpointConfig(), data=network.EndpointConfig()), ["web", "data"]),
        (config("bridge", default=network.EndpointConfig()), ["bridge"]),
        (config("none"), ["none"]),
        (config("host"), ["host"]),
        (config("container:x"), []),
        (config("ns:/run/netns/x"), []),
        (config("cni:lab", web=network.EndpointConfig()), ["cni:lab", "web"]),
    ],
)
def test_a_container_belongs_to_the_network_of_its_mode_and_those_named_besides(networks, asked, names):
    assert list(endpoints.memberships(asked, networks)) == names


def test_networks_may_be_named_by_their_ids(networks):
    web = networks.get("web")
    wish = network.EndpointConfig(aliases=("w",))
    by_id = dataclasses.replace(config(web.id), networks={web.id[:20]: wish})
    assert endpoints.memberships(by_id, networks) == {"web": wish}


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (config("elsewhere"), errors.NotFound, "network elsewhere not found"),
        (config("bridge", nowhere=network.EndpointConfig()), errors.NotFound, "network nowhere not found"),
        (config("host", web=network.EndpointConfig()), errors.InvalidInput, "cannot attach both user-defined"),
        (config("bridge", none=network.EndpointConfig()), errors.InvalidInput, "cannot attach both user-defined"),
        (config("container:x", web=network.EndpointConfig()), errors.InvalidInput, "conflicting options"),
    ],
)
def test_what_does_not_go_together_is_refused(networks, asked, error, message):
    with pytest.raises(error) as caught:
        endpoints.memberships(asked, networks)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "wish", "message"),
    [
        ("bridge", {"ipv4": "10.1.0.9"}, "user specified IP address is supported on user defined networks only"),
        (
            "bridge",
            {"aliases": ("a",)},
            "network-scoped alias is supported only for containers in user defined networks",
        ),
        ("host", {"mac": "02:00:00:00:00:01"}, "conflicting options: mac-address"),
        ("web", {"ipv4": "10.2.0.9"}, "no configured subnet or pool contain IP address 10.2.0.9"),
        ("web", {"ipv6": "fd00:2::9"}, "no configured subnet or pool contain IP address fd00:2::9"),
        ("web", {"aliases": ("a b",)}, "invalid network alias 'a b'"),
        ("web", {"aliases": ("a\nb",)}, "invalid network alias"),
    ],
)
def test_what_a_network_cannot_give_is_refused(networks, name, wish, message):
    with pytest.raises(errors.InvalidInput) as caught:
        endpoints.check(networks.get(name), network.EndpointConfig(**wish))
    assert message in caught.value.message


def test_the_highest_priority_that_has_a_way_out_comes_first():
    def place(name: str, priority: int, gateway: str = "10.0.0.1") -> network.Endpoint:
        return network.Endpoint(
            id=name,
            network_id=name,
            network_name=name,
            driver="bridge",
            interface=name,
            ipv4_gateway=gateway,
            gateway_priority=priority,
        )

    places = [place("a", 0), place("b", -1), place("inner", 9, ""), place("c", 2), place("d", 2)]
    assert [one.id for one in endpoints.routed(places)] == ["c", "d", "a", "b", "inner"]
    members = [(made("web"), one) for one in places]
    assert [one.id for _, one in endpoints.members_routed(members)] == ["c", "d", "a", "b", "inner"]


SYSCTLS = interface_parameters.OPTION


def test_parameters_of_an_interface_are_paths_and_values(networks):
    text = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.retrans_time_ms=5"
    wish = network.EndpointConfig(driver_options={SYSCTLS: text, "other": "x"})
    endpoints.check(networks.get("web"), wish)
    placed = endpoints.endpoint(record(), networks.get("web"), wish, ["10.1.0.9"], "eth0")
    assert placed.parameters == {"ipv4/conf/IFNAME/log_martians": "1", "ipv6/neigh/IFNAME/retrans_time_ms": "5"}


@pytest.mark.parametrize(
    "text",
    [
        "net.ipv4.conf.eth0.log_martians=1",
        "net.ipv4.conf.IFNAME.log_martians",
        "net.ipv4.conf.IFNAME.log_martians=",
        "net.ipv4.conf.IFNAME/../../ip_forward=1",
        "net.ipv4.conf.IFNAME...x=1",
        "net.ipv4.ip_forward=1",
        "kernel.IFNAME.x.y=1",
        "net.ipv4.conf.IFNAME.log_martians=1\n2",
    ],
)
def test_parameters_of_nothing_or_of_more_than_the_interface_are_refused(networks, text):
    with pytest.raises(errors.InvalidInput, match=f"invalid {SYSCTLS}"):
        endpoints.check(networks.get("web"), network.EndpointConfig(driver_options={SYSCTLS: text}))


def test_parameters_are_for_interfaces_that_are_made_here(networks):
    wish = network.EndpointConfig(driver_options={SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"})
    with pytest.raises(errors.InvalidInput, match="is for bridge and macvlan networks"):
        endpoints.check(networks.get("host"), wish)


def test_the_mode_decides_which_comes_first():
    assert endpoints.in_order(["a", "web", "b"], "web") == ["web", "a", "b"]
    assert endpoints.in_order(["b", "a"], "gone") == ["a", "b"]
    assert endpoints.in_order(["a", "cni:lab"], "cni:lab") == ["cni:lab", "a"]


def test_an_endpoint_is_made_of_network_wish_and_addresses(networks):
    web, wish = networks.get("web"), network.EndpointConfig(aliases=("www",), mac="02:00:00:00:00:01", ipv4="10.1.0.9")
    asked = endpoints.requests(web, wish)
    assert [(one.subnet, one.within, one.wanted) for one in asked] == [
        ("10.1.0.0/24", "10.1.0.128/25", "10.1.0.9"),
        ("fd00:1::/64", "", ""),
    ]
    placed = endpoints.endpoint(record(), web, wish, ("10.1.0.9", "fd00:1::2"), "eth1")
    assert (placed.ipv4, placed.ipv4_prefix, placed.ipv4_gateway) == ("10.1.0.9", 24, "10.1.0.1")
    assert (placed.ipv6, placed.ipv6_prefix, placed.ipv6_gateway) == ("fd00:1::2", 64, "fd00:1::1")
    assert (placed.mac, placed.interface, placed.network_id) == ("02:00:00:00:00:01", "eth1", web.id)
    assert placed.names == ("shop", "www", ID[:12])


def test_an_internal_network_has_no_way_out_and_a_predefined_one_no_names(networks):
    inner = endpoints.endpoint(
        record(), made("inner", internal=True), network.EndpointConfig(), ("10.1.0.2", "fd00:1::2"), "eth0"
    )
    assert (inner.ipv4_gateway, inner.ipv6_gateway) == ("", "")
    default = endpoints.endpoint(record(), networks.get("bridge"), network.EndpointConfig(), ("10.1.0.2",), "eth0")
    assert default.names == ()
    none = endpoints.endpoint(record(), networks.get("none"), network.EndpointConfig(), (), "eth0")
    assert (none.interface, none.ipv4) == ("", "")
    assert endpoints.requests(networks.get("none"), network.EndpointConfig()) == []
    assert [one.interface for one in endpoints.routed([inner, default])] == ["eth0", "eth0"]
    assert endpoints.routed([inner, default])[0] is default
    assert endpoints.published_at([inner, default]) is default
    assert endpoints.published_at([inner]) is None


def test_an_interface_gets_the_lowest_free_number():
    assert endpoints.free_interface([]) == "eth0"
    assert endpoints.free_interface(["eth0", "eth2"]) == "eth1"


def test_all_exposed_ports_are_published_where_that_is_asked():
    wanted = container.ContainerConfig(
        image="i",
        exposed_ports=("53/udp",),
        host=container.HostConfig(publish_all=True, ports=(network.PortBinding(port=80, host_port="8080"),)),
    )
    exposed = endpoints.exposed(
        wanted, {"443/tcp": {}, "80": {}, "0/tcp": {}, "x/y": {}, "70000/tcp": {}, "9/icmp": {}}
    )
    assert exposed == ("53/udp", "80/tcp", "443/tcp")
    found = endpoints.bindings(record(wanted, exposed=exposed))
    assert [(one.port, one.protocol, one.host_port) for one in found] == [
        (80, "tcp", "8080"),
        (53, "udp", ""),
        (443, "tcp", ""),
    ]
    assert endpoints.exposed(config(), "nonsense") == ()


def test_a_record_of_before_there_were_networks_belongs_to_that_of_its_mode():
    old = (
        b'{"id":"c0ffee0123456789","name":"a","created":"","config":{"image":"i","host":{"network_mode":"%s"}},'
        b'"image_id":"","image_name":"i","layers":[],"entrypoint":[],"cmd":[],"env":[],"working_dir":"/","user":"",'
        b'"labels":{"l":"\\"networks\\":"},"stop_signal":"","runtime":"crun","gateway":"10.1.0.1","prefix_length":16,'
        b'"state":{"status":"running","ip_address":"10.1.0.2","mac_address":"02:42:0a:01:00:02"}}'
    )
    found = records.decode(old % b"bridge", "container a")
    assert found.networks == {"bridge": network.EndpointConfig()}
    (place,) = found.state.endpoints
    assert (place.host_link, place.ipv4, place.ipv4_prefix, place.ipv4_gateway) == (
        "vethc0ffee01234",
        "10.1.0.2",
        16,
        "10.1.0.1",
    )
    assert records.decode(old % b"none", "container a").networks == {"none": network.EndpointConfig()}
    now = records.encode(record(networks={}))
    assert upgrade.networks(now) is now


def test_ports_are_published_where_the_network_says_and_the_client_does_not():
    asked = (network.PortBinding(port=80), network.PortBinding(port=81, host_ip="::1"))
    assert endpoints.bound_to(asked, "") == asked
    assert [one.host_ip for one in endpoints.bound_to(asked, "127.0.0.1")] == ["127.0.0.1", "::1"]
