"""`pouch push`."""

from __future__ import annotations

from pouch.cli import command, credentials, flags, names, platforms, progress, pulling
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    everything, quiet = parsed.on("all-tags"), parsed.on("quiet")
    name = pulling.meant(parsed.args[0], everything=everything, quiet=quiet)
    client = context.client
    repository, tag = names.split(name)
    # A header also without credentials: a daemon looks for them in the body otherwise.
    headers = credentials.header(client, name) or credentials.Login("").header()
    path = f"/images/{segment(repository)}/push"
    query = {"tag": tag or None, "platform": platforms.query(parsed)}
    progress.show(client.request("POST", path, query, headers=headers), quiet=quiet)
    if quiet:
        print(pulling.spelled_out(client, name))
    return 0


COMMAND = command.Command(
    "[OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
    _run,
    options=(
        flags.switch("all-tags", "a", "Push all tags of an image to the repository"),
        flags.switch("disable-content-trust", help="", default=True),
        platforms.flag("Push this platform only"),
        flags.switch("quiet", "q", "Only print the name of the image"),
    ),
    at_least=1,
    at_most=1,
)
