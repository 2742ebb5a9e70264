"""`pouch stop`."""

from __future__ import annotations

from pouch.cli import command, flags
from pouch.cli.client import segment

TIME = (
    flags.integer("time", "t", "Seconds to wait before killing the container (default: as it was created with, or 10)"),
    flags.integer("timeout", help=""),
)


def query(parsed: flags.Parsed) -> dict[str, object]:
    """`t` of stop and restart."""
    seconds = next((parsed.integer(name) for name in ("timeout", "time") if parsed.given(name)), None)
    return {"t": seconds}


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    def stop(name: str) -> str:
        context.client.post(f"/containers/{segment(name)}/stop", query(parsed))
        return name

    return command.together(parsed.args, stop)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]", "Stop one or more running containers", _run, options=TIME, at_least=1
)
