"""The reference of the command line as a document, made of the commands' own definitions (see scripts/make-docs)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pouch.cli import endpoint, flags, main, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.command import Command

INTRODUCTION = """Flags are as with Docker: `-itd` is `-i -t -d`, `--name=x` is `--name x`, `--` ends the flags. `run`, `create`,
`exec` and `top` take no flag of theirs after the first argument: what follows belongs to the container's command."""

EXIT_CODES = """`run`, `start -a`, `attach` and `exec` end with the code of the container's process (128 + n for signal n). Besides: 125 the
daemon refused or a flag is wrong, 126 the program cannot be executed, 127 it was not found, 130 interrupted, 141 nobody reads the
output, 1 anything else."""

ENVIRONMENT = {
    "POUCH_HOST": f"The daemon's socket, where -H is not given (default {endpoint.DEFAULT_HOST}).",
    "POUCH_CONTEXT": "The context, where neither -H, --context nor POUCH_HOST says which daemon is meant.",
    "POUCH_TLS_VERIFY": "If it is not empty, as --tlsverify; POUCH_TLS as --tls.",
    "POUCH_CERT_PATH": "The folder of ca.pem, cert.pem and key.pem, where no option names them (default ~/.docker).",
    "POUCH_DEBUG": "1 shows a traceback where the program itself fails, as -D does.",
    "DOCKER_CONFIG": "The folder of the configuration, config.json (default ~/.docker).",
    "NO_COLOR": "If it is not empty, nothing is coloured.",
    "CLICOLOR": "0: nothing is coloured.",
    "CLICOLOR_FORCE": "Anything but 0: coloured also where the output is no terminal.",
    "TERM": "With dumb, nothing is coloured and no line is redrawn.",
    "COLUMNS": "How wide help and tables are, where the terminal does not say it.",
}
"""Variables that the program reads, with what they do."""

_HEAD = f"""# The command line

Written by `scripts/make-docs` from the commands themselves: change them, not this file.

{INTRODUCTION}

Exit codes: {EXIT_CODES}
"""


def markdown() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *_global(), *_sections()]).rstrip() + "\n"


def _global() -> Iterator[str]:
    yield "## Global options"
    yield from _table(main.GLOBAL_FLAGS)
    yield "## Environment"
    yield ""
    yield "| variable | meaning |"
    yield "|---|---|"
    yield from (f"| `{name}` | {_escaped(meaning)} |" for name, meaning in ENVIRONMENT.items())
    yield ""


def _sections() -> Iterator[str]:
    written: dict[str, str] = {}
    for path, module in commands():
        if module in written:
            continue
        names = [other for other, same in commands() if same == module]
        written[module] = path
        yield from _section(path, names[1:], command_of(module))


def commands() -> Iterator[tuple[str, str]]:
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
