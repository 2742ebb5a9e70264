"""Files of containers: `/containers/{id}/archive`."""

from __future__ import annotations

import base64
import re

from pouch.edge.http import message, pouchcontainer
from pouch.edge.http.message import Answer, Reply, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors

_TAR = "application/x-tar"


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Files(facade.files)
    place = "/containers/{name}/archive"
    return (
        # A container can make each of these wait as long as it likes: no longer than the client does.
        Route("HEAD", place, noun.stat, waits=True),
        Route("GET", place, noun.get, waits=True),
        Route("PUT", place, noun.put, waits=True),
    )


class Files:
    """The handlers."""

    def __init__(self, files: engine.FilesFacade) -> None:
        self._files = files

    async def stat(self, request: Request) -> Answer:
        """What stands at a path."""
        return Reply(200, headers=_header(await self._files.stat(request.name, _path(request)), request))

    async def get(self, request: Request) -> Answer:
        """`docker cp` from a container."""
        found, pieces = await self._files.get(request.name, _path(request))
        return Stream(_TAR, pieces, checked=True, headers=_header(found, request))

    async def put(self, request: Request) -> Answer:
        """`docker cp` to a container."""
        await self._files.put(
            request.name,
            _path(request),
            request.body.chunks(),
            no_overwrite_dir_non_dir=request.flag("noOverwriteDirNonDir"),
            copy_uid_gid=request.flag("copyUIDGID"),
        )
        return Reply(200)


def _path(request: Request) -> str:
    path = request.text("path")
    if not path:
        raise errors.InvalidInput("bad parameter: pathcannot be empty")  # Docker's sentence, letter by letter
    return path


def _header(found: views.PathStat, request: Request) -> tuple[tuple[str, str], ...]:
    document = {
        "name": found.name,
        "size": str(found.size) if pouchcontainer.speaks(request) else found.size,
        "mode": found.mode,
        "mtime": re.sub(r"\.?0*Z$", "Z", found.mtime),  # as Go writes it
        "linkTarget": found.link_target,
    }
    encoded = base64.b64encode(message.encode(document).strip()).decode()
    return (("X-Docker-Container-Path-Stat", encoded),)
