"""Whatever a client sends of networks and ports is understood, in canonical texts, or refused with one sentence."""

from __future__ import annotations

import ipaddress
import json
import re

from hypothesis import example, given
from hypothesis import strategies as st

from pouch.edge.http import addresses, endpoints, networks, ports
from pouch.edge.http.schema import container as container_schema
from pouch.edge.http.schema import decode
from pouch.edge.http.schema import network as schema
from pouch.spec import errors, network

ALPHABET = "0123456789abcdefxX.:/-%, \n\0é٣"
NEARLY = st.text(ALPHABET, max_size=44) | st.sampled_from(
    ("10.0.0.0/8", "::1", "fd00::/64", "02:42:ac:11:00:02", "80/tcp", "1-3")
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | NEARLY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NEARLY, inner, max_size=3),
    max_leaves=6,
)
REFUSED = (errors.InvalidInput, errors.Unsupported)


def one_line(error: errors.PouchError) -> None:
    assert error.message
    assert error.message.isprintable()
    assert len(error.message) < 500


@given(NEARLY)
@example("0177.0.0.1")
@example("1.2.3.4 ")
@example("٣.2.3.4")
@example("::ffff:10.0.0.1")
@example("fe80::1%eth0")
def test_addresses_are_canonical_or_refused(text):
    for understand in (addresses.ip, addresses.ipv4, addresses.ipv6):
        try:
            found = understand(text)
        except REFUSED as error:
            one_line(error)
        else:
            assert found == (str(ipaddress.ip_address(text)) if text else "")
            assert found.isascii()


@given(NEARLY)
@example("10.0.0.0/8/8")
@example("10.0.0.1/8")
@example("0.0.0.0/0")
@example("::/0")
@example("10.0.0.0/255.0.0.0")
@example("10.0.0.0/0.0.0.255")
def test_subnets_have_no_host_bits_or_are_refused(text):
    try:
        found = addresses.subnet(text)
    except REFUSED as error:
        one_line(error)
    else:
        assert found == str(ipaddress.ip_network(found))
        assert re.fullmatch(r"[0-9a-f.:]+/[0-9]+", found)


@given(NEARLY)
@example("02-42-ac-11-00-02")
@example("0242.ac11.0002")
@example("02:42:ac:11:00:02\n")
def test_mac_addresses_are_canonical_or_refused(text):
    try:
        found = addresses.mac(text)
    except REFUSED as error:
        one_line(error)
    else:
        assert not text or re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", found)


@given(
    st.dictionaries(
        NEARLY,
        st.none() | st.lists(st.fixed_dictionaries({"HostIp": NEARLY, "HostPort": NEARLY}), max_size=2),
        max_size=2,
    )
)
@example({"80/tcp\n": []})
@example({"8٣": []})
@example({"80/tcp": [{"HostIp": "", "HostPort": "1-2-3"}]})
def test_ports_are_numbers_or_refused(given_ports):
    try:
        host = decode.decode(json.dumps({"PortBindings": given_ports}).encode(), container_schema.HostConfig)
        bound, exposed = ports.bindings(host.PortBindings), ports.exposed(given_ports)
    except REFUSED as error:
        one_line(error)
        return
    assert all(re.fullmatch(r"[1-9][0-9]{0,4}/(tcp|udp|sctp)", one) for one in exposed)
    for one in bound:
        assert 0 < one.port < 65536
        assert re.fullmatch(r"([1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)?", one.host_port)
        assert not one.host_ip or ipaddress.ip_address(one.host_ip)


@given(st.dictionaries(st.sampled_from((*schema.Create.__struct_fields__, "x")), ANY, max_size=5))
@example({"IPAM": {"Config": [None]}})
@example({"Name": "a\nb", "Scope": "\n"})
def test_any_network_is_understood_or_refused(document):
    try:
        found = networks.config(decode.decode(json.dumps(document).encode(), schema.Create))
    except REFUSED as error:
        one_line(error)
    else:
        assert isinstance(found, network.NetworkConfig)


@given(st.dictionaries(st.sampled_from((*schema.EndpointSettings.__struct_fields__, "x")), ANY, max_size=4))
@example({"IPAMConfig": {"IPv4Address": None}})
def test_any_endpoint_is_understood_or_refused(document):
    try:
        found = endpoints.endpoint(decode.decode(json.dumps(document).encode(), schema.EndpointSettings))
    except REFUSED as error:
        one_line(error)
    else:
        assert isinstance(found, network.EndpointConfig)
