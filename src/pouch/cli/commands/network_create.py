"""`pouch network create`."""

from __future__ import annotations

from pouch.cli import command, creation_flags, files, flags, pools
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    answer = context.client.post("/networks/create", {}, _document(parsed))
    if warning := answer.get("Warning"):
        command.warn(f"WARNING: {warning}")
    print(answer["Id"])
    return 0


def _document(parsed: flags.Parsed) -> dict[str, Any]:
    return {
        "Name": _name(parsed),
        "CheckDuplicate": True,
        "Driver": parsed.text("driver"),
        "Internal": parsed.on("internal"),
        "Attachable": parsed.on("attachable"),
        "EnableIPv4": parsed.on("ipv4"),
        "EnableIPv6": parsed.on("ipv6") or parsed.on("enable-ipv6"),
        "Options": _pairs(parsed.many("opt", "option")),
        "Labels": files.labels([], parsed.many("label")),
        "IPAM": {
            "Driver": parsed.text("ipam-driver"),
            "Options": _pairs(parsed.many("ipam-opt")),
            "Config": pools.documents(
                _listed(parsed, "subnet"),
                gateways=_listed(parsed, "gateway"),
                ranges=_listed(parsed, "ip-range"),
                auxiliary=_pairs(parsed.many("aux-address")),
            ),
        },
    }


def _name(parsed: flags.Parsed) -> str:
    """As an argument, or as PouchContainer's command has it by a flag."""
    given = [*parsed.args, *parsed.many("name")]
    if len(given) != 1:
        raise CliError("pouch: 'pouch network create' requires 1 argument")
    return given[0]


def _pairs(given: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (one.partition("=") for one in given)}


def _listed(parsed: flags.Parsed, flag: str) -> list[str]:
    """Docker takes several with commas, too."""
    return [one.strip() for text in parsed.many(flag) for one in text.split(",")]


COMMAND = command.Command(
    "[OPTIONS] NETWORK",
    "Create a network",
    _run,
    options=(
        flags.text("driver", "d", "What it is made of (bridge|macvlan)", default="bridge", value="driver"),
        flags.many(
            "opt",
            "o",
            "Option of the driver: com.docker.network.driver.mtu, com.docker.network.bridge.name (.enable_icc, "
            ".enable_ip_masquerade, .host_binding_ipv4), parent and macvlan_mode",
            value="key=value",
            check=creation_flags.pair,
        ),
        flags.many("subnet", help="Subnet (CIDR); one of each family", value="subnet"),
        flags.many("gateway", help="Gateway of a subnet (default: its first address)", value="address"),
        flags.many("ip-range", help="Part of a subnet that containers' addresses are taken from", value="subnet"),
        flags.many(
            "aux-address", help="Address that is never given: NAME=ADDRESS", value="entry", check=creation_flags.pair
        ),
        flags.switch("internal", help="No way out of this network, nor into it"),
        flags.switch("ipv4", help="Give IPv4 addresses", default=True),
        flags.switch("ipv6", help="Give IPv6 addresses"),
        flags.many("label", "l", help="Set meta data on the network", value="key=value", check=creation_flags.pair),
        flags.switch("attachable", help="Accepted without effect: every network is"),
        flags.many("option", value="key=value", check=creation_flags.pair),
        flags.switch("enable-ipv6"),
        flags.text("name", "n", value="name"),
        flags.text("ipam-driver", help="", default="default", value="driver"),
        flags.many("ipam-opt", help="", value="key=value", check=creation_flags.pair),
    ),
    at_most=1,
)
