"""`pouch system prune`."""

from __future__ import annotations

from pouch.cli import command, flags, pruning
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CONTAINERS = "all stopped containers"
NETWORKS = "all networks not used by at least one container"
VOLUMES = "all anonymous volumes not used by at least one container"
DANGLING = "all dangling images"
UNUSED = "all images without at least one container associated to them"


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    wanted = pruning.wanted(parsed)
    with_volumes, everything = parsed.on("volumes"), parsed.on("all")
    if with_volumes and any(one.startswith("until=") for one in wanted):
        raise CliError('pouch: the "until" filter is not supported with "--volumes"')
    client = context.client
    steps: list[tuple[str, Callable[[], int]]] = [
        (CONTAINERS, lambda: pruning.containers(client, wanted)),
        (NETWORKS, lambda: pruning.networks(client, wanted)),
    ]
    if with_volumes:
        steps.append((VOLUMES, lambda: pruning.volumes(client, wanted)))
    steps.append((UNUSED if everything else DANGLING, lambda: pruning.images(client, wanted, everything=everything)))
    warning = "This will remove:\n" + "".join(f"  - {what}\n" for what, _ in steps)
    pruning.ask(parsed, "system prune", warning, wanted)
    pruning.total(sum(prune() for _, prune in steps))
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Remove unused data",
    _run,
    options=(
        flags.switch("all", "a", "Remove all unused images, not just dangling ones"),
        pruning.FILTER,
        pruning.FORCE,
        flags.switch("volumes", help="Prune anonymous volumes, too"),
    ),
    at_most=0,
)
