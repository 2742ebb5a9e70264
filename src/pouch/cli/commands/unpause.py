"""`pouch unpause`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    def unpause(name: str) -> str:
        context.client.post(f"/containers/{segment(name)}/unpause")
        return name

    return command.together(parsed.args, unpause)


COMMAND = command.Command(
    "CONTAINER [CONTAINER...]", "Unpause all processes within one or more containers", _run, at_least=1
)
