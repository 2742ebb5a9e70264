"""`pouch history`."""

from __future__ import annotations

from pouch.cli import command, flags, platforms, table, units
from pouch.cli.client import segment
from pouch.cli.commands import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WIDTH = 45


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    layers = (
        context.client.get(f"/images/{segment(parsed.args[0])}/history", {"platform": platforms.query(parsed)}) or []
    )
    chosen = listing(whole=parsed.on("no-trunc"), human=parsed.on("human"))
    chosen.print(layers, parsed.text("format"), quiet=parsed.on("quiet"))
    return 0


def listing(*, whole: bool, human: bool) -> table.Listing:
    """The fields of a layer."""

    def shortened(text: str) -> str:
        return text if whole or len(text) <= WIDTH else text[: WIDTH - 1] + "…"

    fields: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
        "ID": ("IMAGE", lambda one: one["Id"] if whole else images.short_id(one["Id"])),
        "CreatedSince": (
            "CREATED",
            lambda one: units.ago(one.get("Created", 0)) if human else units.local(one.get("Created", 0)),
        ),
        "CreatedAt": ("CREATED AT", lambda one: units.local(one.get("Created", 0))),
        "CreatedBy": ("CREATED BY", lambda one: shortened(table.clean(one["CreatedBy"].replace("\t", " ")))),
        "Size": ("SIZE", lambda one: units.decimal_size(one["Size"]) if human else str(one["Size"])),
        "Comment": ("COMMENT", lambda one: one.get("Comment") or ""),
        "Tags": ("TAGS", lambda one: ",".join(one.get("Tags") or ())),
    }
    return table.Listing(fields, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"), quiet="ID")


COMMAND = command.Command(
    "[OPTIONS] IMAGE",
    "Show the history of an image",
    _run,
    options=(
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("human", "H", "Print sizes and dates in human readable format", default=True),
        flags.switch("no-trunc", help="Don't truncate output"),
        platforms.flag("Show it for this platform"),
        flags.switch("quiet", "q", "Only show image IDs"),
    ),
    at_least=1,
    at_most=1,
)
