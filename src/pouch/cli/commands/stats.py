"""`pouch stats`."""

from __future__ import annotations

from pouch.cli import command, configuration, flags


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    from pouch.cli import gauges

    board = gauges.Board(context.client, everything=parsed.on("all"))
    board.watch(parsed.args, stream=not parsed.on("no-stream"))
    template = configuration.list_format(parsed.text("format"), "statsFormat", quiet=False)
    show = gauges.Show(board, template, whole=parsed.on("no-trunc"))
    if parsed.on("no-stream"):
        show.once()
    else:
        show.live()
    return 0


COMMAND = command.Command(
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    _run,
    options=(
        flags.switch("all", "a", "Show all containers (default shows just running)"),
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("no-stream", help="Disable streaming stats and only pull the first result"),
        flags.switch("no-trunc", help="Do not truncate output"),
    ),
    notes=(
        "Without names: all containers that run, those that start meanwhile, too. MEM USAGE is what the container could not give back\n"
        "at once: without the files that the kernel only keeps because there is room."
    ),
)
