"""`pouch load`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pouch.cli import command, flags, progress, tty
from pouch.cli.errors import CliError

PIECE = 1 << 18


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    path = parsed.text("input")
    if not path and tty.is_terminal(0):
        raise CliError(
            "pouch: requested load from stdin, but stdin is empty\nhint: `pouch load -i FILE`, or `... | pouch load`."
        )
    descriptor = _open(path) if path else 0
    try:
        response = context.client.request(
            "POST", "/images/load", {"quiet": parsed.on("quiet")}, upload=_pieces(descriptor, path or "stdin")
        )
        progress.show(response, quiet=parsed.on("quiet"))
    finally:
        if path:
            os.close(descriptor)
    return 0


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CliError(f"pouch: open {path}: {(error.strerror or str(error)).lower()}") from None


def _pieces(descriptor: int, name: str) -> Iterator[bytes]:
    try:
        while piece := os.read(descriptor, PIECE):
            yield piece
    except OSError as error:
        raise CliError(f"pouch: read {name}: {(error.strerror or str(error)).lower()}") from None


COMMAND = command.Command(
    "[OPTIONS]",
    "Load an image from a tar archive or STDIN",
    _run,
    options=(
        flags.text("input", "i", "Read from tar archive file, instead of STDIN", value="file"),
        flags.switch("quiet", "q", "Suppress the load output"),
    ),
    at_most=0,
    notes="Archives of `docker save`, OCI archives, plain or compressed with gzip or zstd.",
)
