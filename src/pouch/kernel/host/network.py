"""What a bridge network needs, tried in network namespaces made for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from pouch.kernel import namespace, nft, rtnetlink
from pouch.kernel.host.finding import Finding, Level, Place, Probe
from pouch.spec import errors

_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_WITHOUT = "containers can run with --network none or host only"
_RULES = """\
table ip probe {
    chain forward {
        type filter hook forward priority filter; policy accept;
        iifname "probe" ct state established,related accept
        oifname "probe" ct status dnat counter accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 192.0.2.0/24 oifname != "probe" masquerade
    }
}
"""


def _in_empty_namespace(action: Callable[[], None]) -> None:
    fd = namespace.open_netns()
    try:
        namespace.run_in_namespace(fd, action)
    finally:
        os.close(fd)


def look_at_nftables(_place: Place) -> Finding:
    """A table of the kind the bridge needs."""
    try:
        way = nft.available()
        _in_empty_namespace(lambda: nft.apply(_RULES))
    except errors.PouchError as error:
        advice = error.hint or "the kernel needs nf_tables with nat, masquerade and conntrack"
        return Finding("nftables", Level.ERROR, f"{error.message}; {_WITHOUT}", advice)
    return Finding("nftables", Level.OK, f"rules with address translation can be set, by the {way}")


def look_at_bridge(_place: Place) -> Finding:
    """A bridge, and a veth pair from it into another namespace."""

    def attempt(other: int) -> None:
        with rtnetlink.RouteSocket() as kernel:
            kernel.create_bridge("probe", mac="02:42:00:00:00:01", mtu=1500)
            master = kernel.get_link("probe").index
            kernel.create_veth(
                "near", master=master, mtu=1500, peer="far", peer_mac="02:42:00:00:00:02", peer_netns=other
            )

    try:
        other = namespace.open_netns()
        try:
            _in_empty_namespace(lambda: attempt(other))
        finally:
            os.close(other)
    except errors.PouchError as error:
        advice = error.hint or "the kernel needs bridge and veth (modprobe bridge veth)"
        return Finding("bridge", Level.ERROR, f"{error.message}; {_WITHOUT}", advice)
    return Finding("bridge", Level.OK, "bridges and veth pairs can be made")


def look_at_forwarding(_place: Place) -> Finding:
    """Whether this host forwards packets, or pouchd may make it."""
    with open(_FORWARD, encoding="ascii") as file:
        on = file.read().strip() == "1"
    if on:
        return Finding("forwarding", Level.OK, "net.ipv4.ip_forward is 1")
    if not os.access(_FORWARD, os.W_OK):
        found = "net.ipv4.ip_forward is 0 and cannot be changed here: containers reach no other host"
        return Finding("forwarding", Level.WARNING, found, "set it to 1 outside: sysctl -w net.ipv4.ip_forward=1")
    return Finding("forwarding", Level.OK, "net.ipv4.ip_forward is 0; pouchd turns it on with its bridge")


def look_at_firewalls(_place: Place) -> Finding:
    """Others' tables that our rules cannot speak for: in nftables one table's accept does not undo another's drop."""
    listed = nft.list_json("chains")
    objects = json.loads(listed)["nftables"] if listed else []
    chains = [item["chain"] for item in objects if "chain" in item]
    if any(chain["table"] == "firewalld" for chain in chains):
        advice = "firewall-cmd --permanent --zone=trusted --add-interface=pouch0 && firewall-cmd --reload (with your bridge's name)"
        return Finding("firewall", Level.WARNING, "firewalld is active: it may refuse containers' packets", advice)
    dropping = [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop"
    ]
    if dropping:
        found = f"{', '.join(dropping)} drops forwarded packets by default; pouchd adds an exception for its bridge"
        return Finding("firewall", Level.NOTE, found)
    return Finding("firewall", Level.OK, "no other firewall drops forwarded packets")


PROBES = (
    Probe("nftables", Level.ERROR, look_at_nftables),
    Probe("bridge", Level.ERROR, look_at_bridge),
    Probe("forwarding", Level.WARNING, look_at_forwarding),
    Probe("firewall", Level.NOTE, look_at_firewalls),
)
