"""`/images`: those that are here."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence

from pouch.edge.http import filters, message, registry, times
from pouch.edge.http.message import Answer, Reply, Request, Route
from pouch.engine import facade as engine
from pouch.engine import views

_FILTERS = frozenset(("reference", "dangling", "label", "before", "since"))
_PRUNE_FILTERS = frozenset(("dangling", "until", "label", "label!"))


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
        none = request.version < (1, 43)  # from then on what has no name has an empty list
        named = (_of_references(view, wanted.get("reference", ())) for view in found if _matches(view, wanted))
        return message.reply([_summary(view, none=none) for view in named if view is not None])

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

    async def tag(self, request: Request) -> Answer:
        """`docker tag`."""
        await self._images.tag(request.name, registry.new_name(request, needed=True))
        return Reply(201)

    async def prune(self, request: Request) -> Answer:
        """`docker image prune`."""
        pruned = await self._images.prune(filters.parse(request.text("filters"), _PRUNE_FILTERS))
        removed = [{kind: what} for kind, what in pruned.removed]
        return message.reply({"ImagesDeleted": removed or None, "SpaceReclaimed": pruned.reclaimed})


def _matches(view: views.ImageView, wanted: filters.Filters) -> bool:
    if dangling := wanted.get("dangling"):
        only = dangling[0].lower() in ("1", "true")
        if only is bool(view.tags):
            return False
    labels = wanted.get("label")
    return not labels or filters.has_labels(_labels(view) or {}, labels)


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


def _labels(view: views.ImageView) -> dict[str, str] | None:
    labels = view.config.get("Labels")
    return labels if isinstance(labels, dict) else None


def _summary(view: views.ImageView, *, none: bool) -> dict[str, object]:
    tags, digests = list(view.tags), list(view.digests)
    if none:
        tags, digests = tags or ["<none>:<none>"], digests or ([] if tags else ["<none>@<none>"])
    return {
        "Id": view.id,
        "ParentId": "",
        "RepoTags": tags,
        "RepoDigests": digests,
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
        "Comment": view.comment,
        "Created": view.created,
        "Container": "",
        "ContainerConfig": None,
        "DockerVersion": "",
        "Author": view.author,
        "Config": view.config,
        "Architecture": view.architecture,
        **({"Variant": view.variant} if view.variant else {}),
        "Os": view.os,
        "Size": view.size,
        "VirtualSize": view.size,
        "GraphDriver": {"Name": "overlay2", "Data": None},
        "RootFS": {"Type": "layers", "Layers": list(view.layers)},
        "Metadata": {"LastTagTime": times.ZERO},
    }
