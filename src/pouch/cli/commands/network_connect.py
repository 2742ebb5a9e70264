"""`pouch network connect`."""

from __future__ import annotations

from pouch.cli import command, flags, networks
from pouch.cli.client import segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    name, container = parsed.args
    body = {"Container": container, "EndpointConfig": _place(parsed)}
    context.client.post(f"/networks/{segment(name)}/connect", {}, body)
    if parsed.given("link"):
        command.warn("WARNING: links have no effect: containers of a network reach each other by their names")
    return 0


def _place(parsed: flags.Parsed) -> dict[str, Any]:
    place: dict[str, Any] = {}
    fixed: dict[str, Any] = {
        member: parsed.text(flag)
        for flag, member in (("ip", "IPv4Address"), ("ip6", "IPv6Address"))
        if parsed.given(flag)
    }
    if values := _listed(parsed, "link-local-ip"):
        fixed["LinkLocalIPs"] = values
    if fixed:
        place["IPAMConfig"] = fixed
    if aliases := _listed(parsed, "alias"):
        place["Aliases"] = aliases
    if links := parsed.many("link"):
        place["Links"] = links
    if parsed.given("mac-address"):
        place["MacAddress"] = parsed.text("mac-address")
    if parsed.given("gw-priority"):
        place["GwPriority"] = parsed.integer("gw-priority")
    for text in _listed(parsed, "driver-opt"):
        networks.option(place, text)
    return place


def _listed(parsed: flags.Parsed, flag: str) -> list[str]:
    """Docker takes several with commas, too."""
    return [one for text in parsed.many(flag) for one in text.split(",")]


def _option(text: str) -> None:
    for one in text.split(","):
        networks.option({}, one)


COMMAND = command.Command(
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    _run,
    options=(
        flags.many("alias", help="Another name of the container in this network", value="names"),
        flags.many("driver-opt", help="Option of the network's driver", value="key=value", check=_option),
        flags.integer("gw-priority", help="The network with the highest gives the default route; also below 0"),
        flags.text("ip", help="IPv4 address in this network", value="address"),
        flags.text("ip6", help="IPv6 address in this network", value="address"),
        flags.text("mac-address", help="MAC address in this network", value="address"),
        flags.many("link", help="Accepted without effect", value="container"),
        flags.many("link-local-ip", help="", value="addresses"),
    ),
    at_least=2,
    at_most=2,
)
