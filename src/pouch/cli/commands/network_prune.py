"""`pouch network prune`."""

from __future__ import annotations

from pouch.cli import command, flags, pruning

WARNING = "This will remove all custom networks not used by at least one container."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    wanted = pruning.wanted(parsed)
    pruning.ask(parsed, "network prune", WARNING, wanted)
    pruning.networks(context.client, wanted)
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove all unused networks",
    _run,
    options=(
        pruning.FILTER,
        pruning.FORCE,
    ),
    at_most=0,
)
