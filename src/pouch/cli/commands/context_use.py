"""`pouch context use`."""

from __future__ import annotations

import os

from pouch.cli import command, context_flags, contexts, endpoint, flags


def _run(context: command.Context, parsed: flags.Parsed) -> int:  # noqa: ARG001
    (name,) = parsed.args
    if name != endpoint.DEFAULT_CONTEXT:
        contexts.check_name(name)
    contexts.Store().use(name)
    context_flags.said(name, f'Current context is now "{name}"')
    if os.environ.get("POUCH_HOST") and name != endpoint.DEFAULT_CONTEXT:
        command.warn(
            f'Warning: POUCH_HOST environment variable overrides the active context. To use "{name}", either set the '
            "global --context flag, or unset POUCH_HOST environment variable."
        )
    return 0


COMMAND = command.Command("CONTEXT", "Set the context that pouch uses", _run, at_least=1, at_most=1)
