"""To have an image here: `pull`, and what `run` and `create` do about a missing one."""

from __future__ import annotations

from pouch.cli import credentials, names, progress
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from pouch.cli.client import Client


def meant(name: str, *, everything: bool, quiet: bool) -> str:
    """The name that `pull` and `push` take for a written one, told where it is completed. everything: all tags are meant, so it has none."""
    if names.is_tagged(name):
        if everything:
            raise CliError("pouch: tag can't be used with --all-tags/-a")
        return name
    if everything:
        return name
    if not quiet:
        print("Using default tag: latest", flush=True)
    return names.tagged(name)


def pull(
    client: Client,
    name: str,
    *,
    platform: str = "",
    all_tags: bool = False,
    quiet: bool = False,
    out: TextIO | None = None,
) -> None:
    """Pull an image, or all of its repository, and show how far it is. Raises EngineError."""
    repository, tag = names.split(name if all_tags else names.tagged(name))
    query = {"fromImage": repository, "tag": tag or None, "platform": platform or None}
    response = client.request("POST", "/images/create", query, headers=credentials.header(client, name))
    progress.show(response, quiet=quiet, out=out)


def spelled_out(client: Client, name: str) -> str:
    """The full name of an image, with the registry that the daemon asks where the name says none."""
    return names.canonical(name, names.Defaults() if names.domain(name) else names.defaults(client))
