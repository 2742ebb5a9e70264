"""`/events`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pouch.edge.http import filters, message, streams, times, versions
from pouch.edge.http.message import Answer, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.spec import errors, event

_FILTERS = frozenset(
    (
        "builder",
        "config",
        "container",
        "daemon",
        "event",
        "image",
        "label",
        "network",
        "scope",
        "secret",
        "type",
        "volume",
        "plugin",
        "service",
        "node",
    )
)
_NANO = 10**9


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    return (Route("GET", "/events", Events(facade.events).subscribe),)


class Events:
    """The handlers."""

    def __init__(self, events: engine.EventsFacade) -> None:
        self._events = events

    async def subscribe(self, request: Request) -> Answer:
        """`docker events`: one document a line."""
        wanted = filters.parse(request.text("filters"), _FILTERS)
        since = times.nanoseconds("since", request.text("since"))
        until = times.nanoseconds("until", request.text("until"))
        if until and until < since:
            told, ended = errors.shown(request.text("since")), errors.shown(request.text("until"))
            raise errors.InvalidInput(f"`since` time ({told}) cannot be after `until` time ({ended})")
        kind = _content_type(request)
        happened = await self._events.subscribe(since, until, wanted)
        return Stream(kind, _pieces(happened, request.version, b"\x1e" if kind == _SEQUENCE else b""))


_SEQUENCE = "application/json-seq"
_TYPES: dict[str, versions.Version] = {
    "application/x-ndjson": (1, 52),
    _SEQUENCE: (1, 52),
    "application/jsonl": (1, 53),
}
"""What clients may ask for, and since when; else it is called JSON, as ever, though it is a line for each event."""
_IMAGE_CREATED: versions.Version = (1, 46)


def _content_type(request: Request) -> str:
    """The first that the client accepts (RFC 9110, section 12.5.1; weights say nothing here but 0)."""
    for part in request.headers.get("accept", "").split(","):
        kind, _, parameters = part.strip().lower().partition(";")
        refused = parameters.replace(" ", "") in ("q=0", "q=0.0")
        if not refused and request.version >= _TYPES.get(kind.strip(), (99, 0)):
            return kind.strip()
    return message.JSON


async def _pieces(happened: AsyncIterator[event.Event], version: versions.Version, mark: bytes) -> AsyncIterator[bytes]:
    """mark: stands before each document (RFC 7464)."""
    async for one in streams.closing(happened):
        if one.kind == "image" and one.action == "create" and version < _IMAGE_CREATED:
            continue
        yield mark + message.encode(versions.fit(versions.Noun.EVENT, _document(one), version))


def _document(one: event.Event) -> dict[str, object]:
    document: dict[str, object] = {
        "Type": one.kind,
        "Action": one.action,
        "Actor": {"ID": one.actor, "Attributes": one.attributes},
        "scope": "local",
        "time": one.time_ns // _NANO,
        "timeNano": one.time_ns,
    }
    if one.kind == "container":  # members from before API 1.22 that clients still read
        document |= {"status": one.action, "id": one.actor, "from": one.attributes.get("image", "")}
    elif one.kind == "image":
        document |= {"status": one.action, "id": one.actor}
    return document
