"""`pouch export`."""

from __future__ import annotations

from pouch.cli import command, flags, outputs
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client, name = context.client, parsed.args[0]
    outputs.write(parsed.text("output"), lambda: client.request("GET", f"/containers/{segment(name)}/export"))
    return 0


COMMAND = command.Command(
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    _run,
    options=(flags.text("output", "o", "Write to a file, instead of STDOUT", value="file"),),
    at_least=1,
    at_most=1,
)
