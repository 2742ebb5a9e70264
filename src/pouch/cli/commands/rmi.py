"""`pouch rmi`."""

from __future__ import annotations

from pouch.cli import command, flags, platforms
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client = context.client
    query = {
        "force": parsed.on("force") or None,
        "noprune": parsed.on("no-prune") or None,
        "platforms": platforms.query(parsed),
    }

    def remove(name: str) -> str | None:
        removed = client.delete(f"/images/{segment(name)}", query) or ()
        return "\n".join(f"{kind}: {what}" for entry in removed for kind, what in entry.items()) or None

    return command.each(parsed.args, remove)


COMMAND = command.Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    _run,
    options=(
        flags.switch("force", "f", "Force removal of the image"),
        flags.switch("no-prune", help="Do not delete untagged parents"),
        platforms.flag("Remove this platform only"),
    ),
    at_least=1,
)
