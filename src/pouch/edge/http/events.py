"""`/events`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pouch.edge.http import filters, message, streams, times, versions
from pouch.edge.http.message import Answer, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.spec import event

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
        return Stream(message.JSON, _pieces(await self._events.subscribe(since, until, wanted), request.version))


async def _pieces(happened: AsyncIterator[event.Event], version: versions.Version) -> AsyncIterator[bytes]:
    async for one in streams.closing(happened):
        yield message.encode(versions.fit(versions.Noun.EVENT, _document(one), version))


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
