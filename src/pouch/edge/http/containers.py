"""`/containers`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pouch.edge.http import bodies, filters, message, older, pouchcontainer, prunes, translate
from pouch.edge.http import errors as http_errors
from pouch.edge.http.message import NO_CONTENT, Answer, Reply, Request, Route, Stream
from pouch.edge.http.schema import container as schema
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors

_NO_IMAGE = "No such image"
"""How the engine begins to say that. Docker's clients pull the image whenever create answers 404: what else is not there is 400."""

_PLATFORMS = (1, 41)
_CHOSEN_WAITS = (1, 30)
_CONDITIONS = ("not-running", "next-exit", "removed")
_ARM_SECONDS = 0.05
_LARGEST_SIDE = 0xFFFF
_LONGEST_SIDE = 10
"""Digits."""


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Containers(facade.containers, facade.images)
    one = "/containers/{name}"
    return (
        Route("POST", "/containers/create", noun.create, changes=True),
        Route("POST", "/containers/prune", noun.prune, changes=True),
        Route("POST", f"{one}/start", noun.start, changes=True),
        Route("POST", f"{one}/stop", noun.stop, changes=True),
        Route("POST", f"{one}/restart", noun.restart, changes=True),
        Route("POST", f"{one}/kill", noun.kill, changes=True),
        Route("POST", f"{one}/pause", noun.pause, changes=True),
        Route("POST", f"{one}/unpause", noun.unpause, changes=True),
        Route("POST", f"{one}/rename", noun.rename, changes=True),
        Route("POST", f"{one}/resize", noun.resize, changes=True),
        Route("DELETE", one, noun.remove, changes=True),
        Route("POST", f"{one}/wait", noun.wait),
        Route("GET", f"{one}/top", noun.top),
        Route("GET", f"{one}/tree", noun.tree),
        Route("GET", f"{one}/changes", noun.changes),
    )


