"""What this engine has none of: swarms, plugins, builds, checkpoints. Answered as dockerd answers where there are none.

Where dockerd would do it and we do not, the answer is 501 and says where else it is done.
"""

from __future__ import annotations

from pouch.edge.http import message
from pouch.edge.http.message import Answer, Handler, Request, Route
from pouch.engine import facade as engine
from pouch.spec import errors

NO_SWARM = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
"""Docker's sentence; its clients look for the beginning."""

_SWARM_KINDS = ("services", "nodes", "secrets", "configs")
_SWARM_READ = ("/swarm", "/swarm/unlockkey", "/tasks", "/tasks/{name}", "/tasks/{name}/logs", "/services/{name}/logs")
_OF_PLUGINS = (
    *(("GET", "json"), ("DELETE", ""), ("POST", "enable"), ("POST", "disable"), ("POST", "push")),
    *(("POST", "set"), ("POST", "upgrade")),
)
_ELSEWHERE = "build it with another tool (buildah, podman, docker), then load it or pull it from a registry"


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """All of them."""
    noun = Absent(facade)
    return (*_swarm(), *_plugins(noun), *_builds(noun), *_checkpoints(noun))


def _swarm() -> list[Route]:
    found = [Route("GET", template, _no_manager) for template in _SWARM_READ]
    for kind in _SWARM_KINDS:
        found += [
            Route("GET", f"/{kind}", _no_manager),
            Route("GET", f"/{kind}/{{name}}", _no_manager),
            Route("DELETE", f"/{kind}/{{name}}", _no_manager),
            Route("POST", f"/{kind}/{{name}}/update", _no_manager),
        ]
        if kind != "nodes":
            found.append(Route("POST", f"/{kind}/create", _no_manager))
    reason = "swarm mode is not supported: this engine runs containers of one host"
    found += [Route("POST", f"/swarm/{verb}", _refusal(reason)) for verb in ("init", "join")]
    found += [Route("POST", f"/swarm/{verb}", _no_manager) for verb in ("update", "unlock")]
    found += [
        Route("POST", "/swarm/leave", _unavailable("This node is not part of a swarm")),
        Route(
            "PUT",
            "/volumes/{name}",
            _unavailable("volume update only valid for cluster volumes, but swarm is unavailable"),
        ),
    ]
    return found


def _plugins(noun: Absent) -> list[Route]:
    found = [
        Route(method, f"/plugins/{{name}}/{verb}" if verb else "/plugins/{name}", noun.plugin)
        for method, verb in _OF_PLUGINS
    ]
    refused = _refusal(
        "managed plugins are not supported", "volume plugins are found by their sockets, see pouchd's configuration"
    )
    return [
        *found,
        Route("GET", "/plugins", _nothing),
        Route("GET", "/plugins/privileges", refused),
        Route("POST", "/plugins/pull", refused),
        Route("POST", "/plugins/create", refused),
    ]


def _builds(noun: Absent) -> list[Route]:
    refused = _refusal("this engine builds no images", _ELSEWHERE)
    return [
        Route("POST", "/build", refused),
        Route("POST", "/build/cancel", refused),
        Route("POST", "/build/prune", noun.prune_builds),
        Route("POST", "/session", refused),
        Route("POST", "/grpc", refused),
        Route("GET", "/images/{name}/attestations", noun.attestations),
    ]


def _checkpoints(noun: Absent) -> list[Route]:
    return [Route(method, "/containers/{name}/checkpoints", noun.checkpoints) for method in ("GET", "POST")]


def _refusal(sentence: str, hint: str = "") -> Handler:
    async def refuse(_: Request) -> Answer:
        raise errors.Unsupported(sentence, hint=hint)

    return refuse


def _unavailable(sentence: str) -> Handler:
    async def refuse(_: Request) -> Answer:
        raise errors.Unavailable(sentence)

    return refuse


_no_manager = _unavailable(NO_SWARM)


async def _nothing(_: Request) -> Answer:
    return message.reply([])


class Absent:
    """The handlers that look at what they are asked about."""

    def __init__(self, facade: engine.Facade) -> None:
        self._containers = facade.containers
        self._images = facade.images

    async def plugin(self, request: Request) -> Answer:
        """No plugin has any name."""
        raise errors.NotFound(f'plugin "{errors.shown(request.name)}" not found')

    async def prune_builds(self, request: Request) -> Answer:
        """`docker system prune` asks this too: there is no cache, so nothing is removed, which is no failure."""
        return message.reply({"CachesDeleted": None, "SpaceReclaimed": 0})

    async def attestations(self, request: Request) -> Answer:
        """An image is kept for one platform, without the statements that its index has beside it."""
        await self._images.get(request.name)
        return message.reply([])

    async def checkpoints(self, request: Request) -> Answer:
        """Refused, for a container that there is."""
        await self._containers.get(request.name)
        raise errors.Unsupported("checkpoints are not supported by this engine")
