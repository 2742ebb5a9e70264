"""`pouch import`."""

from __future__ import annotations

from pouch.cli import command, flags, names, progress, tty, uploads
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    source, *name = parsed.args
    if "://" in source:
        raise CliError(
            f"pouch: import {source}: addresses are not fetched\nhint: `curl -L ADDRESS | pouch import - NAME`."
        )
    if source == "-" and tty.is_terminal(0):
        raise CliError(
            "pouch: requested import from stdin, but stdin is a terminal\nhint: `... | pouch import - NAME`."
        )
    repository, tag = names.split(name[0]) if name else ("", "")
    query = {
        "fromSrc": "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": parsed.text("message") or None,
        "changes": parsed.many("change"),
        "platform": parsed.text("platform") or None,
    }
    upload = uploads.pieces("" if source == "-" else source)
    progress.show(context.client.request("POST", "/images/create", query, upload=upload))
    return 0


COMMAND = command.Command(
    "[OPTIONS] FILE|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    _run,
    options=(
        flags.many("change", "c", "Apply Dockerfile instruction to the created image"),
        flags.text("message", "m", "Set commit message for imported image"),
        flags.text("platform", help="For which platform it is (os/architecture[/variant])", value="platform"),
    ),
    at_least=1,
    at_most=2,
    notes="The tarball may be compressed with gzip or zstd.",
)
