"""`pouch stop`."""

from __future__ import annotations

from pouch.cli import command, flags, waiting
from pouch.cli.client import segment

OPTIONS = (
    flags.text("signal", "s", "Signal to send (default: as it was created with, or TERM)", value="signal"),
    flags.integer("time", help=""),
    flags.integer("timeout", "t", "Seconds to wait before killing it (default: as it was created with, or 10)"),
)
"""Of stop and restart. `--time` is how it was called of old."""


def query(parsed: flags.Parsed) -> dict[str, object]:
    """`t` and `signal` of stop and restart."""
    seconds = next((parsed.integer(name) for name in ("timeout", "time") if parsed.given(name)), None)
    return {"t": seconds, "signal": parsed.text("signal") or None}


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    return at_each(context, parsed, "stop", "Stopping")


def at_each(context: command.Context, parsed: flags.Parsed, action: str, doing: str) -> int:
    """Stop or restart all that are named, at once."""
    with waiting.Meter(f"{doing} {', '.join(parsed.args)}") as meter:
        client = context.client.telling(meter.tick) if len(parsed.args) == 1 else context.client

        def act(name: str) -> str:
            client.post(f"/containers/{segment(name)}/{action}", query(parsed))
            return name

        return command.together(parsed.args, act, meter)


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]", "Stop one or more running containers", _run, options=OPTIONS, at_least=1
)
