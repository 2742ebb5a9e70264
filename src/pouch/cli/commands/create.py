"""`pouch create`."""

from __future__ import annotations

from pouch.cli import command, creation, creation_flags
from pouch.cli.flags import Parsed


def _run(context: command.Context, parsed: Parsed) -> int:
    container_id, _ = creation.create(context.client, parsed)
    print(container_id)
    return 0


COMMAND = command.Command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    _run,
    groups=creation_flags.GROUPS,
    at_least=1,
    interspersed=False,
)
