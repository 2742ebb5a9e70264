"""Containers looked at: `/containers/json` and `/containers/{id}/json`, with sizes where they are asked for."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import Sequence

from pouch.edge.http import filters, message, pouchcontainer, present, versions
from pouch.edge.http.message import Answer, Request, Route
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors

Document = dict[str, object]

_AT_ONCE = 8
"""Containers whose files are counted at a time."""
_OF_STOPPED = ("status", "exited", "before", "since")
"""Filters that look at all containers."""


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Listing(facade)
    return (
        Route("GET", "/containers/json", noun.list),
        Route("GET", "/containers/{name}/json", noun.inspect),
    )


class Listing:
    """The handlers."""

    def __init__(self, facade: engine.Facade) -> None:
        self._containers = facade.containers
        self._facade = facade

    async def list(self, request: Request) -> Answer:
        """`docker ps`. Filters of what stopped containers have look at all of them."""
        wanted = _wanted(request)
        limit = max(request.number("limit", 0), 0)
        if not wanted:
            found = await self._containers.list(all=request.flag("all"), limit=limit)
        else:
            everything = limit > 0 or not wanted.keys().isdisjoint(_OF_STOPPED)
            found = await self._filtered(wanted, everything=everything or request.flag("all"))
        shown = found[:limit] if limit else found
        now = time.time()
        named = await self._facade.images.named({view.image_name for view in shown})
        lines = [
            versions.fit(
                versions.Noun.CONTAINER_LINE,
                present.summary(view, now, named=named.get(view.image_name) == view.image_id),
                request.version,
            )
            for view in shown
        ]
        if pouchcontainer.speaks(request):
            lines = [pouchcontainer.line(line, view) for view, line in zip(shown, lines, strict=True)]
        return message.reply(await self._with_sizes(shown, lines) if request.flag("size") else lines)

    async def _filtered(self, wanted: filters.Filters, *, everything: bool) -> builtins.list[views.ContainerView]:
        tests = filters.container_predicates(wanted)
        for ref in wanted.get("before", ()):
            created = (await self._containers.get(ref)).created
            tests.append(lambda view, than=created: view.created < than)  # type: ignore[misc]
        for ref in wanted.get("since", ()):
            created = (await self._containers.get(ref)).created
            tests.append(lambda view, than=created: view.created > than)  # type: ignore[misc]
        found = await self._containers.list(all=everything, limit=0)
        return [view for view in found if all(test(view) for test in tests)]

    async def inspect(self, request: Request) -> Answer:
        """`docker inspect`."""
        view = await self._containers.get(request.name)
        document = versions.fit(versions.Noun.CONTAINER, present.inspect(view), request.version)
        if pouchcontainer.speaks(request):
            document = pouchcontainer.inspected(document, view)
        if request.flag("size"):
            (document,) = await self._with_sizes([view], [document])
        return message.reply(document)

    async def _with_sizes(
        self, found: Sequence[views.ContainerView], lines: Sequence[Document]
    ) -> builtins.list[Document]:
        """The same with what each has written, and with its image. One that goes meanwhile is left as it is."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def sized(view: views.ContainerView, line: Document) -> Document:
            async with turn:
                try:
                    written, whole = await self._facade.files.sizes(view.id)
                except errors.NotFound:
                    return line
            return {**line, "SizeRw": written, "SizeRootFs": whole}

        return await asyncio.gather(*(sized(view, line) for view, line in zip(found, lines, strict=True)))


def _wanted(request: Request) -> filters.Filters:
    """The filters, with what oldest clients give beside them."""
    found = filters.parse(request.text("filters"), filters.containers_of(request.version))
    for key in ("before", "since"):
        if (ref := request.text(key)) and key not in found:
            found[key] = [ref]
    return found
