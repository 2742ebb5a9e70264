"""`pouch context rm`."""

from __future__ import annotations

from pouch.cli import command, contexts, endpoint, flags
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    store = contexts.Store()
    chosen = endpoint.chosen_context(context.options)

    def remove(name: str) -> str:
        if name == endpoint.DEFAULT_CONTEXT:
            raise CliError('context "default" cannot be removed')
        used = name in (chosen, endpoint.in_use())
        if used and not parsed.on("force"):
            raise CliError(f'context "{name}" is in use, set -f flag to force remove')
        store.remove(name)
        if used:
            store.use(endpoint.DEFAULT_CONTEXT)
        return name

    return command.each(parsed.args, remove)


COMMAND = command.Command(
    "CONTEXT [CONTEXT...]",
    "Remove one or more contexts",
    _run,
    options=(flags.switch("force", "f", "Force the removal of a context in use"),),
    at_least=1,
)
