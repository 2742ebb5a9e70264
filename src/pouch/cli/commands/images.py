"""`pouch images`."""

from __future__ import annotations

from pouch.cli import command, filters, flags, table, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NONE = "<none>"


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    wanted = parsed.many("filter") + [f"reference={name}" for name in parsed.args]
    found = context.client.get("/images/json", {"all": parsed.on("all") or None, "filters": filters.encode(wanted)})
    template = parsed.text("format")
    rows = [row for image in found for row in _rows(image)]
    if parsed.on("quiet") and not template:
        rows = list({row["Id"]: row for row in rows}.values())
    chosen = listing(whole=parsed.on("no-trunc"), digests=parsed.on("digests"))
    chosen.print(rows, template, quiet=parsed.on("quiet"))
    return 0


def _rows(image: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each name of an image."""
    digests = dict(name.split("@", 1) for name in image.get("RepoDigests") or () if "@" in name)
    rows = []
    for name in image.get("RepoTags") or [f"{NONE}:{NONE}"]:
        repository, _, tag = name.rpartition(":")
        rows.append(image | {"Repository": repository, "Tag": tag, "Digest": digests.get(repository, NONE)})
    return rows


def listing(*, whole: bool, digests: bool) -> table.Listing:
    """The fields of an image's name."""
    fields: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
        "Repository": ("REPOSITORY", lambda one: one["Repository"]),
        "Tag": ("TAG", lambda one: one["Tag"]),
        "Digest": ("DIGEST", lambda one: one["Digest"]),
        "ID": ("IMAGE ID", lambda one: one["Id"] if whole else short_id(one["Id"])),
        "CreatedSince": ("CREATED", lambda one: units.ago(one["Created"])),
        "CreatedAt": ("CREATED AT", lambda one: units.local(one["Created"])),
        "Size": ("SIZE", lambda one: units.decimal_size(one["Size"])),
        "Containers": ("CONTAINERS", lambda one: str(one["Containers"]) if one.get("Containers", -1) >= 0 else "N/A"),
        "SharedSize": ("SHARED SIZE", lambda one: _size(one.get("SharedSize", -1))),
        "UniqueSize": ("UNIQUE SIZE", lambda one: "N/A"),
        "VirtualSize": ("SIZE", lambda one: units.decimal_size(one["Size"])),
    }
    shown = ("Repository", "Tag", *(("Digest",) if digests else ()), "ID", "CreatedSince", "Size")
    return table.Listing(fields, shown, quiet="ID")


def _size(size: int) -> str:
    return units.decimal_size(size) if size >= 0 else "N/A"


def short_id(image_id: str) -> str:
    """Twelve digits, without the algorithm."""
    return image_id.removeprefix("sha256:")[:12]


COMMAND = command.Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    _run,
    options=(
        flags.switch("all", "a", "Show all images"),
        flags.switch("digests", help="Show digests"),
        flags.many(
            "filter",
            "f",
            "Filter output (reference, label, dangling, before, since)",
            value="key=value",
            check=filters.check,
        ),
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("no-trunc", help="Don't truncate output"),
        flags.switch("quiet", "q", "Only show image IDs"),
    ),
    at_most=1,
)
