"""`pouch restart`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.commands import stop


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    return stop.at_each(context, parsed, "restart", "Restarting")


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]", "Restart one or more containers", _run, options=stop.OPTIONS, at_least=1
)
