"""`pouch cp`."""

from __future__ import annotations

import os

from pouch.cli import command, flags
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    source, destination = parsed.args
    if not source or not destination:
        raise CliError(f"pouch: {'destination' if source else 'source'} can not be empty")
    from_container, source_path = split(source)
    to_container, destination_path = split(destination)
    if from_container and to_container:
        raise CliError("pouch: copying between containers is not supported")
    if not from_container and not to_container:
        raise CliError("pouch: must specify at least one container source")
    from pouch.cli import copying

    job = copying.Copy(
        context.client, from_container or to_container, follow=parsed.on("follow-link"), quiet=parsed.on("quiet")
    )
    if from_container:
        job.take(source_path, destination_path)
    else:
        job.give(source_path, destination_path, owned=parsed.on("archive"))
    return 0


def split(text: str) -> tuple[str, str]:
    """Container and path of `CONTAINER:PATH`; no container for a path of this host: an absolute one, one that begins with a dot."""
    name, colon, path = text.partition(":")
    if os.path.isabs(text) or not colon or name.startswith("."):
        return "", text
    return name, path


COMMAND = command.Command(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        pouch cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem",
    _run,
    options=(
        flags.switch("archive", "a", "Archive mode (copy all uid/gid information)"),
        flags.switch("follow-link", "L", "Always follow symlinks in SRC_PATH"),
        flags.switch(
            "quiet",
            "q",
            "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
        ),
    ),
    at_least=2,
    at_most=2,
    notes=(
        "`-` as the source reads a tar archive from stdin and unpacks it in a directory of the container; as the destination it writes one\n"
        "to stdout. The container need not run. `/.` at the end of SRC_PATH means what a directory holds."
    ),
)
