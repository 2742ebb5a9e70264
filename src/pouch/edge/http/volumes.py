"""`/volumes`."""

from __future__ import annotations

from pouch.edge.http import bodies, filters, message, prunes
from pouch.edge.http.message import NO_CONTENT, Answer, Request, Route
from pouch.edge.http.schema import volume as schema
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import volume

Document = dict[str, object]

_FILTERS = frozenset(("dangling", "driver", "label", "name"))
_PRUNE_FILTERS = frozenset(("all", "label", "label!"))
_ALL_BEFORE = (1, 42)
"""Before this version prune took named volumes too, and clients of then expect that."""


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Volumes(facade.volumes)
    return (
        Route("GET", "/volumes", noun.list),
        Route("POST", "/volumes/create", noun.create, changes=True),
        Route("POST", "/volumes/prune", noun.prune, changes=True),
        Route("GET", "/volumes/{name}", noun.inspect),
        Route("DELETE", "/volumes/{name}", noun.remove, changes=True),
    )


class Volumes:
    """The handlers."""

    def __init__(self, volumes: engine.VolumesFacade) -> None:
        self._volumes = volumes

    async def list(self, request: Request) -> Answer:
        """`docker volume ls`."""
        wanted = filters.parse(request.text("filters"), _FILTERS)
        filters.truth(wanted, "dangling")
        found, warnings = await self._volumes.list(wanted)
        return message.reply({"Volumes": [present(view) for view in found], "Warnings": warnings or None})

    async def create(self, request: Request) -> Answer:
        """`docker volume create`; a volume that is there already is answered as it is."""
        asked = await bodies.document(request, schema.Create)
        config = volume.VolumeConfig(
            name=asked.Name, driver=asked.Driver or volume.LOCAL, options=asked.DriverOpts, labels=asked.Labels
        )
        return message.reply(present(await self._volumes.create(config)), 201)

    async def inspect(self, request: Request) -> Answer:
        """`docker volume inspect`."""
        return message.reply(present(await self._volumes.get(request.name)))

    async def remove(self, request: Request) -> Answer:
        """`docker volume rm`."""
        await self._volumes.remove(request.name, force=request.flag("force"))
        return NO_CONTENT

    async def prune(self, request: Request) -> Answer:
        """`docker volume prune`."""
        wanted = filters.parse(request.text("filters"), _PRUNE_FILTERS)
        if request.version < _ALL_BEFORE:
            wanted.setdefault("all", ["true"])
        removed, reclaimed = await self._volumes.prune(wanted)
        report: prunes.Report = {"VolumesDeleted": removed, "SpaceReclaimed": reclaimed}
        return prunes.answer(request, report, (("Deleted", name) for name in removed))


def present(view: views.VolumeView) -> Document:
    """A volume as Docker's document."""
    found = view.volume
    document: Document = {
        "CreatedAt": found.created,
        "Driver": found.driver,
        "Labels": found.labels or None,
        "Mountpoint": view.mountpoint,
        "Name": found.name,
        "Options": found.options or None,
        "Scope": view.scope,
    }
    if view.status:
        document["Status"] = dict(view.status)
    if view.size >= 0:
        document["UsageData"] = {"RefCount": len(view.users), "Size": view.size}
    return document
