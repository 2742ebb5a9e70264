"""`pouch run`: create, attach, start, show, and end as the container ended."""

from __future__ import annotations

import contextlib

from pouch.cli import command, configuration, creation, creation_flags, flags
from pouch.cli.errors import CliError, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.client import Client, Response

REMOVAL_SECONDS = 10.0
"""How long one that did not start may take to be removed (`--rm`) before we end without it."""


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client = context.client
    if not parsed.on("detach"):
        return _attached(client, parsed)
    if parsed.given("attach"):
        raise CliError("pouch: conflicting options: cannot specify both --attach and --detach", creation.REFUSED)
    container_id, _ = creation.create(client, parsed)
    client.post(f"/containers/{container_id}/start")
    print(container_id)
    return 0


def _attached(client: Client, parsed: flags.Parsed) -> int:
    from pouch.cli import attaching, session, tty

    streams = creation.streams(parsed)
    terminal, stdin = parsed.on("tty"), "stdin" in streams and parsed.on("interactive")
    tty.require_terminal(tty=terminal, stdin=stdin)
    keys = configuration.detach_keys(parsed.text("detach-keys"))
    container_id, config = creation.create(client, parsed)
    path = f"/containers/{container_id}"
    with contextlib.ExitStack() as held:
        proxy = session.Proxy(client, path, running=False)
        if parsed.on("sig-proxy"):
            held.enter_context(session.Handlers(proxy.handlers()))
        # Attached and waiting before it starts, so that neither output nor the exit code can be missed.
        attachment = attaching.attach(client, container_id, streams, keys)
        held.callback(attachment.connection.close)
        ending = client.request("POST", f"{path}/wait", {"condition": _condition(config)})
        held.callback(ending.connection.close)
        _start(client, path, ending, config)
        proxy.started()
        if terminal:
            held.enter_context(session.Handlers(session.resizing(client, path)))
            session.resize(client, path)
        return attaching.follow(
            attachment, ending, terminal=terminal, stdin=stdin, keys=keys, name=parsed.text("name") or container_id[:12]
        )


def _condition(config: dict[str, Any]) -> str:
    return "removed" if config["HostConfig"]["AutoRemove"] else "next-exit"


def _start(client: Client, path: str, ending: Response, config: dict[str, Any]) -> None:
    """Start it. One that does not start and is to be removed has gone when we end."""
    try:
        client.post(f"{path}/start")
    except EngineError:
        if config["HostConfig"]["AutoRemove"]:
            ending.connection.settimeout(REMOVAL_SECONDS)
            with contextlib.suppress(EngineError):
                ending.read()
        raise


COMMAND = command.Command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    _run,
    groups=(
        creation_flags.GROUPS[0],
        (
            "Container",
            (
                flags.switch("detach", "d", "Run container in background and print container ID"),
                creation_flags.DETACH_KEYS,
                creation_flags.SIG_PROXY,
                *creation_flags.BASICS,
            ),
        ),
        *creation_flags.GROUPS[2:],
    ),
    at_least=1,
    interspersed=False,
    engine_code=125,
    notes="""Examples:
  pouch run --rm busybox echo hello
  pouch run -d --name web --rich --rich-mode systemd debian:bookworm /usr/local/bin/app --port 80
  pouch run -it --rm busybox sh""",
)
