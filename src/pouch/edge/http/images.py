"""`/images`: those that are here."""

from __future__ import annotations

import builtins
import dataclasses
import fnmatch
import time
from collections.abc import Sequence

from pouch.edge.http import (
    filters,
    image_documents,
    message,
    platform,
    pouchcontainer,
    prunes,
    registry,
    times,
    versions,
)
from pouch.edge.http.message import Answer, Reply, Request, Route
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors, label, moment

_FILTERS = frozenset(("reference", "dangling", "label", "before", "since", "until"))
_PRUNE_FILTERS = frozenset(("dangling", "until", "label", "label!"))

_READS_CONTAINER_CONFIG = "docker-compose/1."
"""It asks for the newest version and reads a member that went with 1.45, at each `up` that makes a container anew; dockerd fails it there."""


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Images(facade)
    return (
        Route("GET", "/images/json", noun.list),
        Route("POST", "/images/prune", noun.prune, changes=True),
        Route("GET", "/images/{name}/json", noun.inspect),
        Route("GET", "/images/{name}/history", noun.history),
        Route("POST", "/images/{name}/tag", noun.tag, changes=True),
        Route("DELETE", "/images/{name}", noun.remove, changes=True),
    )


class Images:
    """The handlers."""

    def __init__(self, facade: engine.Facade) -> None:
        self._images = facade.images
        self._containers = facade.containers

    async def list(self, request: Request) -> Answer:
        """`docker images`."""
        wanted = _wanted(request)
        manifests = request.version >= (1, 47) and request.flag("manifests")
        if request.version >= (1, 54) and request.flag("identity") and not manifests:
            raise errors.InvalidInput("conflicting options: identity requires manifests=1")
        found = [view for view in await self._images.list() if _matches(view, wanted)]
        if until := [moment.seconds(text, time.time()) for text in wanted.get("until", ())]:
            found = [view for view in found if times.seconds(view.created) < min(until)]
        for ref in wanted.get("before", ()):
            created = times.seconds((await self._images.get(ref)).created)
            found = [view for view in found if times.seconds(view.created) < created]
        for ref in wanted.get("since", ()):
            created = times.seconds((await self._images.get(ref)).created)
            found = [view for view in found if times.seconds(view.created) > created]
        named = [_of_references(view, wanted.get("reference", ())) for view in found]
        chosen = [view for view in named if view is not None]
        if manifests:
            chosen = [await self._with_manifest(view) for view in chosen]
        return message.reply(await self._lines(request, chosen, manifests=manifests))

    async def _with_manifest(self, view: views.ImageView) -> views.ImageView:
        """The same names with the rest of it. One that has gone meanwhile stays as it was."""
        try:
            whole = await self._images.get(view.id)
        except errors.NotFound:
            return view
        return dataclasses.replace(whole, tags=view.tags, digests=view.digests)

    async def _lines(
        self, request: Request, found: Sequence[views.ImageView], *, manifests: bool
    ) -> builtins.list[image_documents.Document]:
        asked = request.version >= (1, 42) and request.flag("shared-size")
        shared = await self._images.shared_sizes() if asked else {}
        users = self._users()
        lines = [
            versions.fit(
                versions.Noun.IMAGE_LINE,
                image_documents.summary(
                    view,
                    shared=shared.get(view.id, 0) if asked else -1,
                    users=users.get(view.id, ()),
                    manifests=manifests,
                ),
                request.version,
            )
            for view in found
        ]
        if not pouchcontainer.speaks(request):
            return lines
        return [pouchcontainer.image(line, view) for view, line in zip(found, lines, strict=True)]

    def _users(self) -> dict[str, builtins.list[str]]:
        """Ids of containers by their image's."""
        found: dict[str, builtins.list[str]] = {}
        for view in self._containers.all():
            found.setdefault(view.image_id, []).append(view.id)
        return found

    async def inspect(self, request: Request) -> Answer:
        """`docker image inspect`."""
        manifests = request.version >= (1, 48) and request.flag("manifests")
        asked = platform.wanted(request, since=(1, 49))
        if asked and manifests:
            raise errors.InvalidInput("conflicting options: manifests and platform options cannot both be set")
        for one in asked:
            await self._images.check_platform(request.name, one)
        view = await self._images.get(request.name)
        document = image_documents.inspect(view, users=self._users().get(view.id, ()), manifests=manifests)
        fitting = versions.fit(versions.Noun.IMAGE, document, request.version)
        if request.headers.get("user-agent", "").startswith(_READS_CONTAINER_CONFIG):
            fitting["ContainerConfig"] = document["ContainerConfig"]
        if pouchcontainer.speaks(request):
            fitting = pouchcontainer.image(fitting, view)
        return message.reply(fitting)

    async def history(self, request: Request) -> Answer:
        """`docker history`."""
        for one in platform.wanted(request, since=(1, 48)):
            await self._images.check_platform(request.name, one)
        found = await self._images.history(request.name)
        if pouchcontainer.speaks(request):
            found = [pouchcontainer.history(dict(one)) for one in found]
        return message.reply(found)

    async def remove(self, request: Request) -> Answer:
        """`docker rmi`."""
        if not request.name.strip():
            raise errors.InvalidInput("image name cannot be blank")
        for one in platform.wanted(request, since=(1, 50), key="platforms"):
            await self._images.check_platform(request.name, one)  # it is kept for one platform, and goes as a whole
        removed = await self._images.remove(request.name, force=request.flag("force"))
        return message.reply([{kind: what} for kind, what in removed])

    async def tag(self, request: Request) -> Answer:
        """`docker tag`."""
        await self._images.tag(request.name, registry.new_name(request, needed=True))
        return Reply(201)

    async def prune(self, request: Request) -> Answer:
        """`docker image prune`."""
        pruned = await self._images.prune(filters.parse(request.text("filters"), _PRUNE_FILTERS))
        removed = [{kind: what} for kind, what in pruned.removed]
        report: prunes.Report = {"ImagesDeleted": removed or None, "SpaceReclaimed": pruned.reclaimed}
        return prunes.answer(request, report, pruned.removed)


def _wanted(request: Request) -> filters.Filters:
    """The filters, with the pattern that old clients give by itself."""
    found = filters.parse(request.text("filters"), _FILTERS)
    pattern = request.text("filter") if request.version < (1, 41) else ""
    if pattern and "reference" not in found:
        found["reference"] = [pattern]
    return found


def _matches(view: views.ImageView, wanted: filters.Filters) -> bool:
    dangling = filters.truth(wanted, "dangling")
    if dangling is not None and dangling is bool(view.tags):
        return False
    return label.fit(image_documents.labels(view) or {}, wanted.get("label", ()))


def _of_references(view: views.ImageView, patterns: Sequence[str]) -> views.ImageView | None:
    """The image with those of its names that match; None where none does."""
    if not patterns:
        return view
    tags = tuple(name for name in view.tags if _is_reference(name, patterns))
    digests = tuple(name for name in view.digests if _is_reference(name, patterns))
    return dataclasses.replace(view, tags=tags, digests=digests) if tags or digests else None


def _is_reference(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name matches, with its tag or digest or without. As with Go's path.Match no star reaches over a slash."""
    bare = name.partition("@")[0]
    if bare == name and registry.is_tagged(name):
        bare = name.rpartition(":")[0]
    return any(_match(one.split("/"), pattern.split("/")) for one in (name, bare) for pattern in patterns)


def _match(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))
