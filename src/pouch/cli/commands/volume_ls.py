"""`pouch volume ls`."""

from __future__ import annotations

from pouch.cli import command, configuration, filters, flags, table, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    answer = context.client.get("/volumes", {"filters": filters.encode(parsed.many("filter"))})
    quiet = parsed.on("quiet")
    template = configuration.list_format(parsed.text("format"), "volumesFormat", quiet=quiet)
    LISTING.print(answer.get("Volumes") or (), template, quiet=quiet)
    for warning in answer.get("Warnings") or ():
        command.warn(f"WARNING: {warning}")
    return 0


def _labels(labels: dict[str, str] | None) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))


def _size(usage: dict[str, int] | None) -> str:
    size = (usage or {}).get("Size", -1)
    return units.decimal_size(size) if size >= 0 else "N/A"


FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Driver": ("DRIVER", lambda one: one["Driver"]),
    "Name": ("VOLUME NAME", lambda one: one["Name"]),
    "Scope": ("SCOPE", lambda one: one.get("Scope") or "local"),
    "Mountpoint": ("MOUNTPOINT", lambda one: one.get("Mountpoint") or ""),
    "Labels": ("LABELS", lambda one: _labels(one.get("Labels"))),
    "Label": ("", lambda one: lambda key: (one.get("Labels") or {}).get(key, "")),
    "Links": ("LINKS", lambda one: str((one.get("UsageData") or {}).get("RefCount", "N/A"))),
    "Size": ("SIZE", lambda one: _size(one.get("UsageData"))),
    # of volumes of a cluster, which there are none of
    "Availability": ("AVAILABILITY", lambda one: "N/A"),
    "Group": ("GROUP", lambda one: "N/A"),
    "Status": ("STATUS", lambda one: "N/A"),
}
LISTING = table.Listing(
    FIELDS,
    ("Driver", "Name"),
    quiet="Name",
)

COMMAND = command.Command(
    "[OPTIONS]",
    "List volumes",
    _run,
    options=(
        flags.many(
            "filter",
            "f",
            "Filter output (dangling=true|false, driver, label=KEY[=VALUE], name)",
            value="key=value",
            check=filters.check,
        ),
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("quiet", "q", "Only display volume names"),
    ),
    at_most=0,
)
