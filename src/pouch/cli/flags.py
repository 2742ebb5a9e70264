"""Flags as Docker's command line has them (pflag's rules): `-itd`, `-eK=V`, `--name=x`, `--`, options that stop at the first argument.

Written by hand because argparse cannot stop at the image name reliably, costs 9 ms to import, and words its errors otherwise.
"""

from __future__ import annotations

from pouch.cli.errors import FlagError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Check = Callable[[str], object]

BOOL, TEXT, INT, LIST = "", "string", "int", "list"
TRUE = ("1", "t", "T", "true", "TRUE", "True")
FALSE = ("0", "f", "F", "false", "FALSE", "False")


class Flag:
    """One flag. `check` raises ValueError with the reason a value is refused; `optional` is the value of the bare flag."""

    __slots__ = ("check", "default", "help", "kind", "name", "optional", "short", "value_name")

    def __init__(
        self,
        name: str,
        short: str,
        help: str,
        kind: str,
        default: str,
        value_name: str,
        check: Check | None,
        optional: str | None,
    ) -> None:
        self.name = name
        self.short = short
        self.help = help
        self.kind = kind
        self.default = default
        self.value_name = value_name
        self.check = check
        self.optional = optional

    def __repr__(self) -> str:
        return f"<Flag --{self.name} {self.kind or 'bool'}>"

    @property
    def shown(self) -> str:
        """As an error message names it."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def switch(name: str, short: str = "", help: str = "", *, default: bool = False) -> Flag:
    """A flag without a value (`--name=false` is understood)."""
    return Flag(name, short, help, BOOL, "true" if default else "false", "", None, "true")


def text(
    name: str, short: str = "", help: str = "", *, default: str = "", value: str = "string", check: Check | None = None
) -> Flag:
    """A flag with one text; the last one given counts."""
    return Flag(name, short, help, TEXT, default, value, check, None)


def integer(name: str, short: str = "", help: str = "", *, default: int = 0) -> Flag:
    """A flag with a whole number."""
    return Flag(name, short, help, INT, str(default), "int", None, None)


def many(name: str, short: str = "", help: str = "", *, value: str = "list", check: Check | None = None) -> Flag:
    """A flag that may be given several times."""
    return Flag(name, short, help, LIST, "", value, check, None)


class Parsed:
    """The flags and arguments of one call."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._flags = {flag.name: flag for flag in flags}
        self._values: dict[str, list[str]] = {}
        self.args: list[str] = []

    def __repr__(self) -> str:
        return f"<Parsed {self._values} {self.args}>"

    def set(self, flag: Flag, value: str) -> None:
        """Record a value after checking it."""
        _check(flag, value)
        self._values.setdefault(flag.name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._flags

    def given(self, name: str) -> bool:
        """Whether the user wrote this flag."""
        return name in self._values

    def on(self, name: str) -> bool:
        """The value of a switch."""
        return self.text(name) in TRUE

    def text(self, name: str) -> str:
        """The last value given, or the flag's default."""
        values = self._values.get(name)
        return values[-1] if values else self._flags[name].default

    def integer(self, name: str) -> int:
        """The last value given as a number."""
        return int(self.text(name), 0)

    def many(self, *names: str) -> list[str]:
        """All values, of one flag or of several."""
        return [value for name in names for value in self._values.get(name, [])]


def _check(flag: Flag, value: str) -> None:
    try:
        if flag.kind == BOOL and value not in TRUE + FALSE:
            raise ValueError(f'strconv.ParseBool: parsing "{value}": invalid syntax')
        if flag.kind == INT:
            _check_integer(value)
        if flag.check is not None:
            flag.check(value)
    except ValueError as error:
        raise FlagError(f'invalid argument "{value}" for "{flag.shown}" flag: {error}') from None


def _check_integer(value: str) -> None:
    try:
        int(value, 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


def parse(flags: Sequence[Flag], argv: Sequence[str], *, interspersed: bool = True) -> Parsed:
    """Split `argv` into flags and arguments. Without `interspersed` all after the first argument is left as it is."""
    parsed = Parsed(flags)
    by_name = {flag.name: flag for flag in flags}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.args += rest
            break
        if word.startswith("--"):
            _long(word[2:], rest, by_name, parsed)
        elif word.startswith("-") and len(word) > 1:
            _shorts(word[1:], rest, flags, parsed)
        else:
            parsed.args.append(word)
            if not interspersed:
                parsed.args += rest
                break
    return parsed


def _long(word: str, rest: list[str], by_name: dict[str, Flag], parsed: Parsed) -> None:
    name, equals, value = word.partition("=")
    flag = by_name.get(name)
    if flag is None:
        from pouch.cli import suggestions

        raise FlagError(f"unknown flag: --{name}{suggestions.of_flag(name, by_name.values())}")
    if equals:
        parsed.set(flag, value)
    elif flag.optional is not None:
        parsed.set(flag, flag.optional)
    elif rest:
        parsed.set(flag, rest.pop(0))
    else:
        raise FlagError(f"flag needs an argument: --{name}")


def _shorts(cluster: str, rest: list[str], flags: Sequence[Flag], parsed: Parsed) -> None:
    by_short = {flag.short: flag for flag in flags if flag.short}
    whole = cluster
    while cluster:
        letter, cluster = cluster[0], cluster[1:]
        flag = by_short.get(letter)
        if flag is None:
            from pouch.cli import suggestions

            near = suggestions.of_flag(whole, flags, whole=True)
            raise FlagError(f"unknown shorthand flag: '{letter}' in -{whole}{near}")
        if cluster.startswith("="):
            parsed.set(flag, cluster[1:])
            return
        if flag.optional is not None:
            parsed.set(flag, flag.optional)
            continue
        if not cluster and not rest:
            raise FlagError(f"flag needs an argument: '{letter}' in -{whole}")
        parsed.set(flag, cluster or rest.pop(0))
        return


def describe(flags: Sequence[Flag], width: int = 100, column: int = 0) -> str:
    """The options part of a help text, sorted by name and wrapped to `width` columns. A flag without help is hidden.

    `column`: where the help begins; 0 chooses by the longest flag.
    """
    heads = [(head(flag), meaning(flag)) for flag in sorted(flags, key=lambda flag: flag.name) if flag.help]
    column = column or column_of(flags)
    lines = []
    for shown, help in heads:
        first, *others = wrap(help, max(width - column, 30))
        lines.append(f"{shown:<{column}}{first}")
        lines += [" " * column + line for line in others]
    return "\n".join(lines)


def head(flag: Flag) -> str:
    """`  -e, --env list`."""
    short = f"-{flag.short}, " if flag.short else "    "
    return f"  {short}--{flag.name} {flag.value_name}".rstrip()


def column_of(flags: Sequence[Flag]) -> int:
    """Where the help texts of these flags begin."""
    return max((len(head(flag)) for flag in flags if flag.help), default=0) + 3


def meaning(flag: Flag) -> str:
    """Its help with the default."""
    return flag.help + _default(flag)


def _default(flag: Flag) -> str:
    if flag.default in {"", "false", "0"}:
        return ""
    shown = f'"{flag.default}"' if flag.kind == TEXT else flag.default
    return f" (default {shown})"


def wrap(words: str, width: int) -> list[str]:
    """A text in lines of at most `width` columns, cut between words."""
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
