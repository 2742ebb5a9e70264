"""`pouch diff`."""

from __future__ import annotations

from pouch.cli import command, flags, table
from pouch.cli.client import segment

_KINDS = "CAD"
"""Changed, added, deleted: the API's 0, 1, 2."""


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    for change in context.client.get(f"/containers/{segment(parsed.args[0])}/changes") or ():
        print(_KINDS[change["Kind"]], table.clean(change["Path"]))
    return 0


COMMAND = command.Command(
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    _run,
    at_least=1,
    at_most=1,
    notes="C changed, A added, D deleted. What pouch itself gives a rich container is no change and not shown.",
)
