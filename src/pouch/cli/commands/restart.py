"""`pouch restart`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment
from pouch.cli.commands import stop


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    def restart(name: str) -> str:
        context.client.post(f"/containers/{segment(name)}/restart", stop.query(parsed))
        return name

    return command.together(parsed.args, restart)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]", "Restart one or more containers", _run, options=stop.OPTIONS, at_least=1
)
