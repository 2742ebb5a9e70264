"""`/images`."""

from __future__ import annotations

import fnmatch

from pouch.edge.http import filters, message, streams, times
from pouch.edge.http.message import Answer, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors

_FILTERS = frozenset(("reference", "dangling", "label", "before", "since"))


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Images(facade)
    return (
        Route("GET", "/images/json", noun.list),
        Route("POST", "/images/load", noun.load, changes=True),
        Route("POST", "/images/bootstrap", noun.bootstrap, changes=True),
        Route("POST", "/images/create", noun.pull),
        Route("GET", "/images/{name}/json", noun.inspect),
        Route("GET", "/images/{name}/history", noun.history),
        Route("DELETE", "/images/{name}", noun.remove, changes=True),
    )


class Images:
    """The handlers."""

    def __init__(self, facade: engine.Facade) -> None:
        self._images = facade.images
        self._archives = facade.archives

    async def list(self, request: Request) -> Answer:
        """`docker images`."""
        wanted = filters.parse(request.text("filters"), _FILTERS)
        found = await self._images.list()
        for ref in wanted.get("before", ()):
            created = times.seconds((await self._images.get(ref)).created)
            found = [view for view in found if times.seconds(view.created) < created]
        for ref in wanted.get("since", ()):
            created = times.seconds((await self._images.get(ref)).created)
            found = [view for view in found if times.seconds(view.created) > created]
        return message.reply([_summary(view) for view in found if _matches(view, wanted)])

    async def inspect(self, request: Request) -> Answer:
        """`docker image inspect`."""
        return message.reply(_inspect(await self._images.get(request.name)))

    async def history(self, request: Request) -> Answer:
        """`docker history`."""
        return message.reply(await self._images.history(request.name))

    async def remove(self, request: Request) -> Answer:
        """`docker rmi`."""
        removed = await self._images.remove(request.name, force=request.flag("force"))
        return message.reply([{kind: what} for kind, what in removed])

    async def load(self, request: Request) -> Answer:
        """`docker load`."""
        steps = await self._archives.load(request.body.chunks())
        pieces = streams.progress_pieces(steps, sentences="stream")
        return Stream(message.JSON, await streams.begun(pieces), must_finish=True)

    async def bootstrap(self, request: Request) -> Answer:
        """Make an image of a distribution."""
        name = request.text("name")
        if not name:
            raise errors.InvalidInput("name is missing: the image to make", hint="for example name=debian:bookworm")
        include = tuple(package for package in request.text("include").replace(",", " ").split() if package)
        steps = await self._archives.bootstrap(name, include, request.text("variant"), request.text("mirror"))
        return Stream(message.JSON, streams.progress_pieces(steps, sentences="status"))

    async def pull(self, request: Request) -> Answer:
        """Say how an image comes here without a registry."""
        name = request.text("fromImage") or request.text("fromSrc")
        raise errors.Unsupported(
            f"{name}: this version does not pull from registries",
            hint="load an archive (`docker save X | pouch load`) or make one (`pouch image bootstrap debian:bookworm`)",
        )


def _matches(view: views.ImageView, wanted: filters.Filters) -> bool:
    if dangling := wanted.get("dangling"):
        only = dangling[0].lower() in ("1", "true")
        if only is bool(view.tags):
            return False
    if (labels := wanted.get("label")) and not filters.has_labels(_labels(view) or {}, labels):
        return False
    references = wanted.get("reference")
    return not references or any(_is_reference(tag, pattern) for tag in view.tags for pattern in references)


def _is_reference(tag: str, pattern: str) -> bool:
    repository, colon, last = tag.rpartition(":")
    bare = repository if colon and "/" not in last else tag
    return fnmatch.fnmatchcase(tag, pattern) or fnmatch.fnmatchcase(bare, pattern)


def _labels(view: views.ImageView) -> dict[str, str] | None:
    labels = view.config.get("Labels")
    return labels if isinstance(labels, dict) else None


def _summary(view: views.ImageView) -> dict[str, object]:
    return {
        "Id": view.id,
        "ParentId": "",
        "RepoTags": list(view.tags) or ["<none>:<none>"],
        "RepoDigests": list(view.digests) or ([] if view.tags else ["<none>@<none>"]),
        "Created": int(times.seconds(view.created)),
        "Size": view.size,
        "VirtualSize": view.size,
        "SharedSize": -1,
        "Labels": _labels(view),
        "Containers": -1,
    }


def _inspect(view: views.ImageView) -> dict[str, object]:
    return {
        "Id": view.id,
        "RepoTags": list(view.tags),
        "RepoDigests": list(view.digests),
        "Parent": "",
        "Comment": "",
        "Created": view.created,
        "Container": "",
        "ContainerConfig": None,
        "DockerVersion": "",
        "Author": view.author,
        "Config": view.config,
        "Architecture": view.architecture,
        "Os": view.os,
        "Size": view.size,
        "VirtualSize": view.size,
        "GraphDriver": {"Name": "overlay2", "Data": None},
        "RootFS": {"Type": "layers", "Layers": list(view.layers)},
        "Metadata": {"LastTagTime": times.ZERO},
    }
