"""Manual pages, made of the commands' own definitions (see scripts/make-docs): pouch(1), and one for every command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pouch import __version__
from pouch.cli import flags, main, reference, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.command import Command

SECTION = 1


def pages() -> dict[str, str]:
    """File name -> text (roff, man macros). Another way to call a command is a page that includes the command's."""
    found = {"pouch.1": _program()}
    for group, (summary, entries) in registry.GROUPS.items():
        found[f"pouch-{group}.1"] = _group(group, summary, entries)
    first: dict[str, str] = {}
    for path, module in reference.commands():
        name = path.replace(" ", "-")
        if module in first:
            found[f"{name}.1"] = f".so man1/{first[module]}.1\n"
        else:
            first[module] = name
            found[f"{name}.1"] = _command(path, registry.paths_of(module), reference.command_of(module))
    return found


def text(words: str) -> str:
    """A text as roff has to see it: nothing in it is a request, an escape or a ligature."""
    escaped = words.replace("\\", "\\(rs").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    escaped = escaped.replace("^", "\\(ha").replace("~", "\\(ti").replace('"', "\\(dq")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def _head(name: str, summary: str) -> Iterator[str]:
    yield f'.TH {text(name.upper())} {SECTION} "" "pouch {text(__version__)}" "Pouch"'
    yield ".ad l"  # no stretched lines
    yield ".SH NAME"
    yield f"{text(name)} \\- {text(summary)}"


def _synopsis(lines: Sequence[str]) -> Iterator[str]:
    yield ".SH SYNOPSIS"
    yield ".nf"
    yield from (_bold_beginning(line) for line in lines)
    yield ".fi"


def _bold_beginning(line: str) -> str:
    """The words in small letters (the command) bold, the rest as it is."""
    words = line.split()
    count = next((place for place, word in enumerate(words) if not word.islower() or "[" in word), len(words))
    rest = " ".join(words[count:])
    return f"\\fB{text(' '.join(words[:count]))}\\fR" + (f" {text(rest)}" if rest else "")


def _options(title: str, group: Sequence[flags.Flag]) -> Iterator[str]:
    shown = [flag for flag in sorted(group, key=lambda flag: flag.name) if flag.help]
    if shown:
        yield f".SH {text(title.upper())}"
    for flag in shown:
        names = [f"\\fB{text(name)}\\fR" for name in ([f"-{flag.short}"] if flag.short else []) + [f"--{flag.name}"]]
        value = f" \\fI{text(flag.value_name)}\\fR" if flag.value_name else ""
        yield ".TP"
        yield ", ".join(names) + value
        yield text(flags.meaning(flag)) + "."


def _described(entries: registry.Entries, group: str = "") -> Iterator[str]:
    for name, (_, summary) in entries.items():
        if summary:
            page = f"pouch-{group}-{name}" if group else f"pouch-{name}"
            yield ".TP"
            yield f"\\fB{text(page)}\\fR(1)"
            yield text(summary) + "."


def _program() -> str:
    groups: registry.Entries = {name: ("", summary) for name, (summary, _) in sorted(registry.GROUPS.items())}
    lines = [
        *_head("pouch", "rich containers: images that run like machines"),
        *_synopsis(["pouch [OPTIONS] COMMAND [ARG...]"]),
        ".SH DESCRIPTION",
        text(reference.INTRODUCTION.split("\n\n")[0].replace("`", "").replace("\n", " ")),
        *_options("Global options", main.GLOBAL_FLAGS),
        ".SH COMMON COMMANDS",
        *_described(registry.COMMON),
        ".SH MANAGEMENT COMMANDS",
        *_described(groups),
        ".SH CONTAINER COMMANDS",
        *_described(registry.CONTAINERS),
        ".SH IMAGE COMMANDS",
        *_described(registry.IMAGES),
        ".SH OTHER COMMANDS",
        *_described(registry.OTHERS),
        *_environment(),
        *_exit_status(),
    ]
    return "\n".join(lines) + "\n"


def _environment() -> Iterator[str]:
    yield ".SH ENVIRONMENT"
    for name, meaning in reference.ENVIRONMENT.items():
        yield ".TP"
        yield f"\\fB{text(name)}\\fR"
        yield text(meaning)


def _exit_status() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    yield text(reference.EXIT_CODES.replace("`", "").replace("\n", " "))


def _group(group: str, summary: str, entries: registry.Entries) -> str:
    lines = [
        *_head(f"pouch-{group}", summary.lower()),
        *_synopsis([f"pouch {group} COMMAND [ARG...]"]),
        ".SH COMMANDS",
        *_described(entries, group),
        ".SH SEE ALSO",
        "\\fBpouch\\fR(1)",
    ]
    return "\n".join(lines) + "\n"


def _command(path: str, others: Sequence[str], one: Command) -> str:
    calls = [path, *(f"pouch {other}" for other in others if f"pouch {other}" != path)]
    lines = [
        *_head(path.replace(" ", "-"), one.summary),
        *_synopsis([f"{call} {one.usage}" for call in calls]),
        ".SH DESCRIPTION",
        text(one.summary) + ".",
    ]
    for title, group in one.groups:
        lines += _options(title, group)
    if one.notes:
        lines += [".SH NOTES", ".nf", *(text(line) or ".sp" for line in one.notes.split("\n")), ".fi"]
    lines += [*_exit_status(), ".SH SEE ALSO", "\\fBpouch\\fR(1)"]
    return "\n".join(lines) + "\n"
