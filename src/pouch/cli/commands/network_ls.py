"""`pouch network ls`."""

from __future__ import annotations

from pouch.cli import command, configuration, filters, flags, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SHORT_ID = 12


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    found = context.client.get("/networks", {"filters": filters.encode(parsed.many("filter"))})
    whole = parsed.on("no-trunc")
    networks = sorted(found, key=lambda one: one["Name"])
    quiet = parsed.on("quiet")
    template = configuration.list_format(parsed.text("format"), "networksFormat", quiet=quiet)
    listing(whole=whole).print(networks, template, quiet=quiet)
    return 0


def listing(*, whole: bool) -> table.Listing:
    """The fields of a network. `whole`: nothing shortened."""
    fields: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
        "ID": ("NETWORK ID", lambda one: one["Id"] if whole else one["Id"][:SHORT_ID]),
        "Name": ("NAME", lambda one: one["Name"]),
        "Driver": ("DRIVER", lambda one: one["Driver"]),
        "Scope": ("SCOPE", lambda one: one["Scope"]),
        "IPv4": ("IPV4", lambda one: _truth(one.get("EnableIPv4"))),
        "IPv6": ("IPV6", lambda one: _truth(one.get("EnableIPv6"))),
        "Internal": ("INTERNAL", lambda one: _truth(one.get("Internal"))),
        "Subnets": ("SUBNETS", _subnets),
        "CreatedAt": ("CREATED AT", lambda one: _moment(one.get("Created") or "")),
        "Labels": ("LABELS", lambda one: ",".join(f"{k}={v}" for k, v in sorted((one.get("Labels") or {}).items()))),
        "Label": ("", lambda one: lambda key: (one.get("Labels") or {}).get(key, "")),
    }
    return table.Listing(fields, ("ID", "Name", "Driver", "Scope"), quiet="ID")


def _moment(text: str) -> str:
    """`2024-01-31 12:00:00.5 +0000 UTC`, as Go prints a moment, of RFC 3339; what is in another zone stays."""
    return f"{text[:-1].replace('T', ' ')} +0000 UTC" if text.endswith("Z") else text


def _truth(value: object) -> str:
    return "true" if value else "false"


def _subnets(one: dict[str, Any]) -> str:
    return ",".join(pool.get("Subnet") or "" for pool in (one.get("IPAM") or {}).get("Config") or ())


COMMAND = command.Command(
    "[OPTIONS]",
    "List networks",
    _run,
    options=(
        flags.many(
            "filter",
            "f",
            "Filter output (name, id, driver, type=custom|builtin, label, dangling=true|false, scope)",
            value="key=value",
            check=filters.check,
        ),
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("no-trunc", help="Don't truncate output"),
        flags.switch("quiet", "q", "Only display network IDs"),
    ),
    at_most=0,
)
