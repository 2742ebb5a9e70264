"""What can stand at the end of a line that somebody is typing: asked by the shells' scripts as `pouch __complete WORDS...`.

All of it comes from the commands' own definitions: the usage says what the arguments are (`NETWORK CONTAINER`), a flag's
value name what its value is (`file`, `signal`), its help which choices there are (`(missing|always|never)`). What the
definitions do not say stands in `completion_values`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pouch.cli import command, completion_values, flags, registry
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.completion_values import Candidates


class Line:
    """The words before the one that is being typed, taken apart as the command would take them."""

    def __init__(self, options: Sequence[flags.Flag], *, interspersed: bool) -> None:
        self.by_name = {flag.name: flag for flag in options}
        self._by_short = {flag.short: flag for flag in options if flag.short}
        self._interspersed = interspersed
        self.arguments: list[str] = []
        self.given: list[str] = []
        """Names of the flags so far."""
        self.waiting: flags.Flag | None = None
        """The flag whose value comes next."""
        self.only_arguments = False

    def __repr__(self) -> str:
        return f"<Line {self.given} {self.arguments}{' ' + repr(self.waiting) if self.waiting else ''}>"

    def take(self, word: str) -> None:
        """One more word."""
        if self.waiting is not None:
            self.waiting = None
        elif self.only_arguments:
            self.arguments.append(word)
        elif word == "--":
            self.only_arguments = True
        elif word.startswith("--"):
            self._long(word[2:])
        elif word.startswith("-") and len(word) > 1:
            self._shorts(word[1:])
        else:
            self.arguments.append(word)
            self.only_arguments = not self._interspersed

    def _long(self, word: str) -> None:
        name, equals, _ = word.partition("=")
        self._met(self.by_name.get(name), alone=not equals)

    def _shorts(self, cluster: str) -> None:
        for place, letter in enumerate(cluster):
            flag = self._by_short.get(letter)
            if flag is None or flag.optional is None:
                self._met(flag, alone=place == len(cluster) - 1)
                return
            self.given.append(flag.name)

    def _met(self, flag: flags.Flag | None, *, alone: bool) -> None:
        if flag is not None:
            self.given.append(flag.name)
            self.waiting = flag if alone and flag.optional is None else None


def answer(words: Sequence[str], global_flags: Sequence[flags.Flag]) -> int:
    """Print what fits in place of the last word. What cannot be found out is left out: nobody wants errors in a prompt."""
    *before, typed = words or [""]
    try:
        found = candidates(before, typed, global_flags)
    except (CliError, OSError, ValueError, LookupError, TypeError, AttributeError):  # also an answer that is none
        found = completion_values.Candidates()
    print(found.how)
    for value, meaning in found.matching(typed):
        print(f"{value}\t{meaning}" if meaning else value)
    return 0


def candidates(before: Sequence[str], typed: str, global_flags: Sequence[flags.Flag]) -> Candidates:
    """Candidates for `typed` after the words `before` (without the program's name). Raises CliError."""
    line = Line(global_flags, interspersed=False)
    for place, word in enumerate(before):
        line.take(word)
        if line.arguments:
            context = command.Context(flags.parse(global_flags, before[:place], interspersed=False))
            return _within(context, word, before[place + 1 :])(typed)
    context = command.Context(flags.parse(global_flags, ()))
    source = completion_values.Source(context)
    return _word(line, typed, source, lambda: _names(registry.TOP, _groups()))


def _groups() -> registry.Entries:
    return {name: ("", summary) for name, (summary, _) in registry.GROUPS.items()}


def _names(*several: registry.Entries) -> Candidates:
    return completion_values.Candidates(
        (name, summary) for entries in several for name, (_, summary) in entries.items() if summary
    )


def _within(context: command.Context, name: str, before: Sequence[str]) -> Callable[[str], Candidates]:
    """After the first word, a command's or a group's name: what answers with candidates for a word."""
    if name == "help":
        return lambda typed: completion_values.Candidates() if before else _names(registry.TOP, _groups())
    entries = registry.TOP
    if name in registry.GROUPS:
        entries = registry.GROUPS[name][1]
        if not before:
            return lambda typed: _names(entries)
        name, *before = before
    if name not in entries:
        return lambda typed: completion_values.Candidates()
    module = entries[name][0]
    chosen: command.Command = __import__(f"pouch.cli.commands.{module}", fromlist=["COMMAND"]).COMMAND
    line = Line(chosen.options, interspersed=chosen.interspersed)
    for word in before:
        line.take(word)
    source = completion_values.Source(context, module, line.arguments)
    return lambda typed: _word(line, typed, source, lambda: source.argument(arguments(chosen.usage)))


def _word(line: Line, typed: str, source: completion_values.Source, argument: Callable[[], Candidates]) -> Candidates:
    """A flag's value, a flag, or an argument."""
    if line.waiting is not None:
        return source.value(line.waiting)
    if typed.startswith("--") and "=" in typed and not line.only_arguments:
        name = typed[2:].partition("=")[0]
        flag = line.by_name.get(name)
        return source.value(flag).after(f"--{name}=") if flag else completion_values.Candidates()
    return _flags(line) if typed.startswith("-") and not line.only_arguments else argument()


def _flags(line: Line) -> Candidates:
    """Flags that may still be given; one that is hidden from help is hidden here."""
    return completion_values.Candidates(
        (f"--{flag.name}", flag.help)
        for name, flag in sorted(line.by_name.items())
        if flag.help and (flag.kind == flags.LIST or name not in line.given)
    )


def arguments(usage: str) -> list[str]:
    """`[OPTIONS] CONTAINER [CONTAINER...]` to `["CONTAINER", "CONTAINER..."]`."""
    return [word.strip("[]") for word in usage.split() if word != "[OPTIONS]"]
