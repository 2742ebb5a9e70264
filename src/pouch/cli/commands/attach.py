"""`pouch attach`."""

from __future__ import annotations

import contextlib

from pouch.cli import attaching, command, configuration, creation_flags, flags, session, tty
from pouch.cli.client import segment
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client, name = context.client, parsed.args[0]
    found = client.get(f"/containers/{segment(name)}/json")
    _check_state(found["State"])
    terminal = found["Config"]["Tty"]
    stdin = not parsed.on("no-stdin") and found["Config"]["OpenStdin"]
    tty.require_terminal(tty=terminal, stdin=stdin)
    path, keys = f"/containers/{found['Id']}", configuration.detach_keys(parsed.text("detach-keys"))
    with contextlib.ExitStack() as held:
        if parsed.on("sig-proxy") and not terminal:
            held.enter_context(session.Handlers(session.Proxy(client, path, running=True).handlers()))
        ending = client.request("POST", f"{path}/wait", {"condition": "not-running"})
        held.callback(ending.connection.close)
        streams = {"stdout", "stderr"} | ({"stdin"} if stdin else set())
        attachment = attaching.attach(client, found["Id"], streams, keys)
        held.callback(attachment.connection.close)
        if terminal:
            held.enter_context(session.Handlers(session.resizing(client, path)))
            session.resize(client, path, larger_by=1)  # a change of size makes what runs there draw itself anew
            session.resize(client, path)
        return attaching.follow(attachment, ending, terminal=terminal, stdin=stdin, keys=keys, name=name)


def _check_state(state: dict[str, Any]) -> None:
    if not state["Running"]:
        raise CliError("pouch: cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise CliError("pouch: cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise CliError("pouch: cannot attach to a restarting container, wait until it is running")


COMMAND = command.Command(
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    _run,
    options=(
        creation_flags.DETACH_KEYS,
        flags.switch("no-stdin", help="Do not attach STDIN"),
        creation_flags.SIG_PROXY,
    ),
    at_least=1,
    at_most=1,
)
