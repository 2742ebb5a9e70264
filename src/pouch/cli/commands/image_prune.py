"""`pouch image prune`."""

from __future__ import annotations

from pouch.cli import command, flags, pruning

DANGLING = "This will remove all dangling images."
UNUSED = "This will remove all images without at least one container associated to them."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    everything = parsed.on("all")
    wanted = pruning.wanted(parsed)
    pruning.ask(parsed, "image prune", UNUSED if everything else DANGLING, wanted)
    pruning.total(pruning.images(context.client, wanted, everything=everything))
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove unused images",
    _run,
    options=(
        flags.switch("all", "a", "Remove all unused images, not just dangling ones"),
        pruning.FILTER,
        pruning.FORCE,
    ),
    at_most=0,
)
