"""`pouch rm`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    query = {"force": parsed.on("force"), "v": parsed.on("volumes")}

    def remove(name: str) -> str:
        context.client.delete(f"/containers/{segment(name.removeprefix('/'))}", query)
        return name

    return command.together(parsed.args, remove)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    _run,
    options=(
        flags.switch("force", "f", "Force the removal of a running container (uses SIGKILL)"),
        flags.switch("volumes", "v", "Remove anonymous volumes associated with the container"),
    ),
    at_least=1,
)
