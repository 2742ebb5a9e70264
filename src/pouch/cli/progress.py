"""Docker's JSON progress stream, shown: on a terminal lines that are redrawn in place, elsewhere a line per change of status."""

from __future__ import annotations

import os
import sys
import time

from pouch.cli import table, tty
from pouch.cli.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from pouch.cli.client import Response


def show(response: Response, *, quiet: bool = False, out: TextIO | None = None) -> str:
    """Show the stream to its end; the last sentence in it. Raises EngineError for the error that it may end with.

    quiet: nothing of what is only progress. out: stdout unless given.
    """
    out = out or sys.stdout
    if quiet or not _live(out):
        return _plainly(response, out, quiet=quiet)
    from pouch.cli import drawing

    lines = drawing.Drawing(out, tty.size, time.monotonic)
    response.while_waiting = lines.draw
    last = ""
    try:
        for message in response.messages():
            _raise_error(message)
            if not message.get("id") and not message.get("progressDetail"):
                last = _sentence(message)
                lines.sentence(last)
            else:
                lines.take(message)
    finally:
        lines.draw()  # also after Ctrl-C: what stays on the screen is what was last told
    return last


def _live(out: TextIO) -> bool:
    return tty.is_terminal(out.fileno()) and os.environ.get("TERM") != "dumb"


def _plainly(response: Response, out: TextIO, *, quiet: bool) -> str:
    told: dict[str, str] = {}
    last = ""
    for message in response.messages():
        _raise_error(message)
        name, status = str(message.get("id") or ""), str(message.get("status") or "")
        if not name and not message.get("progressDetail"):
            last = _sentence(message)
            if last and (not quiet or "stream" in message):
                _print(last, out)
        elif not quiet and not message.get("progressDetail") and told.get(name) != status:
            told[name] = status
            _print(f"{name}: {status}", out)
    return last


def _sentence(message: dict[str, Any]) -> str:
    return str(message.get("stream") or message.get("status") or "").rstrip("\n")


def _print(text: str, out: TextIO) -> None:
    print(table.clean(text, keep="\n"), file=out, flush=True)


def _raise_error(message: dict[str, Any]) -> None:
    if error := message.get("error"):
        raise EngineError(f"Error response from daemon: {error}")
