"""`pouch image prune`."""

from __future__ import annotations

from pouch.cli import command, configuration, consent, filters, flags, pruning
from pouch.cli.errors import CliError

DANGLING = "This will remove all dangling images."
UNUSED = "This will remove all images without at least one container associated to them."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    everything = parsed.on("all")
    wanted = configuration.prune_filters(parsed.many("filter"))
    if not parsed.on("force") and not consent.agreed(UNUSED if everything else DANGLING, wanted):
        raise CliError("pouch: image prune has been cancelled")
    pruning.total(pruning.images(context.client, wanted, everything=everything))
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove unused images",
    _run,
    options=(
        flags.switch("all", "a", "Remove all unused images, not just dangling ones"),
        flags.many(
            "filter",
            help="Which of them (until=24h, label=KEY[=VALUE], label!=KEY)",
            value="key=value",
            check=filters.check,
        ),
        flags.switch("force", "f", "Do not prompt for confirmation"),
    ),
    at_most=0,
)
