"""`pouch version`."""

from __future__ import annotations

import os
import sys

from pouch import __version__
from pouch.cli import command, endpoint, flags
from pouch.cli.client import VERSION
from pouch.cli.errors import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    own = client(endpoint.chosen_context(context.options))
    server, failure = None, None
    try:
        server = context.client.get("/version")
    except Unreachable as error:
        failure = error
    template = parsed.text("format")
    if template:
        from pouch.cli import template as templates

        text = "{{json .}}" if template == "json" else template
        print(templates.parse(text).render({"Client": own, "Server": server}))
    else:
        print(_described(own, server))
    if failure is not None:
        raise failure
    return 0


def client(context: str) -> dict[str, str]:
    """Docker's members, those that say how a Go program was built empty, and one of our own."""
    machine = os.uname().machine
    return {
        "Version": __version__,
        "ApiVersion": VERSION.removeprefix("v"),
        "DefaultAPIVersion": VERSION.removeprefix("v"),
        "PythonVersion": sys.version.split()[0],
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
        "Context": context,
        "Os": "linux",
        "Arch": _MACHINES.get(machine, machine),
    }


def _described(client: dict[str, str], server: dict[str, Any] | None) -> str:
    lines = ["Client: Pouch"]
    lines += _fields((("Version", client["Version"]), ("API version", client["ApiVersion"])), 1)
    lines += _fields((("Python version", client["PythonVersion"]), ("OS/Arch", f"linux/{client['Arch']}")), 1)
    if server is None:
        return "\n".join(lines)
    platform = (server.get("Platform") or {}).get("Name") or "Pouch"
    lines += ["", f"Server: {platform}", " Engine:"]
    api = f"{server.get('ApiVersion', '')} (minimum version {server.get('MinAPIVersion', '')})"
    lines += _fields((("Version", server.get("Version")), ("API version", api)), 2)
    system = f"{server.get('Os', 'linux')}/{server.get('Arch', '')}"
    lines += _fields((("Kernel", server.get("KernelVersion")), ("OS/Arch", system)), 2)
    lines += _fields((("Git commit", server.get("GitCommit")), ("Built", server.get("BuildTime"))), 2)
    for part in server.get("Components") or ():
        if part.get("Name") not in {"Engine", None}:
            lines += [f" {part['Name']}:", *_fields((("Version", part.get("Version")),), 2)]
    return "\n".join(lines)


def _fields(pairs: tuple[tuple[str, object], ...], depth: int) -> list[str]:
    return [f"{' ' * depth}{name + ':':<{19 - depth}} {value}" for name, value in pairs if value]


COMMAND = command.Command(
    "[OPTIONS]",
    "Show the version information of pouch and pouchd",
    _run,
    options=(flags.text("format", "f", "json, or a Go template ({{.Server.Version}})", value="template"),),
    at_most=0,
)