class Containers:
    """The handlers."""

    def __init__(self, containers: engine.ContainersFacade, images: engine.ImagesFacade) -> None:
        self._containers = containers
        self._images = images

    async def create(self, request: Request) -> Answer:
        """Decode, translate, create."""
        document = await bodies.document(request, schema.Create)
        adapted = [*pouchcontainer.adapt(document, request), *older.adapt(document, request.version)]
        config, ignored = translate.container_config(document)
        if (platform := request.text("platform")) and request.version >= _PLATFORMS:
            await self._images.check_platform(config.image, platform)
        try:
            id_, warnings = await self._containers.create(config, request.text("name").removeprefix("/"))
        except errors.NotFound as error:
            if error.message.startswith(_NO_IMAGE):
                raise
            raise errors.InvalidInput(error.message, hint=error.hint) from None
        made: dict[str, object] = {"Id": id_, "Warnings": [*warnings, *ignored, *adapted]}
        if pouchcontainer.speaks(request):
            made["Name"] = (await self._containers.get(id_)).name
        return message.reply(made, 201)

    async def prune(self, request: Request) -> Answer:
        """`docker container prune`."""
        removed, reclaimed = await self._containers.prune(filters.parse(request.text("filters"), filters.PRUNE))
        report: prunes.Report = {"ContainersDeleted": removed or None, "SpaceReclaimed": reclaimed}
        return prunes.answer(request, report, (("Deleted", id) for id in removed))

    async def start(self, request: Request) -> Answer:
        """`docker start`."""
        await self._containers.start(request.name)
        return NO_CONTENT

    async def stop(self, request: Request) -> Answer:
        """`docker stop`."""
        await self._containers.stop(request.name, _timeout(request), _stop_signal(request))
        return NO_CONTENT

    async def restart(self, request: Request) -> Answer:
        """`docker restart`."""
        await self._containers.restart(request.name, _timeout(request), _stop_signal(request))
        return NO_CONTENT

    async def kill(self, request: Request) -> Answer:
        """`docker kill`."""
        try:
            await self._containers.kill(request.name, request.text("signal", "SIGKILL"))
        except errors.NotFound as error:
            raise errors.NotFound(f"cannot kill container: {request.name}: {error.message}") from None
        return NO_CONTENT

    async def pause(self, request: Request) -> Answer:
        """`docker pause`."""
        await self._containers.pause(request.name)
        return NO_CONTENT

    async def unpause(self, request: Request) -> Answer:
        """`docker unpause`."""
        await self._containers.unpause(request.name)
        return NO_CONTENT

    async def rename(self, request: Request) -> Answer:
        """`docker rename`."""
        new = request.text("name").removeprefix("/")
        if not new:
            raise errors.InvalidInput("Neither old nor new names may be empty")
        await self._containers.rename(request.name, new)
        return NO_CONTENT

    async def resize(self, request: Request) -> Answer:
        """Set the terminal's size."""
        await self._containers.resize(request.name, *size(request))
        return Reply(200)

    async def remove(self, request: Request) -> Answer:
        """`docker rm`."""
        await self._containers.remove(request.name, force=request.flag("force"), volumes=request.flag("v"))
        return NO_CONTENT

    async def wait(self, request: Request) -> Answer:
        """The head goes out once no end can be missed: `docker run` starts the container when it sees it."""
        condition = request.text("condition", "not-running") if request.version >= _CHOSEN_WAITS else "not-running"
        if condition not in _CONDITIONS:
            raise errors.InvalidInput(f'invalid condition: "{condition}"', hint="one of " + ", ".join(_CONDITIONS))
        armed = asyncio.Event()
        waiting = asyncio.create_task(self._containers.wait(request.name, condition, armed), name="wait")
        arming = asyncio.create_task(armed.wait(), name="wait armed")
        try:
            limit = None if condition == "next-exit" else _ARM_SECONDS  # the others miss nothing when they begin late
            await asyncio.wait((waiting, arming), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            waiting.cancel()
            raise
        finally:
            arming.cancel()
        if waiting.done():
            waiting.result()  # an error that comes at once still has its status code
        return Stream(message.JSON, _wait_pieces(waiting))

    async def top(self, request: Request) -> Answer:
        """`docker top`."""
        top = await self._containers.top(request.name, request.text("ps_args", "-ef"))
        return message.reply({"Titles": top.titles, "Processes": top.processes})

    async def tree(self, request: Request) -> Answer:
        """The processes of a container with what they belong to."""
        return message.reply(await self._containers.tree(request.name))

    async def changes(self, request: Request) -> Answer:
        """`docker diff`."""
        changed = await self._containers.changes(request.name)
        return message.reply([{"Path": path, "Kind": kind} for kind, path in changed])


async def _wait_pieces(waiting: asyncio.Task[views.WaitResult]) -> AsyncIterator[bytes]:
    """The end of a container; an error that comes late stands in the document."""
    try:
        result = await waiting
        document: dict[str, object] = {"StatusCode": result.exit_code}
        if result.error:
            document["Error"] = {"Message": result.error}
    except Exception as error:  # noqa: BLE001 - the status is sent already
        document = {"StatusCode": 125, "Error": {"Message": http_errors.sentence(error)}}
    finally:
        waiting.cancel()
    yield message.encode(document)


def _stop_signal(request: Request) -> str:
    """`signal` of stop and restart, which came with 1.42."""
    return request.text("signal") if request.version >= (1, 42) else ""


def _timeout(request: Request) -> int | None:
    return request.number("t", 0) if request.text("t") else None


def size(request: Request) -> tuple[int, int]:
    """`h` and `w` of a query. Raises InvalidInput."""
    return checked_size(_side(request, "h", "height"), _side(request, "w", "width"))


def _side(request: Request, name: str, what: str) -> int:
    text = request.text(name)
    reason = "" if text.isascii() and text.removeprefix("-").isdigit() else "invalid syntax"
    if not reason and (text.startswith("-") or len(text) > _LONGEST_SIDE or int(text) >= 1 << 32):
        reason = "value out of range"
    if reason:
        raise errors.InvalidInput(f'invalid resize {what} "{errors.shown(text)}": {reason}')
    return int(text)


def checked_size(height: int, width: int) -> tuple[int, int]:
    """A terminal's size as the kernel can hold it (`struct winsize`, ioctl_tty(2)). Raises InvalidInput."""
    if not (0 <= height <= _LARGEST_SIDE and 0 <= width <= _LARGEST_SIDE):
        raise errors.InvalidInput(
            f"invalid terminal size {height}x{width}", hint=f"rows and columns from 0 to {_LARGEST_SIDE}"
        )
    return height, width
