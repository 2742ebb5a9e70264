"""`pouch volume prune`."""

from __future__ import annotations

from pouch.cli import command, flags, pruning

ANONYMOUS = "This will remove anonymous local volumes not used by at least one container."
ALL = "This will remove all local volumes not used by at least one container."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    everything = parsed.on("all")
    wanted = pruning.wanted(parsed)
    pruning.ask(parsed, "volume prune", ALL if everything else ANONYMOUS, wanted)
    pruning.total(pruning.volumes(context.client, wanted, everything=everything))
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove unused local volumes",
    _run,
    options=(
        flags.switch("all", "a", "Remove all unused volumes, not just anonymous ones"),
        pruning.filter_flag("label=KEY[=VALUE], label!=KEY"),
        pruning.FORCE,
    ),
    at_most=0,
    notes="Volumes of plugins, and those that stand for something else (type, device), are left alone.",
)
