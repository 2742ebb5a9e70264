"""`pouch image prune`."""

from __future__ import annotations

from pouch.cli import command, consent, filters, flags, units
from pouch.cli.errors import CliError

DANGLING = "This will remove all dangling images."
UNUSED = "This will remove all images without at least one container associated to them."


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    everything = parsed.on("all")
    if not parsed.on("force") and not consent.agreed(UNUSED if everything else DANGLING, parsed.many("filter")):
        raise CliError("pouch: image prune has been cancelled")
    wanted = [*parsed.many("filter"), f"dangling={'false' if everything else 'true'}"]
    answer = context.client.post("/images/prune", {"filters": filters.encode(wanted)})
    removed = answer.get("ImagesDeleted") or ()
    if removed:
        print("Deleted Images:")
        print("\n".join(f"{kind.lower()}: {what}" for entry in removed for kind, what in entry.items()) + "\n")
    print(f"Total reclaimed space: {units.decimal_size(answer.get('SpaceReclaimed') or 0, 4)}")
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
