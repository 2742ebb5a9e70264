"""`pouch port`."""

from __future__ import annotations

from pouch.cli import command, flags, inspection, ports
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    container, *asked = parsed.args
    document = inspection.container(context.client, container)
    published: dict[str, Any] = {
        port: where for port, where in ((document["NetworkSettings"] or {}).get("Ports") or {}).items() if where
    }
    if asked:
        return _one(container, asked[0], published)
    for port in sorted(published, key=_order):
        for where in published[port]:
            print(f"{port} -> {ports.at(where['HostIp'], where['HostPort'])}")
    return 0


def _order(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number), protocol


def _one(container: str, asked: str, published: dict[str, Any]) -> int:
    number, slash, protocol = asked.partition("/")
    if not (number.isascii() and number.isdecimal() and 0 < int(number[:6]) < 65536):
        raise CliError(f"Error: invalid port ({number}): expected PORT[/PROTOCOL], the port from 1 to 65535")
    where = published.get(f"{int(number)}/{protocol.lower() if slash else 'tcp'}")
    if not where:
        raise CliError(f"Error: No public port '{asked}' published for {container}")
    for one in where:
        print(ports.at(one["HostIp"], one["HostPort"]))
    return 0


COMMAND = command.Command(
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    _run,
    at_least=1,
    at_most=2,
)
