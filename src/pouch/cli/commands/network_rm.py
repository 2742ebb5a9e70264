"""`pouch network rm`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment
from pouch.cli.errors import ApiError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    def remove(name: str) -> str | None:
        try:
            context.client.delete(f"/networks/{segment(name)}")
        except ApiError as error:
            if error.status != 404 or not parsed.on("force"):
                raise
            return None  # with --force a network that is not there is no failure
        return name

    return command.each(parsed.args, remove)


COMMAND = command.Command(
    "NETWORK [NETWORK...]",
    "Remove one or more networks",
    _run,
    options=(flags.switch("force", "f", "Do not fail where a network does not exist"),),
    at_least=1,
)
