"""`pouch logs`."""

from __future__ import annotations

from pouch.cli import command, flags, streams, units
from pouch.cli.client import segment


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    query = {
        "stdout": True,
        "stderr": True,
        "follow": parsed.on("follow") or None,
        "timestamps": parsed.on("timestamps") or None,
        "details": parsed.on("details") or None,
        "since": units.moment(parsed.text("since")) or None,
        "until": units.moment(parsed.text("until")) or None,
        "tail": parsed.text("tail"),
    }
    streams.copy_output(context.client.request("GET", f"/containers/{segment(parsed.args[0])}/logs", query))
    return 0


def _lines(value: str) -> None:
    if value != "all" and not value.removeprefix("-").isdecimal():
        raise ValueError("expected a number of lines, or all")


COMMAND = command.Command(
    "[OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    _run,
    options=(
        flags.switch("details", help="Show what the log driver's options env, labels and tag add to each line"),
        flags.switch("follow", "f", "Follow log output"),
        flags.text("tail", "n", "Number of lines from the end, or all", default="all", value="lines", check=_lines),
        flags.text(
            "since",
            help="Show since a moment (2024-01-02T13:23:37Z) or a time ago (42m)",
            value="when",
            check=units.moment,
        ),
        flags.text(
            "until",
            help="Show before a moment (2024-01-02T13:23:37Z) or a time ago (42m)",
            value="when",
            check=units.moment,
        ),
        flags.switch("timestamps", "t", "Show timestamps"),
    ),
    at_least=1,
    at_most=1,
)
