"""`pouch rename`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    old, new = (name.strip() for name in parsed.args)
    if not old or not new:
        raise CliError("pouch: neither old nor new names may be empty")
    context.client.post(f"/containers/{segment(old)}/rename", {"name": new})
    return 0


COMMAND = command.Command("CONTAINER NEW_NAME", "Rename a container", _run, at_least=2, at_most=2)
