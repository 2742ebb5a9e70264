"""`pouch context create`."""

from __future__ import annotations

from pouch.cli import command, context_flags, contexts, flags
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    (name,) = parsed.args
    contexts.check_name(name)
    store = contexts.Store()
    if store.exists(name):
        raise CliError(f'context "{name}" already exists')
    if parsed.text("from"):
        base = context_flags.find(context, store, parsed.text("from"))
    else:
        base = context_flags.empty(name) if parsed.given("docker") else context_flags.default(context)
    store.put(context_flags.changed(context, store, base, name, parsed))
    return context_flags.said(name, f'Successfully created context "{name}"')


COMMAND = command.Command(
    "[OPTIONS] CONTEXT",
    "Create a context",
    _run,
    options=(
        context_flags.DESCRIPTION,
        context_flags.DOCKER,
        flags.text("from", help="Create context from a named context"),
    ),
    at_least=1,
    at_most=1,
    notes=context_flags.NOTES,
)
