"""`pouch context update`."""

from __future__ import annotations

from pouch.cli import command, context_flags, contexts, flags


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    (name,) = parsed.args
    contexts.check_name(name)
    store = contexts.Store()
    store.put(context_flags.changed(context, store, store.get(name), name, parsed))
    return context_flags.said(name, f'Successfully updated context "{name}"')


COMMAND = command.Command(
    "[OPTIONS] CONTEXT",
    "Update a context",
    _run,
    options=(context_flags.DESCRIPTION, context_flags.DOCKER),
    at_least=1,
    at_most=1,
    notes=context_flags.NOTES,
)
