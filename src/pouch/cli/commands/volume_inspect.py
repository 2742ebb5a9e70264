"""`pouch volume inspect`."""

from __future__ import annotations

from pouch.cli import command, flags, inspection


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    return inspection.show(parsed.args, lambda name: inspection.volume(context.client, name), parsed.text("format"))


COMMAND = command.Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes",
    _run,
    options=(inspection.FORMAT,),
    at_least=1,
)
