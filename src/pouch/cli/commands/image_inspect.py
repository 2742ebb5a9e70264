"""`pouch image inspect`."""

from __future__ import annotations

from pouch.cli import command, flags, inspection, platforms


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    return inspection.show(
        parsed.args, lambda name: inspection.image(context.client, name, platforms.query(parsed)), parsed.text("format")
    )


COMMAND = command.Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    _run,
    options=(inspection.FORMAT, platforms.flag("Inspect this platform of a multi-platform image")),
    at_least=1,
)
