"""`pouch`: finds the command, runs it, and turns whatever goes wrong into one message and an exit code."""

from __future__ import annotations

import os
import sys

from pouch.cli import command, endpoint, flags, overview, registry
from pouch.cli.errors import ApiError, CliError, EngineError, FlagError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

GLOBAL_FLAGS = (
    flags.switch("debug", "D", "Show a traceback where the program itself fails"),
    flags.switch("help", "h", "Print usage"),
    flags.text("host", "H", f"Daemon socket to connect to (POUCH_HOST; default {endpoint.DEFAULT_HOST})"),
    *endpoint.FLAGS,
    flags.switch("version", "v", "Print version information and quit"),
)


class Interrupted(int):
    """The exit code of a program that Ctrl-C ended."""


def program() -> NoReturn:
    """The whole program. Ctrl-C ends it as that signal ends programs, so that a shell's loop around it ends, too."""
    import _signal  # type: ignore[import-not-found]  # `signal` itself costs 2 ms

    try:
        if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:  # the launcher's, while it imported us
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    if isinstance(code, Interrupted):
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.kill(os.getpid(), _signal.SIGINT)
    sys.exit(code)


INTERRUPTED = Interrupted(130)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pouch` with these arguments (without the program's name) and return its exit code."""
    _open_streams()
    try:
        code = _guarded(_arguments() if argv is None else list(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) went away; the interpreter must not complain when it flushes its streams at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        return 141
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        command.warn(f"pouch: write to stdout: {error.strerror}")
        return 1
    return code


def _open_streams() -> None:
    """Stand-ins for closed streams (a socket must not become descriptor 0), and UTF-8 whatever the locale says."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(descriptor, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _arguments() -> list[str]:
    """Our arguments, read as UTF-8: what they are in the container must not hang on the locale here."""
    return [os.fsencode(word).decode("utf-8", "surrogateescape") for word in sys.argv[1:]]


def _guarded(argv: list[str]) -> int:
    try:
        return _dispatch(argv)
    except CliError as error:
        command.warn(error.message)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("POUCH_DEBUG", "0") not in {"", "0"}:
            raise
        target = f" {error.filename}" if isinstance(error, OSError) and error.filename else ""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        command.warn(f"pouch:{target} {reason}\nhint: POUCH_DEBUG=1 shows where this happened.")
        return 1


def _dispatch(argv: list[str]) -> int:
    if argv[:1] == ["__complete"]:
        from pouch.cli import completion

        return completion.answer(argv[1:], GLOBAL_FLAGS)
    try:
        options = flags.parse(GLOBAL_FLAGS, argv, interspersed=False)
    except FlagError as error:
        raise CliError(
            f"{error.message}\n\nUsage:  pouch [OPTIONS] COMMAND [ARG...]\n\nRun 'pouch --help' for more information",
            125,
        ) from None
    if options.on("debug"):
        os.environ["POUCH_DEBUG"] = "1"
    if options.on("version"):
        from pouch import __version__

        print(f"pouch version {__version__}")
        return 0
    context = command.Context(options)
    words = options.args
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"] if words[1:] else []
    if not words or options.on("help"):
        print(overview.of_program(GLOBAL_FLAGS))
        return 0
    return _find(context, words)


def _find(context: command.Context, words: list[str]) -> int:
    name, *rest = words
    if name in registry.GROUPS:
        return _group(context, name, rest)
    if name not in registry.TOP:
        raise _unknown(name, "pouch", registry.TOP | dict.fromkeys(registry.GROUPS, ("", "")))
    context.path = f"pouch {name}"
    return _run(context, registry.TOP[name][0], rest)


def _group(context: command.Context, group: str, rest: list[str]) -> int:
    summary, entries = registry.GROUPS[group]
    if not rest or rest[0] in {"--help", "-h"}:
        print(overview.of_group(group, summary, entries))
        return 0
    if rest[0] not in entries:
        raise _unknown(rest[0], f"pouch {group}", entries)
    context.path = f"pouch {group} {rest[0]}"
    return _run(context, entries[rest[0]][0], rest[1:])


def _run(context: command.Context, module: str, argv: list[str]) -> int:
    chosen: command.Command = __import__(f"pouch.cli.commands.{module}", fromlist=["COMMAND"]).COMMAND
    path = context.path
    try:
        parsed = chosen.parse(argv, path)
        if parsed.on("help"):
            print(overview.of_command(chosen, path, module))
            return 0
        return chosen.run(context, parsed)
    except FlagError as error:
        raise CliError(
            f"{error.message}\n\nUsage:  {path} {chosen.usage}\n\nRun '{path} --help' for more information", 125
        ) from None
    except EngineError as error:
        if chosen.engine_code == 1:
            raise
        code = error.exit_code if isinstance(error, ApiError) and error.exit_code is not None else chosen.engine_code
        raise CliError(f"pouch: {error.message}\nSee '{path} --help'.", code) from error


def _unknown(name: str, path: str, entries: registry.Entries) -> CliError:
    if name.startswith("-"):
        return CliError(f"unknown flag: {name}\n\nRun '{path} --help' for more information", 125)
    if path == "pouch" and name in registry.ABSENT:
        return CliError(f"pouch: unknown command: pouch {name}: {registry.ABSENT[name]}")
    from pouch.cli import suggestions

    hint = suggestions.of_command(name, entries)
    return CliError(f"pouch: unknown command: {path} {name}{hint}\n\nRun '{path} --help' for more information")


if __name__ == "__main__":
    sys.exit(main())
