"""`pouch context ls`."""

from __future__ import annotations

import os

from pouch.cli import command, context_flags, contexts, endpoint, flags, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    chosen = endpoint.chosen_context(context.options)
    found = [context_flags.default(context), *contexts.Store().all()]
    items = [(one, one.name == chosen, "") for one in sorted(found, key=lambda one: one.name)]
    if chosen not in {one.name for one in found}:
        path = os.path.join(contexts.Store().meta_path(chosen), "meta.json")
        lost = f"context not found: open {path}: no such file or directory"
        items.append((contexts.Found({"Name": chosen}), True, lost))
    quiet = parsed.on("quiet")
    tabular = parsed.text("format") in {"", "table"} and not quiet
    (LISTING if not tabular else TABLE).print(items, parsed.text("format"), quiet=quiet)
    if context.options.text("context") == "" and os.environ.get("POUCH_HOST"):
        name = endpoint.in_use()
        if name != endpoint.DEFAULT_CONTEXT:
            command.warn(_overrides(name))
    return 0


def _overrides(name: str) -> str:
    return (
        f'Warning: POUCH_HOST environment variable overrides the active context. To use "{name}", either set the global '
        "--context flag, or unset POUCH_HOST environment variable."
    )


def _fields(mark: str) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    return {
        "Name": ("NAME", lambda one: one[0].name + (mark if one[1] else "")),
        "Current": ("CURRENT", lambda one: one[1]),
        "Description": ("DESCRIPTION", lambda one: one[0].description),
        "DockerEndpoint": ("DOCKER ENDPOINT", lambda one: one[0].host),
        "Error": ("ERROR", lambda one: one[2]),
    }


_SHOWN = ("Name", "Description", "DockerEndpoint", "Error")
LISTING = table.Listing(_fields(""), _SHOWN, quiet="Name")
TABLE = table.Listing(_fields(" *"), _SHOWN, quiet="Name")

COMMAND = command.Command(
    "[OPTIONS]",
    "List contexts",
    _run,
    options=(
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("quiet", "q", "Only show context names"),
    ),
    at_most=0,
    notes="The contexts of `docker context` are ours, too. Which one is in use is not: `docker context use` is for docker.",
)
