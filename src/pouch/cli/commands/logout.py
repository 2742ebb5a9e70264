"""`pouch logout`."""

from __future__ import annotations

from pouch.cli import command, credentials, flags, names
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    store = credentials.Store()
    if parsed.on("all"):
        if parsed.args:
            raise CliError("pouch: a server can't be used with --all/-a")
        return command.each(store.all(), lambda key: _forget(store, key))
    return command.each([names.key(_server(context, parsed.args))], lambda key: _forget(store, key))


def _server(context: command.Context, given: list[str]) -> str:
    if given:
        return given[0]
    try:
        return names.defaults(context.client).domain
    except CliError:  # to forget a password needs no daemon
        return names.HUB


def _forget(store: credentials.Store, key: str) -> str:
    return f"Removing login credentials for {key}" if store.forget(key) else f"Not logged in to {key}"


COMMAND = command.Command(
    "[OPTIONS] [SERVER]",
    "Log out from a registry",
    _run,
    options=(flags.switch("all", "a", "Log out from every registry"),),
    at_most=1,
)
