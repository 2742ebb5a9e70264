"""`pouch volume create`."""

from __future__ import annotations

from pouch.cli import command, creation_flags, flags
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    if parsed.args and parsed.given("name"):
        raise CliError(
            "pouch: conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    document = {
        "Name": parsed.args[0] if parsed.args else parsed.text("name"),
        "Driver": parsed.text("driver"),
        "DriverOpts": pairs(parsed.many("opt", "option")),
        "Labels": pairs(parsed.many("label")),
    }
    print(context.client.post("/volumes/create", None, document)["Name"])
    return 0


def pairs(entries: list[str]) -> dict[str, str]:
    """`KEY=VALUE` entries; a bare KEY is empty."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


COMMAND = command.Command(
    "[OPTIONS] [VOLUME]",
    "Create a volume",
    _run,
    options=(
        flags.text("driver", "d", "Volume driver (local, or the name of a plugin)", value="driver", default="local"),
        flags.many("label", "l", help="Set metadata for a volume", value="key=value", check=creation_flags.pair),
        flags.text("name", "n", value="name"),
        flags.many(
            "opt",
            "o",
            "Option of the driver; of local: type, o, device as mount(8) has them, size=SIZE",
            value="key=value",
            check=creation_flags.pair,
        ),
        flags.many("option", value="key=value", check=creation_flags.pair),
    ),
    at_most=1,
    notes=(
        "Without a name the volume gets a random one.\n\n"
        "Examples:\n"
        "  pouch volume create data\n"
        "  pouch volume create -o size=10g data\n"
        "  pouch volume create -o type=tmpfs -o o=size=64m,mode=1777 scratch\n"
        "  pouch volume create -o type=nfs -o o=vers=4 -o device=server:/export share\n"
        "  pouch volume create -o o=bind -o device=/srv/data data"
    ),
)
