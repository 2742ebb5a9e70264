"""`pouch manifest inspect`."""

from __future__ import annotations

from pouch.cli import command, credentials, flags, inspection, names
from pouch.cli.client import segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client = context.client

    def find(name: str) -> Any:
        path = f"/distribution/{segment(names.tagged(name))}/json"
        return client.request("GET", path, headers=credentials.header(client, name)).json()

    return inspection.show(parsed.args, find, parsed.text("format"))


COMMAND = command.Command(
    "[OPTIONS] NAME[:TAG|@DIGEST] [NAME...]",
    "Display what a registry has under a name, without pulling it: digest, type, size and platforms",
    _run,
    options=(inspection.FORMAT,),
    at_least=1,
)
