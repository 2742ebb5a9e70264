"""What of the bridge needs no kernel."""

from __future__ import annotations

import ipaddress

import pytest

from pouch.network import bridge
from pouch.spec import errors

SUBNET = ipaddress.IPv4Network("172.30.0.0/16")


def test_the_mac_address_follows_from_the_address_as_dockers_does():
    assert bridge.mac_address(ipaddress.IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"


def test_a_host_link_is_named_by_as_much_of_the_id_as_the_kernel_takes():
    assert bridge.host_link("0123456789abcdef" * 4) == "veth0123456789a"
    assert len(bridge.host_link("0" * 64)) == 15


def test_the_gateway_is_the_first_address():
    assert str(bridge.Bridge("pouch0", SUBNET).gateway) == "172.30.0.1"


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "a b", "a/b", 'x"; flush ruleset', "a\nb", "{", "ü"])
def test_a_name_that_is_none_for_an_interface_or_a_script_is_refused(name):
    with pytest.raises(errors.InvalidInput, match="is no name for a"):
        bridge.Bridge(name, SUBNET)


def test_a_table_name_that_would_end_up_in_a_script_is_refused():
    with pytest.raises(errors.InvalidInput, match="is no name for a bridge"):
        bridge.Bridge("pouch0", SUBNET, table="x;y")
