"""`pouch volume prune`."""

from __future__ import annotations

from pouch.cli import command, configuration, consent, filters, flags, pruning
from pouch.cli.errors import CliError

ANONYMOUS = "This will remove anonymous local volumes not used by at least one container."
ALL = "This will remove all local volumes not used by at least one container."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    everything = parsed.on("all")
    wanted = configuration.prune_filters(parsed.many("filter"))
    if not parsed.on("force") and not consent.agreed(ALL if everything else ANONYMOUS, wanted):
        raise CliError("pouch: volume prune has been cancelled")
    pruning.total(pruning.volumes(context.client, wanted, everything=everything))
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove unused local volumes",
    _run,
    options=(
        flags.switch("all", "a", "Remove all unused volumes, not just anonymous ones"),
        flags.many(
            "filter",
            help="Which of them (label=KEY[=VALUE], label!=KEY)",
            value="key=value",
            check=filters.check,
        ),
        flags.switch("force", "f", "Do not prompt for confirmation"),
    ),
    at_most=0,
    notes="Volumes of plugins, and those that stand for something else (type, device), are left alone.",
)
