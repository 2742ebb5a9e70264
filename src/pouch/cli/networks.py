"""`--network`, `--network-rate`, `--network-policy`: the small languages in flags, to members of a create document."""

from __future__ import annotations

import re

from pouch.cli import units
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.flags import Parsed

REFUSED = 125
_LONG_FORM = re.compile(r"[a-z0-9-]+=", re.IGNORECASE)
_ADDRESSES = {"ip": "IPv4Address", "ip6": "IPv6Address"}
_DIRECTIONS = {"ingress": "Ingress", "egress": "Egress"}
_PER_NETWORK = {
    "network-alias": ("Aliases", "alias"),
    "ip": ("IPv4Address", "IPv4 address"),
    "ip6": ("IPv6Address", "IPv6 address"),
    "mac-address": ("MacAddress", "MAC address"),
}
"""Flags of the first network, what they are in a document, and how Docker calls them."""


def network(text: str) -> tuple[str, dict[str, Any]]:
    """`lan`, or `name=lan,ip=10.1.0.9,alias=db`, to the network's name and an EndpointSettings. Raises ValueError."""
    if not _LONG_FORM.match(text):
        return text, {}
    name = ""
    place: dict[str, Any] = {}
    for key, value in _fields(text):
        if key == "name":
            name = value
        elif key == "alias":
            place.setdefault("Aliases", []).append(value)
        elif key in _ADDRESSES:
            place.setdefault("IPAMConfig", {})[_ADDRESSES[key]] = value
        elif key == "link-local-ip":
            place.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "mac-address":
            place["MacAddress"] = value
        elif key == "driver-opt":
            option(place, value)
        elif key == "gw-priority":
            place["GwPriority"] = priority(value)
        else:
            raise ValueError(
                f"invalid field key {key}: expected one of name, ip, ip6, alias, mac-address, driver-opt, gw-priority"
            )
    if not name:
        raise ValueError("network name is missing: expected name=NETWORK[,ip=ADDRESS][,alias=NAME]...")
    return name, place


def _fields(text: str) -> list[tuple[str, str]]:
    if '"' in text:
        import csv

        fields = next(csv.reader([text]))
    else:
        fields = text.split(",")
    found = []
    for field in fields:
        key, equals, value = field.strip().partition("=")
        if not equals or not value:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        found.append((key.lower(), value))
    return found


def option(place: dict[str, Any], text: str) -> None:
    """`KEY=VALUE` of the network's driver, into an EndpointSettings. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"invalid driver-opt {text}: expected KEY=VALUE")
    place.setdefault("DriverOpts", {})[name] = value


def priority(text: str) -> int:
    """A number, also below 0. Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"invalid gw-priority {text}: expected a number") from None


def rate(text: str) -> dict[str, int]:
    """`10mbit` for both directions, `ingress=10mbit,egress=1gbit` for each, to HostConfig.NetworkRate. Raises ValueError."""
    if "=" not in text:
        both = units.parse_rate(text)
        return dict.fromkeys(_DIRECTIONS.values(), both)
    found: dict[str, int] = {}
    for key, value in _fields(text):
        if key not in _DIRECTIONS:
            raise ValueError(f"invalid direction {key}: expected ingress (what it receives) or egress (what it sends)")
        found[_DIRECTIONS[key]] = units.parse_rate(value)
    return found


def policy(text: str) -> dict[str, str]:
    """`deny:10.0.0.0/8` (or with a blank, or =) to an entry of HostConfig.NetworkPolicy; one address is a subnet of one. Raises ValueError."""
    action, _, subnet = re.sub("[:= ]", " ", text.strip(), count=1).partition(" ")
    subnet = subnet.strip()
    if action.lower() not in {"allow", "deny"} or not subnet:
        raise ValueError("expected allow:CIDR or deny:CIDR, such as deny:10.0.0.0/8")
    if "/" not in subnet:
        subnet += "/128" if ":" in subnet else "/32"
    return {"Action": action.lower(), "Network": subnet}


def into(parsed: Parsed, config: dict[str, Any]) -> None:
    """All flags of networks into a create document. Raises CliError for those that contradict each other."""
    host = config["HostConfig"]
    wanted = [network(text) for text in parsed.many("network", "net")] or [("default", {})]
    names = [name for name, _ in wanted]
    for name in names:
        if names.count(name) > 1:
            raise CliError(f'pouch: network "{name}" is specified multiple times', REFUSED)
    if len(names) > 1 and any(_alone(name) for name in names):
        raise CliError(
            "pouch: conflicting options: cannot attach both user-defined and non-user-defined network-modes\n"
            "hint: none, host, container: and ns: stand alone.",
            REFUSED,
        )
    _first(parsed, wanted[0][1])
    host["NetworkMode"] = names[0]
    if links := parsed.many("link"):
        host["Links"] = links
    if len(wanted) > 1 or wanted[0][1]:
        config["NetworkingConfig"] = {"EndpointsConfig": dict(wanted)}
    if parsed.given("network-rate"):
        host["NetworkRate"] = {
            direction: bits for text in parsed.many("network-rate") for direction, bits in rate(text).items()
        }
    if rules := parsed.many("network-policy"):
        host["NetworkPolicy"] = [policy(text) for text in rules]


def _alone(mode: str) -> bool:
    """Whether it leaves no room for another network."""
    return mode in {"none", "host"} or mode.startswith(("container:", "ns:"))


def _first(parsed: Parsed, place: dict[str, Any]) -> None:
    """`--ip`, `--ip6`, `--mac-address`, `--network-alias` are of the first network."""
    fixed = place.get("IPAMConfig", {})
    for flag, (member, title) in _PER_NETWORK.items():
        spellings = (flag, "net-alias") if flag == "network-alias" else (flag,)
        values = parsed.many(*spellings)
        if not values:
            continue
        if place.get(member) or fixed.get(member):
            raise CliError(f"pouch: conflicting options: cannot specify both --{flag} and per-network {title}", REFUSED)
        if member == "Aliases":
            place[member] = values
        elif member == "MacAddress":
            place[member] = values[-1]
        else:
            fixed[member] = values[-1]
    if locals_ := parsed.many("link-local-ip"):
        fixed["LinkLocalIPs"] = locals_
    if fixed:
        place["IPAMConfig"] = fixed
