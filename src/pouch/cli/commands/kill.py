"""`pouch kill`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    def kill(name: str) -> str:
        context.client.post(f"/containers/{segment(name)}/kill", {"signal": parsed.text("signal") or None})
        return name

    return command.together(parsed.args, kill)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    _run,
    options=(flags.text("signal", "s", "Signal to send to the container (default KILL)", value="signal"),),
    at_least=1,
)
