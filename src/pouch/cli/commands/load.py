"""`pouch load`."""

from __future__ import annotations

from pouch.cli import command, flags, platforms, progress, tty, uploads
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    path = parsed.text("input")
    if not path and tty.is_terminal(0):
        raise CliError(
            "pouch: requested load from stdin, but stdin is empty\nhint: `pouch load -i FILE`, or `... | pouch load`."
        )
    query = {"quiet": parsed.on("quiet"), "platform": platforms.query(parsed)}
    response = context.client.request("POST", "/images/load", query, upload=uploads.pieces(path))
    progress.show(response, quiet=parsed.on("quiet"))
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Load an image from a tar archive or STDIN",
    _run,
    options=(
        flags.text("input", "i", "Read from tar archive file, instead of STDIN", value="file"),
        platforms.flag("Load this platform only"),
        flags.switch("quiet", "q", "Suppress the load output"),
    ),
    at_most=0,
    notes="Archives of `docker save`, OCI archives, plain or compressed with gzip or zstd.",
)
