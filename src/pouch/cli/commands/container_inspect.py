"""`pouch container inspect`."""

from __future__ import annotations

from pouch.cli import command, flags, inspection


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    return inspection.show(
        parsed.args,
        lambda name: inspection.container(context.client, name, size=parsed.on("size")),
        parsed.text("format"),
    )


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers",
    _run,
    options=(inspection.FORMAT, inspection.SIZE),
    at_least=1,
)
