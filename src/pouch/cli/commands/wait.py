"""`pouch wait`."""

from __future__ import annotations

from pouch.cli import attaching, command, flags
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    # All waits begin at once: a container that ends and is removed while an earlier one is awaited keeps its code.
    def begin(name: str) -> str:
        return str(attaching.exit_code(context.client.request("POST", f"/containers/{segment(name)}/wait")))

    return command.together(parsed.args, begin)


COMMAND = command.Command(
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
    _run,
    at_least=1,
)
