"""`/_ping`, `/version`, `/info`, `/system/df`, `/doctor`."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pouch.edge.http import message, pouchcontainer, present, router, usages, versions, volumes
from pouch.edge.http.message import Answer, Reply, Request, Route
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import reference

_TEXT = "text/plain; charset=utf-8"
_STATE = (
    ("Builder-Version", "1"),
    ("Swarm", "inactive"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
)
_PING = Reply(200, b"OK", _TEXT, _STATE)
_PING_HEAD = Reply(200, b"", _TEXT, (*_STATE, ("Content-Type", _TEXT)))


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = System(facade.system, facade.containers)
    return (
        Route("GET", "/_ping", noun.ping),
        Route("HEAD", "/_ping", noun.ping),
        Route("GET", "/version", noun.version),
        Route("GET", "/info", noun.info),
        Route("GET", "/system/df", noun.usage),
        Route("GET", "/doctor", noun.look),
        Route("POST", "/doctor", noun.doctor, changes=True),
    )


def _volumes(found: object) -> list[dict[str, object]]:
    return (
        [volumes.present(one) for one in found if isinstance(one, views.VolumeView)] if isinstance(found, list) else []
    )


class System:
    """The handlers."""

    def __init__(self, system: engine.SystemFacade, containers: engine.ContainersFacade) -> None:
        self._system = system
        self._containers = containers

    async def ping(self, request: Request) -> Answer:
        """Whether the daemon answers, and which API it speaks. Of HEAD the length is 0, as with Docker."""
        return _PING_HEAD if request.method == "HEAD" else _PING

    async def version(self, request: Request) -> Answer:
        """`docker version`."""
        minimum = ".".join(map(str, router.MINIMUM))
        known = {"ApiVersion": router.API_VERSION, "MinAPIVersion": minimum}
        return message.reply(_with_details({**known, **await self._system.version()}))

    async def info(self, request: Request) -> Answer:
        """`docker info`."""
        document = {**_names(), **await self._system.info()}
        if pouchcontainer.speaks(request):
            document = pouchcontainer.information(document)
        return message.reply(versions.fit(versions.Noun.INFO, document, request.version))

    async def usage(self, request: Request) -> Answer:
        """`docker system df`; with `type`, given once or more, these kinds only."""
        kinds = usages.kinds(request)
        verbose = usages.verbose(request)
        found = dict(await self._system.usage())
        found["Containers"] = await self._sized(found["Containers"])
        found["Volumes"] = _volumes(found["Volumes"])
        document = usages.document(found, kinds, request.version, verbose=verbose)
        return message.reply(versions.fit(versions.Noun.USAGE, document, request.version))

    async def _sized(self, sizes: object) -> list[dict[str, object]]:
        """The lines of `docker ps -as` for the containers whose sizes are known."""
        by_id = {one["Id"]: one for one in sizes} if isinstance(sizes, list) else {}
        if not by_id:
            return []
        now = time.time()
        views = await self._containers.list(all=True)
        return [{**present.summary(view, now), **by_id[view.id]} for view in views if view.id in by_id]

    async def look(self, request: Request) -> Answer:
        """What `doctor` finds; changes nothing."""
        return message.reply(documents(await self._system.doctor(False)))

    async def doctor(self, request: Request) -> Answer:
        """The same, and with `fix=1` repairs what can be."""
        return message.reply(documents(await self._system.doctor(request.flag("fix"))))


def _names() -> dict[str, str]:
    """What a name means that leaves something out: clients look for credentials by it. The second member is ours."""
    plain = reference.Reference.parse("x")
    address = _HUB if plain.domain == "docker.io" else f"https://{plain.domain}/"
    return {"IndexServerAddress": address, "DefaultNamespace": plain.path.removesuffix("x").rstrip("/")}


_HUB = "https://index.docker.io/v1/"
"""As Docker's clients know the address of its own registry."""
_DETAILS = ("ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion", "GoVersion", "GitCommit", "BuildTime")


def _with_details(version: dict[str, object]) -> dict[str, object]:
    """Docker's client shows what the component `Engine` says of itself, not the document's own members."""
    details = {name: version.get(name, "") for name in _DETAILS} | {"Experimental": "false"}
    components = version.get("Components")
    if not isinstance(components, list):
        return version
    told = [
        one | {"Details": one.get("Details", {}) | details} if one.get("Name") == "Engine" else one
        for one in components
    ]
    return {**version, "Components": told}


def documents(findings: Sequence[engine.Finding]) -> list[dict[str, object]]:
    """`GET /doctor`: one object per finding."""
    return [
        {
            "Name": finding.name,
            "Level": str(finding.level),
            "Found": finding.found,
            "Advice": finding.advice,
            "Fixable": finding.fixable,
            "Ok": finding.ok,
        }
        for finding in findings
    ]
