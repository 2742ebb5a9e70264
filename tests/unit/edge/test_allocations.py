"""How many addresses of a network are taken and left."""

from __future__ import annotations

import dataclasses

from support import edge_client, fake_networks

from pouch.edge.http import allocations
from pouch.spec import network


def counted(taken=(), **pool):
    found = allocations.status([network.Pool(**pool)], taken)
    return found["IPAM"]["Subnets"][pool["subnet"]]


def test_what_is_reserved_is_in_use():
    assert counted(subnet="10.9.0.0/24") == {"IPsInUse": 2, "DynamicIPsAvailable": 254}
    assert counted(subnet="10.9.0.0/24", gateway="10.9.0.1") == {"IPsInUse": 3, "DynamicIPsAvailable": 253}
    found = counted(subnet="10.9.0.0/24", gateway="10.9.0.1", aux_addresses={"a": "10.9.0.7", "b": "10.9.0.1"})
    assert found == {"IPsInUse": 4, "DynamicIPsAvailable": 252}


def test_what_containers_have_is_in_use_and_what_others_have_is_not():
    found = counted(["10.9.0.2", "10.9.0.3", "10.8.0.1", "fd00::1"], subnet="10.9.0.0/24", gateway="10.9.0.1")
    assert found == {"IPsInUse": 5, "DynamicIPsAvailable": 251}


def test_free_are_those_of_the_range_that_addresses_are_chosen_from():
    found = counted(["10.9.0.2", "10.9.0.129"], subnet="10.9.0.0/24", gateway="10.9.0.1", ip_range="10.9.0.128/25")
    assert found == {"IPsInUse": 5, "DynamicIPsAvailable": 126}


def test_numbers_end_where_dockers_do():
    assert counted(["fd00:9::2"], subnet="fd00:9::/48") == {"IPsInUse": 2, "DynamicIPsAvailable": 2**64 - 1}
    assert counted(subnet="fd00:9::/64", gateway="fd00:9::1")["DynamicIPsAvailable"] == 2**64 - 2


async def test_a_network_tells_it_from_1_52_on():
    async with edge_client.running() as daemon:
        view = dataclasses.replace(fake_networks.network_view(), taken=("10.9.0.2",))

        async def get(ref):
            return view

        daemon.engine.networks.get = get
        assert "Status" not in (await daemon.request("GET", "/v1.51/networks/lan")).json()
        found = (await daemon.request("GET", "/v1.52/networks/lan")).json()["Status"]
        assert found == {"IPAM": {"Subnets": {"10.9.0.0/24": {"IPsInUse": 5, "DynamicIPsAvailable": 127}}}}
