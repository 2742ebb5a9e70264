"""`pouch exec`."""

from __future__ import annotations

import contextlib

from pouch.cli import command, configuration, creation_flags, files, flags
from pouch.cli.client import segment
from pouch.cli.errors import ApiError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.client import Client


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client = context.client
    name, *words = parsed.args
    detached, terminal = parsed.on("detach"), parsed.on("tty")
    stdin = parsed.on("interactive") and not detached
    if not detached:
        from pouch.cli import tty

        tty.require_terminal(tty=terminal, stdin=stdin)
    keys = configuration.detach_keys(parsed.text("detach-keys"))
    document = {
        "Cmd": words,
        "Env": files.environment(parsed.many("env-file"), parsed.many("env"), files.own_environment()),
        "User": parsed.text("user"),
        "WorkingDir": parsed.text("workdir"),
        "Privileged": parsed.on("privileged"),
        "Tty": terminal,
        "AttachStdin": stdin,
        "AttachStdout": not detached,
        "AttachStderr": not detached,
        "DetachKeys": keys,
    }
    exec_id = client.post(f"/containers/{segment(name)}/exec", None, document)["Id"]
    try:
        if detached:
            client.post(f"/exec/{exec_id}/start", None, {"Detach": True, "Tty": terminal})
            return 0
        return _attached(client, exec_id, terminal=terminal, stdin=stdin, keys=keys)
    except ApiError as error:  # a program that is missing (127) or cannot be executed (126)
        raise CliError(error.message, error.exit_code or 1) from None


def _attached(client: Client, exec_id: str, *, terminal: bool, stdin: bool, keys: str) -> int:
    from pouch.cli import session, tty

    path = f"/exec/{exec_id}"
    start: dict[str, Any] = {"Detach": False, "Tty": terminal}
    if terminal and (size := tty.size()):
        start["ConsoleSize"] = list(size)
    response = client.hijack(f"{path}/start", None, start)
    with contextlib.ExitStack() as held:
        held.callback(response.connection.close)
        if terminal:
            held.enter_context(session.Handlers(session.resizing(client, path)))
            session.resize(client, path)
        if session.Session(response, terminal=terminal, stdin=stdin, detach_keys=keys).carry():
            command.warn("read escape sequence")
            return 0
    return _exit_code(client.get(f"{path}/json"))


def _exit_code(found: dict[str, Any]) -> int:
    code = found["ExitCode"]
    if code is None:
        raise CliError("pouch: the process's output ended, but it runs on: its exit code is not known")
    return int(code)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    _run,
    options=(
        flags.switch("detach", "d", "Detached mode: run command in the background"),
        creation_flags.DETACH_KEYS,
        creation_flags.ENV,
        flags.many("env-file", help="Read in a file of environment variables", value="file"),
        flags.switch("interactive", "i", "Keep STDIN open even if not attached"),
        flags.switch("privileged", help="Give extended privileges to the command"),
        flags.switch("tty", "t", "Allocate a pseudo-TTY"),
        flags.text("user", "u", "User name or number (format: <name|uid>[:<group|gid>])", value="user"),
        flags.text("workdir", "w", "Working directory inside the container", value="directory"),
    ),
    at_least=2,
    interspersed=False,
)
