"""`pouch pull`."""

from __future__ import annotations

from pouch.cli import command, flags, pulling


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    everything, quiet = parsed.on("all-tags"), parsed.on("quiet")
    name = pulling.meant(parsed.args[0].removesuffix(":"), everything=everything, quiet=quiet)
    client = context.client
    pulling.pull(client, name, platform=parsed.text("platform"), all_tags=everything, quiet=quiet)
    print(pulling.spelled_out(client, name))
    return 0


COMMAND = command.Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    _run,
    options=(
        flags.switch("all-tags", "a", "Download all tagged images in the repository"),
        flags.switch("disable-content-trust", help="", default=True),
        flags.text("platform", help="Which of a multi-platform image (os/architecture[/variant])", value="platform"),
        flags.switch("quiet", "q", "Only print the name of the image"),
    ),
    at_least=1,
    at_most=1,
    notes="""Ctrl-C stops the pull and leaves nothing of it. What a registry's failure interrupted goes on with the next pull.""",
)
