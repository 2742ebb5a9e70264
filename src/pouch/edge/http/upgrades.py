"""`/containers/{id}/upgrade`: a container on another image."""

from __future__ import annotations

from pouch.edge.http import message, pouchcontainer, translate
from pouch.edge.http.message import Answer, Request, Route
from pouch.edge.http.schema import decode
from pouch.edge.http.schema import upgrade as schema
from pouch.engine import facade as engine
from pouch.spec import container, errors

_LONGEST_SECONDS = 3600


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    return (Route("POST", "/containers/{name}/upgrade", Upgrades(facade.containers).upgrade, changes=True),)


class Upgrades:
    """The handlers."""

    def __init__(self, containers: engine.ContainersFacade) -> None:
        self._containers = containers

    async def upgrade(self, request: Request) -> Answer:
        """Answers when the new one runs, or the old one does again. `t`: seconds for the stop."""
        document = decode.decode(await request.read(), schema.Upgrade)
        if not document.Image:
            raise errors.InvalidInput("no image to upgrade to given", hint="Image: a name or an id")
        if not 0 <= document.WaitReady <= _LONGEST_SECONDS:
            raise errors.InvalidInput(
                f"invalid WaitReady {document.WaitReady}", hint=f"seconds, from 0 to {_LONGEST_SECONDS}"
            )
        entrypoint = document.Entrypoint
        if pouchcontainer.speaks(request):
            entrypoint = entrypoint or None  # it sends [] where nobody said anything
        wish = container.UpgradeConfig(
            image=document.Image,
            entrypoint=translate.entrypoint(entrypoint),
            cmd=translate.words(document.Cmd) if document.Cmd else None,
            stop_timeout=request.number("t", 0) if request.text("t") else None,
            ready_seconds=document.WaitReady,
        )
        return message.reply({"Warnings": await self._containers.upgrade(request.name, wish)})
