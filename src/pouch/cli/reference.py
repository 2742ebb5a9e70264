"""The reference of the command line as a document, made of the commands' own definitions (see scripts/make-docs)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pouch.cli import flags, main, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.command import Command

_HEAD = """# The command line

Written by `scripts/make-docs` from the commands themselves: change them, not this file.

Flags are as with Docker: `-itd` is `-i -t -d`, `--name=x` is `--name x`, `--` ends the flags. `run`, `create`, `exec` and `top` take
no flag of theirs after the first argument: what follows belongs to the container's command.

Exit codes: `run`, `start -a`, `attach` and `exec` end with the code of the container's process (128 + n for signal n). Besides: 125 the
daemon refused or a flag is wrong, 126 the program cannot be executed, 127 it was not found, 130 interrupted, 1 anything else.
"""


def markdown() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *_global(), *_sections()]).rstrip() + "\n"


def _global() -> Iterator[str]:
    yield "## Global options"
    yield from _table(main.GLOBAL_FLAGS)


def _sections() -> Iterator[str]:
    written: dict[str, str] = {}
    for path, module in _commands():
        if module in written:
            continue
        names = [other for other, same in _commands() if same == module]
        written[module] = path
        yield from _section(path, names[1:], command_of(module))


def _commands() -> Iterator[tuple[str, str]]:
    """Every way to call every command: its path and its module."""
    for name, (module, _) in sorted(registry.TOP.items()):
        yield f"pouch {name}", module
    for group, (_, entries) in sorted(registry.GROUPS.items()):
        for name, (module, _) in sorted(entries.items()):
            yield f"pouch {group} {name}", module


def command_of(module: str) -> Command:
    """The command of a module below `commands`."""
    found: Command = __import__(f"pouch.cli.commands.{module}", fromlist=["COMMAND"]).COMMAND
    return found


def _section(path: str, others: list[str], one: Command) -> Iterator[str]:
    yield f"## {path}\n"
    yield f"{one.summary}.\n"
    yield f"```\n{path} {one.usage}\n```\n"
    if others:
        yield "Also: " + ", ".join(f"`{other}`" for other in others) + "\n"
    for title, group in one.groups:
        if len(one.groups) > 1:
            yield f"### {title}\n"
        yield from _table(group)
    if one.notes:
        yield f"```\n{one.notes}\n```\n" if "\n" in one.notes else f"{one.notes}\n"


def _table(group: Sequence[flags.Flag]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for flag in sorted(group, key=lambda flag: flag.name):
        if flag.help:
            shown = flags.head(flag).strip().replace("|", "\\|")
            yield f"| `{shown}` | {_escaped(flags.meaning(flag))} |"
    yield ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
