"""`pouch search`."""

from __future__ import annotations

from pouch.cli import command, credentials, filters, flags, names, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WIDTH = 45


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client, term = context.client, parsed.args[0]
    if parsed.text("registry"):
        term = f"{parsed.text('registry')}/{term}"
    query = {
        "term": term,
        "limit": parsed.integer("limit") or None,
        "filters": filters.encode(parsed.many("filter")),
    }
    headers = credentials.header_of(client, names.domain(term))
    found = client.request("GET", "/images/search", query, headers=headers).json() or []
    listing(whole=parsed.on("no-trunc")).print(found, parsed.text("format"))
    return 0


def listing(*, whole: bool) -> table.Listing:
    """The fields of a result."""

    def shortened(text: str) -> str:
        text = " ".join(text.split())
        return text if whole or len(text) <= WIDTH else text[: WIDTH - 1] + "…"

    fields: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
        "Name": ("NAME", lambda one: one["name"]),
        "Description": ("DESCRIPTION", lambda one: shortened(one.get("description") or "")),
        "StarCount": ("STARS", lambda one: str(one.get("star_count") or 0)),
        "IsOfficial": ("OFFICIAL", lambda one: "[OK]" if one.get("is_official") else ""),
        "IsAutomated": ("AUTOMATED", lambda one: "[OK]" if one.get("is_automated") else ""),
    }
    return table.Listing(fields, ("Name", "Description", "StarCount", "IsOfficial"))


COMMAND = command.Command(
    "[OPTIONS] TERM",
    "Search a registry for images",
    _run,
    options=(
        flags.many("filter", "f", "Filter output (is-official, stars)", value="key=value", check=filters.check),
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.integer("limit", help="Max number of search results (1 to 100; by default 25)"),
        flags.text("registry", "r", value="host"),
        flags.switch("no-trunc", help="Don't truncate output"),
    ),
    at_least=1,
    at_most=1,
    notes="REGISTRY/TERM asks another registry than the default one. Few registries can be searched.",
)
