"""What `container`, `image`, `network`, `volume` and `system prune` share: flags, the question, asking the daemon, saying what is gone."""

from __future__ import annotations

from pouch.cli import configuration, consent, filters, flags, units, waiting
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pouch.cli.client import Client


def filter_flag(which: str) -> flags.Flag:
    """The flag `--filter`. which: the filters there are."""
    return flags.many("filter", help=f"Which of them ({which})", value="key=value", check=filters.check)


FILTER = filter_flag("until=24h, label=KEY[=VALUE], label!=KEY")
FORCE = flags.switch("force", "f", "Do not prompt for confirmation")


def wanted(parsed: flags.Parsed) -> list[str]:
    """The filters of the command line, and those of the configuration."""
    return configuration.prune_filters(parsed.many("filter"))


def ask(parsed: flags.Parsed, command: str, warning: str, chosen: Sequence[str]) -> None:
    """Have it confirmed, unless `--force` is given. Raises CliError where it is not."""
    if not parsed.on("force") and not consent.agreed(warning, chosen):
        raise CliError(f"pouch: {command} has been cancelled")


def containers(client: Client, wanted: Sequence[str]) -> int:
    """Prune them and print which; bytes that are free again."""
    return _pruned(client, "containers", "ContainersDeleted", "Deleted Containers:", wanted)


def networks(client: Client, wanted: Sequence[str]) -> int:
    """The same."""
    return _pruned(client, "networks", "NetworksDeleted", "Deleted Networks:", wanted)


def volumes(client: Client, wanted: Sequence[str], *, everything: bool = False) -> int:
    """The same. everything: not the anonymous ones only."""
    return _pruned(
        client, "volumes", "VolumesDeleted", "Deleted Volumes:", [*wanted, *(["all=true"] if everything else [])]
    )


def images(client: Client, wanted: Sequence[str], *, everything: bool = False) -> int:
    """The same. everything: not the dangling ones only."""
    dangling = f"dangling={'false' if everything else 'true'}"
    return _pruned(client, "images", "ImagesDeleted", "Deleted Images:", [*wanted, dangling])


def _pruned(client: Client, noun: str, member: str, title: str, wanted: Sequence[str]) -> int:
    with waiting.Meter(f"Removing unused {noun}") as meter:
        answer = client.telling(meter.tick).post(f"/{noun}/prune", {"filters": filters.encode(list(wanted))})
    removed = answer.get(member) or ()
    if removed:
        print(title)
        print("\n".join(line for one in removed for line in _lines(one)) + "\n")
    return int(answer.get("SpaceReclaimed") or 0)


def _lines(one: str | dict[str, str]) -> list[str]:
    """An image's are objects: {"Untagged": NAME}, {"Deleted": ID}."""
    return [one] if isinstance(one, str) else [f"{kind.lower()}: {what}" for kind, what in one.items()]


def total(reclaimed: int) -> None:
    """The last line."""
    print(f"Total reclaimed space: {units.decimal_size(reclaimed, 4)}")
