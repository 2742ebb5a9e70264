"""`pouch commit`."""

from __future__ import annotations

from pouch.cli import command, flags, names, waiting


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    container, *name = parsed.args
    repository, tag = names.split(name[0]) if name else ("", "")
    query = {
        "container": container,
        "repo": repository or None,
        "tag": tag or None,
        "author": parsed.text("author") or None,
        "comment": parsed.text("message") or None,
        "changes": parsed.many("change"),
        "pause": parsed.on("pause"),
    }
    with waiting.Meter(f"Committing {container}") as meter:
        made = context.client.telling(meter.tick).post("/commit", query)
    print(made["Id"])
    return 0


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    _run,
    options=(
        flags.text("author", "a", 'Author (e.g., "Ann <ann@example.org>")'),
        flags.many("change", "c", "Apply Dockerfile instruction to the created image"),
        flags.text("message", "m", "Commit message"),
        flags.switch("pause", "p", "Pause container during commit", default=True),
    ),
    at_least=1,
    at_most=2,
)
