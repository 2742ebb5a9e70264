"""`pouch rm`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment
from pouch.cli.errors import ApiError, CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    if parsed.on("link"):
        raise CliError("pouch: --link: Pouch keeps no links\nhint: containers of a network know each other's names.")
    query = {"force": parsed.on("force"), "v": parsed.on("volumes")}

    def remove(name: str) -> str | None:
        try:
            context.client.delete(f"/containers/{segment(name.removeprefix('/'))}", query)
        except ApiError as error:
            if error.status != 404 or not parsed.on("force"):
                raise
            command.warn(error.message)  # with --force a container that is not there is no failure
            return None
        return name

    return command.together(parsed.args, remove)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    _run,
    options=(
        flags.switch("force", "f", "Force the removal of a running container (uses SIGKILL)"),
        flags.switch("link", "l", ""),
        flags.switch("volumes", "v", "Remove anonymous volumes associated with the container"),
    ),
    at_least=1,
)
