"""`pouch container prune`."""

from __future__ import annotations

from pouch.cli import command, flags, pruning

WARNING = "This will remove all stopped containers."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    wanted = pruning.wanted(parsed)
    pruning.ask(parsed, "container prune", WARNING, wanted)
    pruning.total(pruning.containers(context.client, wanted))
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove all stopped containers",
    _run,
    options=(
        pruning.FILTER,
        pruning.FORCE,
    ),
    at_most=0,
)
