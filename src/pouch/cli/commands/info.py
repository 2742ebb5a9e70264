"""`pouch info`."""

from __future__ import annotations

from pouch import __version__
from pouch.cli import command, endpoint, flags, units
from pouch.cli.errors import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    server: dict[str, Any] = {}
    failure = None
    try:
        server = context.client.get("/info")
    except Unreachable as error:
        failure = error
    template = parsed.text("format")
    if template:
        from pouch.cli import template as templates
        from pouch.cli.commands import version

        client = version.client(endpoint.chosen_context(context.options))
        del client["ApiVersion"]
        document = {**server, "ClientInfo": {"Debug": False, **client, "Plugins": [], "Warnings": None}}
        print(templates.parse("{{json .}}" if template == "json" else template).render(document))
    else:
        print("\n".join([f"Client: Pouch\n Version:    {__version__}\n\nServer:", *(_lines(server) if server else ())]))
    if failure is not None:
        raise failure
    for warning in server.get("Warnings") or ():
        command.warn(str(warning))
    return 0


_FIELDS = (
    ("Server Version", "ServerVersion"),
    ("Storage Driver", "Driver"),
    ("Logging Driver", "LoggingDriver"),
    ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"),
    ("Default Runtime", "DefaultRuntime"),
    ("Init Binary", "InitBinary"),
    ("User Namespaces", "UserNamespaces"),
    ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
    ("CPUs", "NCPU"),
    ("Total Memory", "MemTotal"),
    ("Name", "Name"),
    ("ID", "ID"),
    ("Pouch Root Dir", "DockerRootDir"),
    ("Debug Mode", "Debug"),
    ("Live Restore Enabled", "LiveRestoreEnabled"),
)


def _lines(server: dict[str, Any]) -> Iterator[str]:
    yield f" Containers: {server.get('Containers', 0)}"
    for state in ("Running", "Paused", "Stopped"):
        yield f"  {state}: {server.get('Containers' + state, 0)}"
    yield f" Images: {server.get('Images', 0)}"
    for title, member in _FIELDS:
        value = server.get(member)
        if value in (None, ""):
            continue
        yield f" {title}: {_shown(member, value)}"
        if member == "DefaultRuntime":
            yield f" Runtimes: {' '.join(sorted(server.get('Runtimes') or ()))}"
    if options := server.get("SecurityOptions"):
        yield " Security Options:"
        yield from (f"  {option.replace('name=', '', 1)}" for option in options)
    if labels := server.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in labels)


def _shown(member: str, value: Any) -> str:
    if member == "MemTotal":
        return units.binary_size(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


COMMAND = command.Command(
    "[OPTIONS]",
    "Display system-wide information",
    _run,
    options=(flags.text("format", "f", "json, or a Go template ({{.ServerVersion}})", value="template"),),
    at_most=0,
)
