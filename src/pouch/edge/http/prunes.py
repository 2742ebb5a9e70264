"""What a prune answers: one report, or, from 1.56 on and for who asks with `stream`, a line for each thing that went and the report."""

from __future__ import annotations

from collections.abc import Iterable

from pouch.edge.http import message
from pouch.edge.http.message import Reply, Request

Report = dict[str, object]

_SINCE = (1, 56)
JSON_LINES = "application/jsonl"


def answer(request: Request, report: Report, removed: Iterable[tuple[str, str]]) -> Reply:
    """removed: what happened ("Deleted", "Untagged") and to what. The lines come at the end: a prune is one transaction here."""
    if request.version < _SINCE or not request.flag("stream"):
        return message.reply(report)
    lines = [message.encode({"id": what, "status": status}) for status, what in removed]
    return Reply(200, b"".join([*lines, message.encode({"aux": report})]), JSON_LINES)
