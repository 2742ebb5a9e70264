"""The texts of `--help`: of the program, of a group, of a command. Headings stand out where the terminal can show it."""

from __future__ import annotations

from pouch.cli import command, flags, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pouch.cli.command import Command


def of_program(global_flags: Sequence[flags.Flag]) -> str:
    """All commands by topic."""
    groups = {name: ("", summary) for name, (summary, _) in sorted(registry.GROUPS.items())}
    sections = (
        ("Common Commands", registry.COMMON),
        ("Management Commands", groups),
        ("Container Commands", registry.CONTAINERS),
        ("Image Commands", registry.IMAGES),
        ("Other Commands", registry.OTHERS),
    )
    width = command.width_of_terminal()
    return "\n\n".join(
        [
            f"{_strong('Usage:')}  pouch [OPTIONS] COMMAND",
            "Rich containers: images that run like machines, with init, services and your app",
            *(f"{_strong(title + ':')}\n{registry.listing(entries, width)}" for title, entries in sections),
            f"{_strong('Global Options:')}\n{flags.describe(global_flags, width)}",
            "Run 'pouch COMMAND --help' for more information on a command.",
        ]
    )


def of_group(group: str, summary: str, entries: registry.Entries) -> str:
    """The commands of a group."""
    return "\n\n".join(
        [
            f"{_strong('Usage:')}  pouch {group} COMMAND",
            summary,
            f"{_strong('Commands:')}\n{registry.listing(entries, command.width_of_terminal())}",
            f"Run 'pouch {group} COMMAND --help' for more information on a command.",
        ]
    )


def of_command(chosen: Command, path: str, module: str) -> str:
    """One command, and how else it is called."""
    text = chosen.help(path, command.width_of_terminal(), aliases=registry.paths_of(module))
    if not command.colour_wanted():
        return text
    return "\n".join(_strong(line) if line[:1].isalpha() and line.endswith(":") else line for line in text.split("\n"))


def _strong(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if command.colour_wanted() else text
