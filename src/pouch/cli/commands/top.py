"""`pouch top`."""

from __future__ import annotations

from pouch.cli import command, flags, table
from pouch.cli.client import segment
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    name, *options = parsed.args
    path = f"/containers/{segment(name)}"
    if "--tree" in options:  # ps has no such option
        parsed, options = _with_later(parsed, options)
    if not parsed.on("tree"):
        found = context.client.get(f"{path}/top", {"ps_args": " ".join(options) or None})
        rows = [found["Titles"], *(found["Processes"] or ())]
        print(table.columns([[table.clean(cell) for cell in row] for row in rows], narrowest=20))
        return 0
    if options:
        raise CliError("pouch: --tree takes no ps options")
    from pouch.cli import tree

    processes = context.client.get(f"{path}/tree") or []
    if parsed.text("format") == "json":
        import json

        print(json.dumps(processes, ensure_ascii=False, indent=4))
    else:
        width = 0 if parsed.on("no-trunc") else command.columns_of_terminal()
        print(tree.draw(processes, colour=command.colour_wanted(), width=width))
    return 0


def _with_later(parsed: flags.Parsed, options: list[str]) -> tuple[flags.Parsed, list[str]]:
    """The flags that stand before the name and those behind it, and what is left. Raises FlagError."""
    before = [f"--{flag.name}={parsed.text(flag.name)}" for flag in COMMAND.options if parsed.given(flag.name)]
    all_of_them = flags.parse(COMMAND.options, [*before, *options])
    return all_of_them, all_of_them.args


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    _run,
    options=(
        flags.switch("tree", help="All processes as a tree, by what they belong to: init, app, system services, kits"),
        flags.text("format", help="With --tree: json", value="format"),
        flags.switch("no-trunc", help="With --tree: whole commands, however wide the terminal is"),
    ),
    at_least=1,
    interspersed=False,
    notes="Flags stand before the container's name: what follows it goes to ps(1) on the host, `-ef` by default, unless it has --tree. "
    "--tree names the unit or service of each process, its threads, and zombies.",
)
