"""What our table says: static rules in nft's language, and the elements of its sets and maps for each network and port.

::

    prerouting raw    a container's packets with an address it was not given, or to the host's 127.0.0.0/8, are dropped
    prerouting nat    published ports -> container, of what comes from outside and from containers
    output nat        the same of what the host itself sends, 127.0.0.1 and ::1 among it
    input             from an internal bridge to the host: by the bridge's own addresses only
    forward           a bridge is left; entered from the same one, in answer, or by a published port; nothing passes an internal one
    postrouting nat   towards a container: what only the host can give back its way gets the bridge's address;
                      out of a bridge: the host's

The sets of interfaces hold the names of bridges. Addresses and names are written only after `ipaddress` or `check_link` has understood them.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator

from pouch.kernel import nfnetlink, rtnetlink
from pouch.spec import errors, network

FAMILY = "inet"
_FORMER_FAMILY = "ip"  # of the table of a daemon before decision 0031, which an upgrade finds
Element = nfnetlink.Element

ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"

_LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
_LONGEST_NAME = 16

_DECLARATIONS = """\
set bridges { type ifname; }
set internal { type ifname; }
set masqueraded { type ifname; }
set neighbours { type ifname . ifname; }
set given4 { type ifname . ipv4_addr; flags interval; }
set given6 { type ifname . ipv6_addr; flags interval; }
set untranslated { type ipv6_addr; }
map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
map at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
map at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
"""

_CHAINS = """\
chain raw {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges jump sent
}
chain sent {
    ip daddr 127.0.0.0/8 drop comment "the host's own, open to containers by route_localnet alone"
    ip saddr != 0.0.0.0 iifname . ip saddr != @given4 drop
    ip6 saddr { ::, fe80::/10 } return
    meta nfproto ipv6 iifname . ip6 saddr != @given6 drop
}
chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr 127.0.0.0/8 return comment "a neighbour that tries what is only for the host"
    fib daddr type local jump published
}
chain output {
    type nat hook output priority -100; policy accept;
    ip6 daddr @untranslated return
    fib daddr type local jump published
}
chain published {
    meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @at4
    meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4
    meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6
    meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6
}
chain input {
    type filter hook input priority filter; policy accept;
    iifname @internal jump inward
}
chain inward {
    ct state established,related accept
    fib daddr . iif type != { local, broadcast, multicast, anycast } drop comment "another address of the host"
}
chain forward {
    type filter hook forward priority filter; policy accept;
    oifname @bridges goto towards
    iifname @internal drop
    iifname @bridges ct state invalid drop comment "would leave with the container's own address"
}
chain towards {
    iifname . oifname @neighbours accept
    oifname @internal drop
    iifname @internal drop
    ct state established,related accept
    ct status dnat accept comment "published ports"
    drop
}
chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges goto entering
    iifname @masqueraded masquerade
}
chain entering {
    ip saddr 127.0.0.0/8 masquerade
    ip6 saddr ::1 masquerade
    ct status dnat oifname . ip saddr @given4 masquerade comment "to answer past the host would be no answer"
    ct status dnat oifname . ip6 saddr @given6 masquerade
    ct status dnat iifname @bridges masquerade comment "its way back may be another network"
}
"""


def script(table: str, elements: Iterable[Element]) -> str:
    """The table, in place of the one that may be there. Adding before deleting makes it work either way."""
    by_set: dict[str, list[str]] = {}
    for element in elements:
        by_set.setdefault(element.set, []).append(element.text)
    head = "".join(
        f"add table {family} {table}\ndelete table {family} {table}\n" for family in (_FORMER_FAMILY, FAMILY)
    )
    filled = "".join(
        f"add element {FAMILY} {table} {name} {{ {', '.join(texts)} }}\n" for name, texts in sorted(by_set.items())
    )
    return f"{head}table {FAMILY} {table} {{\n{_DECLARATIONS}{_CHAINS}}}\n{filled}"


def check_link(name: str) -> None:
    """A name that is one for an interface and one word in nft's language, in which scripts are written. Raises InvalidInput."""
    rtnetlink.check_name(name)
    if not _LINK.fullmatch(name):
        raise errors.InvalidInput(
            f'"{name}" is no name for a bridge: expected a letter or digit, then letters, digits, "_", "." and "-"'
        )


def of_network(one: network.Network) -> frozenset[Element]:
    """The elements for one network. Raises InvalidInput for a link or a pool that cannot be written."""
    check_link(one.link)
    link, text, options = _name(one.link), f'"{one.link}"', one.config.options
    found = {Element("bridges", text, link)}
    if one.config.internal:
        found.add(Element("internal", text, link))
    elif enabled(options.get(MASQUERADE, "true")):
        found.add(Element("masqueraded", text, link))
    if enabled(options.get(ICC, "true")):
        found.add(Element("neighbours", f"{text} . {text}", link + link))
    for pool in one.config.pools:
        subnet = _subnet(pool.subnet)
        first, last = subnet.network_address.packed, subnet.broadcast_address.packed
        found.add(Element(f"given{subnet.version}", f"{text} . {subnet}", link + first, link + last))
    return frozenset(found)


def of_port(port: network.PublishedPort, ipv4: str, ipv6: str) -> Element | None:
    """The element for one published port; None where the container has no address of that family: nothing translates between them.

    Raises InvalidInput for an unknown protocol or a text that is no address.
    """
    protocol = _PROTOCOLS.get(port.protocol)
    if protocol is None:
        raise errors.InvalidInput(f'port {port.port}: protocol "{port.protocol}", expected tcp, udp or sctp')
    for number in (port.port, port.host_port):
        if not 0 < number < 65536:
            raise errors.InvalidInput(f"port {number}: expected 1 to 65535")
    host = _address(port.host_ip)
    container = ipv4 if host.version == 4 else ipv6
    if not container:
        return None
    target = _address(container)
    key = protocol.to_bytes() + b"\0\0\0" + port.host_port.to_bytes(2) + b"\0\0"
    text = f"{port.protocol} . {port.host_port} : {target} . {port.port}"
    value = target.packed + port.port.to_bytes(2) + b"\0\0"
    if host.is_unspecified:
        return Element(f"any{host.version}", text, key, value=value)
    return Element(f"at{host.version}", f"{host} . {text}", host.packed + key, value=value)


def untranslated_loopback() -> frozenset[Element]:
    """What is wanted where answers to ::1 would not come back: a port there is refused at once rather than never answered."""
    return frozenset({Element("untranslated", "::1", ipaddress.IPv6Address("::1").packed)})


def enabled(text: str) -> bool:
    """A driver option's truth, as Go's strconv.ParseBool reads it. Raises InvalidInput."""
    if text in ("1", "t", "T", "true", "TRUE", "True", ""):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise errors.InvalidInput(f'network option "{text}": expected true or false')


def subnets(one: network.Network) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The subnets of a network's pools."""
    return (_subnet(pool.subnet) for pool in one.config.pools)


def _name(link: str) -> bytes:
    return link.encode().ljust(_LONGEST_NAME, b"\0")


def _subnet(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise errors.InvalidInput(f'subnet "{text}": {error}') from error


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise errors.InvalidInput(f'"{errors.shown(text)}" is no IP address') from error
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise errors.InvalidInput(f"address {address}: a zone is not supported")
    return address
