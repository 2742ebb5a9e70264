"""`pouch context show`."""

from __future__ import annotations

from pouch.cli import command, endpoint, flags


def _run(context: command.Context, parsed: flags.Parsed) -> int:  # noqa: ARG001
    print(endpoint.chosen_context(context.options))
    return 0


COMMAND = command.Command("", "Print the name of the current context", _run, at_most=0)
