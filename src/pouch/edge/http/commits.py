"""Containers' files as images and tars: `/commit`, `/containers/{id}/export`."""

from __future__ import annotations

from pouch.edge.http import message, registry, streams
from pouch.edge.http.message import Answer, Request, Route, Stream
from pouch.edge.http.schema import commit as schema
from pouch.edge.http.schema import decode
from pouch.engine import facade as engine
from pouch.spec import errors

_BYTES = "application/octet-stream"


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Commits(facade.commits)
    return (
        Route("POST", "/commit", noun.commit, changes=True),
        Route("GET", "/containers/{name}/export", noun.export),
    )


class Commits:
    """The handlers."""

    def __init__(self, commits: engine.CommitsFacade) -> None:
        self._commits = commits

    async def commit(self, request: Request) -> Answer:
        """`docker commit`."""
        container = request.text("container")
        if not container:
            raise errors.InvalidInput("container is missing: the one to make an image of")
        config = decode.decode(await request.read(), schema.Config).given()
        made = await self._commits.commit(
            container,
            registry.new_name(request, needed=False),
            author=request.text("author"),
            message=request.text("comment"),
            changes=request.texts("changes"),
            config=config or None,
            pause=request.flag("pause", default=True) if request.text("pause") else True,
        )
        return message.reply({"Id": made}, 201)

    async def export(self, request: Request) -> Answer:
        """`docker export`."""
        pieces = await self._commits.export(request.name)
        return Stream(_BYTES, streams.closing(pieces), checked=True)
