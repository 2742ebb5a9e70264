"""`pouch network prune`."""

from __future__ import annotations

from pouch.cli import command, configuration, consent, filters, flags, pruning
from pouch.cli.errors import CliError

WARNING = "This will remove all custom networks not used by at least one container."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    wanted = configuration.prune_filters(parsed.many("filter"))
    if not parsed.on("force") and not consent.agreed(WARNING, wanted):
        raise CliError("pouch: network prune has been cancelled")
    pruning.networks(context.client, wanted)
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove all unused networks",
    _run,
    options=(
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
