"""`pouch start`."""

from __future__ import annotations

import contextlib

from pouch.cli import command, configuration, creation_flags, flags
from pouch.cli.client import segment
from pouch.cli.errors import CliError, EngineError, Unreachable


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    if parsed.given("checkpoint") or parsed.given("checkpoint-dir"):
        raise CliError("pouch: --checkpoint: Pouch has no checkpoints")
    if parsed.on("attach") or parsed.on("interactive"):
        if len(parsed.args) > 1:
            raise CliError("pouch: you cannot start and attach multiple containers at once")
        return _attached(context, parsed, parsed.args[0])
    client = context.client
    failed = []

    def start(name: str) -> str:
        try:
            client.post(f"/containers/{segment(name)}/start")
        except Unreachable:
            raise
        except EngineError:
            failed.append(name)
            raise
        return name

    code = command.each(parsed.args, start)
    if failed:
        command.warn(f"Error: failed to start containers: {', '.join(failed)}")
    return code


def _attached(context: command.Context, parsed: flags.Parsed, name: str) -> int:
    from pouch.cli import attaching, session, tty

    client = context.client
    found = client.get(f"/containers/{segment(name)}/json")
    terminal = found["Config"]["Tty"]
    stdin = parsed.on("interactive") and found["Config"]["OpenStdin"]
    tty.require_terminal(tty=terminal, stdin=stdin)
    path, keys = f"/containers/{found['Id']}", configuration.detach_keys(parsed.text("detach-keys"))
    streams = {"stdout", "stderr"} | ({"stdin"} if stdin else set())
    with contextlib.ExitStack() as held:
        proxy = session.Proxy(client, path, running=False)
        if parsed.on("sig-proxy"):
            held.enter_context(session.Handlers(proxy.handlers()))
        attachment = attaching.attach(client, found["Id"], streams, keys)
        held.callback(attachment.connection.close)
        condition = "removed" if found["HostConfig"]["AutoRemove"] else "next-exit"
        ending = client.request("POST", f"{path}/wait", {"condition": condition})
        held.callback(ending.connection.close)
        client.post(f"{path}/start")
        proxy.started()
        if terminal:
            held.enter_context(session.Handlers(session.resizing(client, path)))
            session.resize(client, path)
        return attaching.follow(attachment, ending, terminal=terminal, stdin=stdin, keys=keys, name=name)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    _run,
    options=(
        flags.switch("attach", "a", "Attach STDOUT/STDERR and forward signals"),
        flags.switch("interactive", "i", "Attach container's STDIN"),
        flags.text("checkpoint", help=""),
        flags.text("checkpoint-dir", help=""),
        creation_flags.DETACH_KEYS,
        creation_flags.SIG_PROXY,
    ),
    at_least=1,
)
