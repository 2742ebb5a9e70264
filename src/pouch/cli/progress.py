"""Docker's JSON progress stream, drawn: one line per item that is redrawn on a terminal, plain sentences elsewhere."""

from __future__ import annotations

import sys

from pouch.cli import command, table, tty, units
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.client import Response

BAR = 30


def show(response: Response, *, quiet: bool = False) -> None:
    """Draw the stream to its end. Raises CliError for the error that it may end with."""
    drawn: dict[str, int] = {}
    live = tty.is_terminal(1) and not quiet
    for message in response.messages():
        if error := message.get("error"):
            raise CliError(f"Error response from daemon: {error}")
        if "stream" in message:
            _sentence(message["stream"].rstrip("\n"), drawn)
        elif not message.get("id"):
            if not quiet:
                _sentence(message.get("status", ""), drawn)
        elif live:
            _redraw(message, drawn)
        elif not quiet and not message.get("progressDetail"):
            print(table.clean(f"{message['id']}: {message.get('status', '')}"), flush=True)


def _sentence(text: str, drawn: dict[str, int]) -> None:
    for line in text.split("\n"):
        print(table.clean(line), flush=True)
    drawn.clear()  # what was drawn stays above


def _redraw(message: dict[str, Any], drawn: dict[str, int]) -> None:
    """Go up to the item's line, write it anew, come back down."""
    name = message["id"]
    if name not in drawn:
        drawn[name] = len(drawn)
        sys.stdout.write("\n")
    up = len(drawn) - drawn[name]
    text = table.clean(line(message))[: command.width_of_terminal() - 1]
    sys.stdout.write(f"\x1b[{up}A\r\x1b[2K{text}\x1b[{up}B\r")
    sys.stdout.flush()


def line(message: dict[str, Any]) -> str:
    """`layer 1: Extracting [====>   ] 12.3MB/80MB`."""
    detail = message.get("progressDetail") or {}
    current, total = detail.get("current", 0), detail.get("total", 0)
    text = f"{message['id']}: {message.get('status', '')}"
    if not current and not total:
        return text
    if not total:
        return f"{text} {units.decimal_size(current)}"
    done = min(BAR * current // total, BAR)
    bar = ("=" * done + ">" * (done < BAR)).ljust(BAR)
    return f"{text} [{bar}] {units.decimal_size(current)}/{units.decimal_size(total)}"
