"""What a command is, and what it gets to work with."""

from __future__ import annotations

import os
import sys

from pouch.cli import endpoint, flags
from pouch.cli.errors import ArgumentError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from pouch.cli.client import Client
    from pouch.cli.waiting import Meter

TICK_SECONDS = 0.5


class Context:
    """The surroundings of one call: where the daemon is, and how to reach it."""

    def __init__(self, options: flags.Parsed) -> None:
        """options: the global ones."""
        self.options = options
        self.path = "pouch"
        """The command as it was called, such as `pouch container run`."""
        self._daemon: endpoint.Endpoint | None = None

    @property
    def daemon(self) -> endpoint.Endpoint:
        """Where the daemon is. Asked late: a context that is broken hinders no command that mends it."""
        if self._daemon is None:
            self._daemon = endpoint.choose(self.options)
        return self._daemon

    @property
    def host(self) -> str:
        """The daemon's address."""
        return self.daemon.host

    @property
    def client(self) -> Client:
        """A client of the daemon (connects per request)."""
        from pouch.cli import configuration
        from pouch.cli.client import Client

        return Client(self.daemon.host, tls=self.daemon.tls, extra=configuration.headers())


class Command:
    """One command. `engine_code` is the exit code where the daemon fails it (`run`: 125).

    Flags stand in `options`, or in titled `groups` where there are many.
    """

    def __init__(
        self,
        usage: str,
        summary: str,
        run: Callable[[Context, flags.Parsed], int],
        *,
        options: Sequence[flags.Flag] = (),
        groups: Sequence[tuple[str, Sequence[flags.Flag]]] = (),
        at_least: int = 0,
        at_most: int | None = None,
        interspersed: bool = True,
        engine_code: int = 1,
        notes: str = "",
    ) -> None:
        self.usage = usage
        self.summary = summary
        self.run = run
        given = [flag for _, group in groups for flag in group] + list(options)
        asks_help = flags.switch("help", "" if any(one.short == "h" for one in given) else "h", "Print usage")
        self.groups = (*groups, ("Options", (*options, asks_help)))
        self.options = (*given, asks_help)
        self.at_least = at_least
        self.at_most = at_most
        self.interspersed = interspersed
        self.engine_code = engine_code
        self.notes = notes

    def __repr__(self) -> str:
        return f"<Command {self.usage!r}>"

    def parse(self, argv: Sequence[str], path: str) -> flags.Parsed:
        """Parse and check the number of arguments (not when help is asked)."""
        parsed = flags.parse(self.options, argv, interspersed=self.interspersed)
        if not parsed.on("help"):
            self._check_count(len(parsed.args), path)
        return parsed

    def _check_count(self, count: int, path: str) -> None:
        if self.at_least <= count and (self.at_most is None or count <= self.at_most):
            return
        number = self.at_least if count < self.at_least else self.at_most or 0
        noun = "argument" if number == 1 else "arguments"
        if self.at_most == 0:
            message = f"'{path}' accepts no arguments"
        elif self.at_most == self.at_least:
            message = f"'{path}' requires {number} {noun}"
        else:
            bound = "at least" if count < self.at_least else "at most"
            message = f"'{path}' requires {bound} {number} {noun}"
        raise ArgumentError(
            f"pouch: {message}\n\nUsage:  {path} {self.usage}\n\nRun '{path} --help' for more information"
        )

    def help(self, path: str, width: int = 100, aliases: Sequence[str] = ()) -> str:
        """The text of `--help`. aliases: all ways to call it, without the program's name."""
        column = flags.column_of(self.options)
        parts = [
            f"Usage:  {path} {self.usage}",
            self.summary,
            "Aliases:\n  " + ", ".join(f"pouch {name}" for name in aliases) if len(aliases) > 1 else "",
            *(f"{title}:\n{flags.describe(group, width, column)}" for title, group in self.groups),
            self.notes,
        ]
        return "\n\n".join(part for part in parts if part)


def each(names: Sequence[str], action: Callable[[str], str | None], meter: Meter | None = None) -> int:
    """Do `action` for every name, go on after a failure, print what each returns. The exit code: 1 if any failed.

    meter: a line that `action` may draw, and that makes room for what is printed.
    """
    failed = 0
    for name in names:
        try:
            shown = action(name)
        except CliError as error:
            from pouch.cli.errors import Unreachable

            if isinstance(error, Unreachable):
                raise
            if meter is not None:
                meter.clear()
            warn(error.message)
            failed = 1
        else:
            if meter is not None:
                meter.clear()
            if shown is not None:
                print(shown, flush=True)
    return failed


def together(names: Sequence[str], action: Callable[[str], str | None], meter: Meter | None = None) -> int:
    """As `each`, but all at once: to stop ten containers takes as long as the slowest of them."""
    if len(names) < 2:
        return each(names, action, meter)
    import threading

    outcomes: dict[int, str | BaseException | None] = {}

    def work(place: int) -> None:
        try:
            outcomes[place] = action(names[place])
        except BaseException as error:  # noqa: BLE001 - raised again below, in the one thread that prints
            outcomes[place] = error

    def outcome(place: str) -> str | None:
        while meter is not None and threads[int(place)].is_alive():
            threads[int(place)].join(TICK_SECONDS)
            if threads[int(place)].is_alive():
                meter.tick()
        threads[int(place)].join()
        result = outcomes[int(place)]
        if isinstance(result, BaseException):
            raise result
        return result

    threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(len(names))]
    for thread in threads:
        thread.start()
    return each([str(place) for place in range(len(names))], outcome, meter)


def warn(message: str) -> None:
    """One message to stderr, after all that went to stdout so far. What a container wrote into it cannot steer the terminal."""
    from pouch.cli import table

    sys.stdout.flush()
    print(table.clean(message, keep="\n\t"), file=sys.stderr, flush=True)


def colour_wanted(stream: TextIO | None = None) -> bool:
    """Whether stdout (or `stream`) may be coloured.

    NO_COLOR says no, CLICOLOR_FORCE says yes, also into a pipe; else a terminal may, unless CLICOLOR=0 or TERM=dumb
    (no-color.org, bixense.com/clicolors).
    """
    environment = os.environ
    if environment.get("NO_COLOR"):
        return False
    if environment.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    able = environment.get("CLICOLOR") != "0" and environment.get("TERM", "dumb") not in {"", "dumb"}
    return able and (stream or sys.stdout).isatty()


def columns_of_terminal() -> int:
    """Columns of the terminal that stdout is; 0 where it is none: then nothing is cut."""
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0


def width_of_terminal() -> int:
    """Columns for help and trees."""
    try:
        return max(60, min(os.get_terminal_size(1).columns, 120))
    except OSError:
        return 100
