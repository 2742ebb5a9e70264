"""`pouch image inspect`."""

from __future__ import annotations

from pouch.cli import command, flags, inspection


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    return inspection.show(parsed.args, lambda name: inspection.image(context.client, name), parsed.text("format"))


COMMAND = command.Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    _run,
    options=(inspection.FORMAT,),
    at_least=1,
)
