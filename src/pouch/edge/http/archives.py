"""Images out of files and into files: `/images/load`, `/images/get`, `/images/bootstrap`."""

from __future__ import annotations

from pouch.edge.http import message, platform, registry, streams
from pouch.edge.http.message import Answer, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.spec import errors

_PLATFORMS = (1, 48)
_TAR = "application/x-tar"


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes. Import has Docker's path for pulls, see `transfers`."""
    noun = Archives(facade)
    return (
        Route("POST", "/images/load", noun.load, changes=True),
        Route("POST", "/images/bootstrap", noun.bootstrap, changes=True),
        Route("GET", "/images/get", noun.save),
        Route("GET", "/images/save", noun.save),
        Route("GET", "/images/{name}/get", noun.save),
    )


class Archives:
    """The handlers."""

    def __init__(self, facade: engine.Facade) -> None:
        self._archives = facade.archives
        self._images = facade.images

    async def load(self, request: Request) -> Answer:
        """`docker load`."""
        # Its first piece, before a thread waits for more: what makes an archive may take long to begin.
        asked = platform.wanted(request, since=_PLATFORMS)
        if len(asked) > 1:
            raise errors.Unsupported("an image is kept for one platform", hint="give platform once")
        steps = await self._archives.load(
            await streams.begun(request.body.chunks()), platform=asked[0] if asked else ""
        )
        pieces = streams.progress_pieces(steps, sentences="stream")
        return Stream(message.JSON, await streams.begun(pieces), must_finish=True)

    async def save(self, request: Request) -> Answer:
        """`docker save`, of one image or of several; our own: `format` and `compression`. PouchContainer's client says `name`."""
        names = (request.name,) if request.name else request.texts("names") or request.texts("name")
        if not names:
            raise errors.InvalidInput("names is missing: the images to save", hint="for example names=debian:bookworm")
        for wanted in platform.wanted(request, since=_PLATFORMS):
            for name in names:
                await self._images.check_platform(name, wanted)  # an image is kept for one platform
        pieces = await self._archives.save(
            names, format=request.text("format"), compression=request.text("compression")
        )
        return Stream(_TAR, streams.closing(pieces), checked=True)

    async def import_(self, request: Request) -> Answer:
        """`docker import` of the body. Of an address: the daemon fetches for nobody what is no registry's."""
        source = request.text("fromSrc")
        if source != "-":
            raise errors.InvalidInput(
                f"fromSrc={source}: this daemon does not fetch archives",
                hint="fetch it and send it as the body, with fromSrc=- (`curl -L ADDRESS | pouch import -`)",
            )
        steps = await self._archives.import_(
            request.body.chunks(),
            registry.new_name(request, needed=False),
            changes=request.texts("changes"),
            message=request.text("message"),
            platform=request.text("platform"),
        )
        pieces = streams.progress_pieces(steps, sentences="status", checked=True)
        return Stream(message.JSON, await streams.begun(pieces), must_finish=True)

    async def bootstrap(self, request: Request) -> Answer:
        """Make an image of a distribution."""
        name = request.text("name")
        if not name:
            raise errors.InvalidInput("name is missing: the image to make", hint="for example name=debian:bookworm")
        include = tuple(package for package in request.text("include").replace(",", " ").split() if package)
        steps = await self._archives.bootstrap(
            name,
            include,
            request.text("variant"),
            request.text("mirror"),
            keyring=request.text("keyring"),
            date=request.text("date"),
        )
        return Stream(message.JSON, streams.progress_pieces(steps, sentences="status"))
