"""`pouch pause`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    def pause(name: str) -> str:
        context.client.post(f"/containers/{segment(name)}/pause")
        return name

    return command.together(parsed.args, pause)


COMMAND = command.Command(
    "CONTAINER [CONTAINER...]", "Pause all processes within one or more containers", _run, at_least=1
)
