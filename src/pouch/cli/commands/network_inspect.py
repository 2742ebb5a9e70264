"""`pouch network inspect`."""

from __future__ import annotations

from pouch.cli import command, flags, inspection


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    return inspection.show(parsed.args, lambda name: inspection.network(context.client, name), parsed.text("format"))


COMMAND = command.Command(
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    _run,
    options=(inspection.FORMAT, flags.switch("verbose", "v", "")),
    at_least=1,
)
