"""`pouch network disconnect`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    name, container = parsed.args
    body = {"Container": container, "Force": parsed.on("force")}
    context.client.post(f"/networks/{segment(name)}/disconnect", {}, body)
    return 0


COMMAND = command.Command(
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    _run,
    options=(flags.switch("force", "f", "Also where the container is in no order, or not there any more"),),
    at_least=2,
    at_most=2,
)
