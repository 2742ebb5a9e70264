"""`pouch volume rm`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    query = {"force": parsed.on("force") or None}

    def remove(name: str) -> str:
        context.client.delete(f"/volumes/{segment(name)}", query)
        return name

    return command.together(parsed.args, remove)


COMMAND = command.Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes",
    _run,
    options=(flags.switch("force", "f", "No failure for a volume that is not there"),),
    at_least=1,
    notes="A volume that a container has, running or not, cannot be removed.",
)
