"""`pouch tag`."""

from __future__ import annotations

from pouch.cli import command, flags, names
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    source, target = parsed.args
    repository, tag = names.split(target)
    context.client.post(f"/images/{segment(source)}/tag", {"repo": repository, "tag": tag or None})
    return 0


COMMAND = command.Command(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    _run,
    at_least=2,
    at_most=2,
)
