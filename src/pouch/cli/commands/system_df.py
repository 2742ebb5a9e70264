"""`pouch system df`."""

from __future__ import annotations

from pouch.cli import command, flags, table, units
from pouch.cli.commands import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ACTIVE = frozenset(("running", "paused", "restarting"))


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    template = parsed.text("format")
    usage = context.client.get("/system/df")
    if parsed.on("verbose") and template:
        from pouch.cli import template as templates

        print(templates.parse("{{json .}}" if template == "json" else template).render(_whole(usage)))
    elif parsed.on("verbose"):
        _verbose(usage)
    else:
        SUMMARY.print(summary(usage), template)
    return 0


def summary(usage: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each kind: how many, how many in use, bytes, and bytes that removing the unused would free."""
    return [
        _row("Images", *_images(usage.get("Images") or [], usage)),
        _row("Containers", *_containers(usage.get("Containers") or [])),
        _row("Local Volumes", *_volumes(usage.get("Volumes") or [])),
        _row("Build Cache", *_caches(usage.get("BuildCache") or [])),
    ]


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> dict[str, Any]:
    return {"Type": kind, "Total": total, "Active": active, "Size": size, "Reclaimable": max(reclaimable, 0)}


Counts = tuple[int, int, int, int]


def _images(found: list[dict[str, Any]], usage: dict[str, Any]) -> Counts:
    """Another engine does not say what is reclaimable: then what an image that is in use alone has is not."""
    used = [one for one in found if one.get("Containers", 0) > 0]
    layers = usage.get("LayersSize") or 0
    reclaimable = usage.get("ReclaimableSize", layers - sum(_unique(one) for one in used))
    return len(found), len(used), layers, reclaimable


def _unique(one: dict[str, Any]) -> int:
    shared = one.get("SharedSize", -1)
    return int(one["Size"]) - shared if shared >= 0 else 0


def _containers(found: list[dict[str, Any]]) -> Counts:
    active = [one for one in found if one.get("State") in ACTIVE]
    size = sum(one.get("SizeRw") or 0 for one in found)
    return len(found), len(active), size, size - sum(one.get("SizeRw") or 0 for one in active)


def _volumes(found: list[dict[str, Any]]) -> Counts:
    sizes = [(max((one.get("UsageData") or {}).get("Size", 0), 0), one) for one in found]
    active = [size for size, one in sizes if (one.get("UsageData") or {}).get("RefCount", 0) > 0]
    whole = sum(size for size, _ in sizes)
    return len(found), len(active), whole, whole - sum(active)


def _caches(found: list[dict[str, Any]]) -> Counts:
    used = [one for one in found if one.get("InUse")]
    whole = sum(one.get("Size") or 0 for one in found if not one.get("Shared"))
    return len(found), len(used), whole, whole - sum(one.get("Size") or 0 for one in used if not one.get("Shared"))


def _reclaimable(row: dict[str, Any]) -> str:
    shown = units.decimal_size(row["Reclaimable"], 4)
    return f"{shown} ({100 * row['Reclaimable'] // row['Size']}%)" if row["Size"] > 0 else shown


SUMMARY = table.Listing(
    {
        "Type": ("TYPE", lambda row: row["Type"]),
        "TotalCount": ("TOTAL", lambda row: str(row["Total"])),
        "Active": ("ACTIVE", lambda row: str(row["Active"])),
        "Size": ("SIZE", lambda row: units.decimal_size(row["Size"], 4)),
        "Reclaimable": ("RECLAIMABLE", _reclaimable),
    },
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)


def _verbose(usage: dict[str, Any]) -> None:
    print("Images space usage:\n")
    rows = [row for one in usage.get("Images") or () for row in images.rows(one)]
    shown = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
    table.Listing(images.fields(whole=False), shown).print(rows)
    print("\nContainers space usage:\n")
    CONTAINERS.print(usage.get("Containers") or ())
    print("\nLocal Volumes space usage:\n")
    VOLUMES.print(usage.get("Volumes") or ())


def _whole(usage: dict[str, Any]) -> dict[str, Any]:
    """What a template of `--verbose` sees: the lists, with the fields of `images`, `ps` and `volume ls`, nothing shortened."""
    from pouch.cli import fields
    from pouch.cli.commands import ps, volume_ls

    found = [row | {"Digest": ""} for one in usage.get("Images") or () for row in images.rows(one)]
    return {
        "Images": [fields.Fields(images.fields(whole=True), row) for row in found],
        "Containers": [fields.Fields(ps.fields(whole=True), one) for one in usage.get("Containers") or ()],
        "Volumes": [fields.Fields(volume_ls.FIELDS, one) for one in usage.get("Volumes") or ()],
        "BuildCache": usage.get("BuildCache") or [],
    }


def _fields_of_containers() -> dict[str, tuple[str, Callable[[dict[str, Any]], Any]]]:
    return {
        "ID": ("CONTAINER ID", lambda one: one["Id"][:12]),
        "Image": ("IMAGE", lambda one: one.get("Image") or ""),
        "Command": ("COMMAND", lambda one: one.get("Command") or ""),
        "Size": ("SIZE", lambda one: units.decimal_size(one.get("SizeRw") or 0)),
        "CreatedSince": ("CREATED", lambda one: units.ago(one.get("Created") or 0)),
        "Status": ("STATUS", lambda one: one.get("Status") or ""),
        "Names": ("NAMES", lambda one: ",".join(name.removeprefix("/") for name in one.get("Names") or ())),
    }


CONTAINERS = table.Listing(
    _fields_of_containers(), ("ID", "Image", "Command", "Size", "CreatedSince", "Status", "Names")
)
VOLUMES = table.Listing(
    {
        "Name": ("VOLUME NAME", lambda one: one["Name"]),
        "Links": ("LINKS", lambda one: str((one.get("UsageData") or {}).get("RefCount", 0))),
        "Size": ("SIZE", lambda one: units.decimal_size(max((one.get("UsageData") or {}).get("Size", 0), 0))),
    },
    ("Name", "Links", "Size"),
)

COMMAND = command.Command(
    "[OPTIONS]",
    "Show disk usage",
    _run,
    options=(
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("verbose", "v", "Show detailed information on space usage"),
    ),
    at_most=0,
)
