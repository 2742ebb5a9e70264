"""What each route takes and answers, for the description of the API (`openapi`): names and types, no behaviour.

A house test holds that every route is here and nothing else. Descriptions are Docker's words for Docker's endpoints, shortest first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pouch.edge.http import message
from pouch.edge.http.schema import commit, container, network, process, registry, update, upgrade, volume

TAR = "application/x-tar"
OCTETS = "application/octet-stream"
TEXT = "text/plain"

FLAG: dict[str, Any] = {"type": "boolean"}
NUMBER: dict[str, Any] = {"type": "integer"}
WORD: dict[str, Any] = {"type": "string"}
WORDS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
FILTERS: dict[str, Any] = {
    "type": "string",
    "description": 'JSON: {"label": ["a=b"]}, or of old {"label": {"a=b": true}}',
}
TIME: dict[str, Any] = {
    "type": "string",
    "description": "seconds since 1970 with a fraction, RFC 3339, or a duration before now",
}
SECONDS: dict[str, Any] = {"type": "integer", "description": "seconds; -1: without limit"}

OBJECT: dict[str, Any] = {"type": "object"}
ARRAY: dict[str, Any] = {"type": "array"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route. body: the struct of a JSON document, or the media type of bytes; answer: a JSON schema, a media type, or None."""

    summary: str
    query: dict[str, dict[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    """Of the query."""
    body: type | str | None = None
    answer: dict[str, Any] | str | None = None
    status: int = 200
    """When all went well."""
    errors: tuple[int, ...] = ()
    """Besides 400 (wrong input), 404 (path or object unknown) and 500."""
    ours: bool = False
    """Docker's API has no such endpoint."""


def _do(summary: str, *errors: int, **query: dict[str, Any]) -> Operation:
    """A change without an answer."""
    return Operation(summary=summary, query=query, status=204, errors=errors)


def _no_swarm(summary: str) -> Operation:
    return Operation(summary=f"{summary}: this engine is no swarm's", errors=(503,), answer=OBJECT)


def _without(summary: str) -> Operation:
    return Operation(summary=f"{summary}: not done here, says where else", errors=(501,), answer=OBJECT)


def _noted(summary: str) -> Operation:
    return Operation(summary=f"{summary}: there are no plugins of this kind", answer=OBJECT)


_HW = {"h": NUMBER, "w": NUMBER}
_STREAMS = {"stdin": FLAG, "stdout": FLAG, "stderr": FLAG, "stream": FLAG, "logs": FLAG, "detachKeys": WORD}

CONTAINERS = {
    "GET /containers/json": Operation(
        summary="List containers",
        query={"all": FLAG, "limit": NUMBER, "size": FLAG, "filters": FILTERS, "before": WORD, "since": WORD},
        answer=ARRAY,
    ),
    "POST /containers/create": Operation(
        summary="Create a container",
        query={"name": WORD, "platform": WORD},
        body=container.Create,
        answer=OBJECT,
        status=201,
        errors=(403, 409, 501, 503),
    ),
    "POST /containers/prune": Operation(summary="Remove stopped containers", query={"filters": FILTERS}, answer=OBJECT),
    "GET /containers/{name}/json": Operation(summary="Inspect a container", query={"size": FLAG}, answer=OBJECT),
    "POST /containers/{name}/start": _do("Start a container", 304, 409, detachKeys=WORD, checkpoint=WORD),
    "POST /containers/{name}/stop": _do("Stop a container", 304, t=SECONDS, signal=WORD),
    "POST /containers/{name}/restart": _do("Restart a container", 409, t=SECONDS, signal=WORD),
    "POST /containers/{name}/kill": _do("Send a signal to a container's process", 409, signal=WORD),
    "POST /containers/{name}/pause": _do("Freeze all processes of a container", 409),
    "POST /containers/{name}/unpause": _do("Let them run again", 409),
    "POST /containers/{name}/rename": _do("Rename a container", 409, name=WORD),
    "POST /containers/{name}/resize": Operation(summary="Set the size of its terminal", query=_HW, errors=(409,)),
    "DELETE /containers/{name}": _do("Remove a container", 409, v=FLAG, force=FLAG, link=FLAG),
    "POST /containers/{name}/wait": Operation(
        summary="Wait for its end",
        query={"condition": {"type": "string", "enum": ["not-running", "next-exit", "removed"]}},
        answer=OBJECT,
    ),
    "GET /containers/{name}/top": Operation(
        summary="List its processes", query={"ps_args": WORD}, answer=OBJECT, errors=(409,)
    ),
    "GET /containers/{name}/tree": Operation(
        summary="List its processes with what they belong to", answer=ARRAY, errors=(409,), ours=True
    ),
    "GET /containers/{name}/changes": Operation(summary="List what it changed of its image", answer=ARRAY),
    "GET /containers/{name}/logs": Operation(
        summary="Read what it has written",
        query={
            **dict.fromkeys(("follow", "stdout", "stderr", "timestamps", "details"), FLAG),
            "since": TIME,
            "until": TIME,
            "tail": WORD,
        },
        answer=message.MULTIPLEXED_STREAM,
        errors=(501,),
    ),
    "POST /containers/{name}/attach": Operation(
        summary="Attach to its streams", query=_STREAMS, answer=message.MULTIPLEXED_STREAM, errors=(409,)
    ),
    "GET /containers/{name}/attach/ws": Operation(
        summary="Attach to its streams by a websocket", query=_STREAMS, answer=OBJECT, errors=(409,)
    ),
    "POST /containers/{name}/exec": Operation(
        summary="Note what is to be run in a container",
        body=process.ExecCreate,
        answer=OBJECT,
        status=201,
        errors=(409,),
    ),
    "GET /containers/{name}/export": Operation(summary="Read all its files", answer=TAR, errors=(409,)),
    "HEAD /containers/{name}/archive": Operation(
        summary="Look at a file in a container", query={"path": WORD}, required=("path",), errors=(403,)
    ),
    "GET /containers/{name}/archive": Operation(
        summary="Read files from a container", query={"path": WORD}, required=("path",), answer=TAR, errors=(403,)
    ),
    "PUT /containers/{name}/archive": Operation(
        summary="Put files into a container",
        query={"path": WORD, "noOverwriteDirNonDir": FLAG, "copyUIDGID": FLAG},
        required=("path",),
        body=TAR,
        errors=(403,),
    ),
    "GET /containers/{name}/stats": Operation(
        summary="Read its use of cpu, memory, network and disks",
        query={"stream": FLAG, "one-shot": FLAG},
        answer=OBJECT,
    ),
    "POST /containers/{name}/update": Operation(
        summary="Change limits, restart policy, environment or labels",
        body=update.Update,
        answer=OBJECT,
        errors=(409, 501),
    ),
    "POST /containers/{name}/upgrade": Operation(
        summary="Put it on another image", body=upgrade.Upgrade, answer=OBJECT, errors=(409, 501, 503), ours=True
    ),
    "GET /containers/{name}/checkpoints": _without("List checkpoints"),
    "POST /containers/{name}/checkpoints": _without("Make a checkpoint"),
}

EXECS = {
    "POST /exec/{name}/start": Operation(
        summary="Run it", body=process.ExecStart, answer=message.MULTIPLEXED_STREAM, errors=(409,)
    ),
    "POST /exec/{name}/resize": Operation(summary="Set the size of its terminal", query=_HW, errors=(409,)),
    "GET /exec/{name}/json": Operation(summary="Inspect an exec", answer=OBJECT),
}

IMAGES = {
    "GET /images/json": Operation(
        summary="List images",
        query={
            "all": FLAG,
            "filters": FILTERS,
            "shared-size": FLAG,
            "digests": FLAG,
            "manifests": FLAG,
            "identity": FLAG,
        },
        answer=ARRAY,
    ),
    "POST /images/prune": Operation(summary="Remove unused images", query={"filters": FILTERS}, answer=OBJECT),
    "GET /images/{name}/json": Operation(
        summary="Inspect an image", query={"manifests": FLAG, "platform": WORD}, answer=OBJECT
    ),
    "GET /images/{name}/history": Operation(summary="List its layers", query={"platform": WORD}, answer=ARRAY),
    "POST /images/{name}/tag": Operation(
        summary="Give an image another name", query={"repo": WORD, "tag": WORD}, status=201, errors=(409,)
    ),
    "DELETE /images/{name}": Operation(
        summary="Remove an image",
        query={"force": FLAG, "noprune": FLAG, "platforms": WORDS},
        answer=ARRAY,
        errors=(409,),
    ),
    "POST /images/create": Operation(
        summary="Pull or import an image",
        query={
            **dict.fromkeys(("fromImage", "fromSrc", "repo", "tag", "message", "platform"), WORD),
            "changes": WORDS,
        },
        body=OCTETS,
        answer=OBJECT,
        errors=(403, 501, 503),
    ),
    "POST /images/{name}/push": Operation(
        summary="Give an image to its registry",
        query={"tag": WORD, "platform": WORD},
        answer=OBJECT,
        errors=(403, 501, 503),
    ),
    "GET /images/search": Operation(
        summary="Search a registry",
        query={"term": WORD, "limit": NUMBER, "filters": FILTERS},
        required=("term",),
        answer=ARRAY,
        errors=(403, 501, 503),
    ),
    "POST /images/search": Operation(
        summary="Search a registry, as PouchContainer's client asks",
        query={"term": WORD, "limit": NUMBER, "filters": FILTERS},
        required=("term",),
        answer=ARRAY,
        errors=(403, 501, 503),
    ),
    "GET /distribution/{name}/json": Operation(
        summary="Ask a registry for an image's descriptor", answer=OBJECT, errors=(403, 501, 503)
    ),
    "POST /auth": Operation(
        summary="Try credentials", body=registry.AuthConfig, answer=OBJECT, errors=(204, 401, 403, 501, 503)
    ),
    "GET /images/get": Operation(
        summary="Read images as an archive",
        query={"names": WORDS, "platform": WORDS, "format": WORD, "compression": WORD},
        answer=TAR,
    ),
    "GET /images/save": Operation(
        summary="Read an image as an archive, as PouchContainer's client asks",
        query={"name": WORD},
        answer=TAR,
    ),
    "GET /images/{name}/get": Operation(
        summary="Read an image as an archive",
        query={"platform": WORDS, "format": WORD, "compression": WORD},
        answer=TAR,
    ),
    "POST /images/load": Operation(
        summary="Load an archive of images", query={"quiet": FLAG, "platform": WORDS}, body=TAR, answer=OBJECT
    ),
    "POST /images/bootstrap": Operation(
        summary="Make an image from a distribution's packages",
        query=dict.fromkeys(("name", "include", "variant", "mirror", "keyring", "date"), WORD),
        answer=OBJECT,
        errors=(501, 503),
        ours=True,
    ),
    "GET /images/{name}/attestations": Operation(summary="List an image's attestations", answer=ARRAY, errors=(501,)),
    "POST /commit": Operation(
        summary="Make an image of a container",
        query={
            **dict.fromkeys(("container", "repo", "tag", "comment", "author"), WORD),
            "pause": FLAG,
            "changes": WORDS,
        },
        body=commit.Config,
        answer=OBJECT,
        status=201,
        errors=(409,),
    ),
}

NETWORKS = {
    "GET /networks": Operation(summary="List networks", query={"filters": FILTERS}, answer=ARRAY),
    "POST /networks/create": Operation(
        summary="Create a network", body=network.Create, answer=OBJECT, status=201, errors=(403, 409, 501, 503)
    ),
    "POST /networks/prune": Operation(summary="Remove unused networks", query={"filters": FILTERS}, answer=OBJECT),
    "GET /networks/{name}": Operation(
        summary="Inspect a network", query={"verbose": FLAG, "scope": WORD}, answer=OBJECT
    ),
    "DELETE /networks/{name}": _do("Remove a network", 403, 409),
    "POST /networks/{name}/connect": Operation(
        summary="Make a container a member", body=network.Connect, errors=(403, 409, 501, 503)
    ),
    "POST /networks/{name}/disconnect": Operation(
        summary="End a membership", body=network.Disconnect, errors=(403, 409)
    ),
}

VOLUMES = {
    "GET /volumes": Operation(summary="List volumes", query={"filters": FILTERS}, answer=OBJECT),
    "POST /volumes/create": Operation(
        summary="Create a volume", body=volume.Create, answer=OBJECT, status=201, errors=(409, 501, 503)
    ),
    "POST /volumes/prune": Operation(summary="Remove unused volumes", query={"filters": FILTERS}, answer=OBJECT),
    "GET /volumes/{name}": Operation(summary="Inspect a volume", answer=OBJECT, errors=(503,)),
    "DELETE /volumes/{name}": _do("Remove a volume", 409, 503, force=FLAG),
    "PUT /volumes/{name}": _no_swarm("Update a cluster volume"),
}

SYSTEM = {
    "GET /_ping": Operation(summary="Whether it answers", answer=TEXT),
    "HEAD /_ping": Operation(summary="Whether it answers"),
    "GET /version": Operation(summary="The engine's version", answer=OBJECT),
    "GET /info": Operation(summary="The engine and its host", answer=OBJECT),
    "GET /system/df": Operation(summary="Use of the disk", query={"type": WORDS, "verbose": FLAG}, answer=OBJECT),
    "GET /events": Operation(
        summary="What happens", query={"since": TIME, "until": TIME, "filters": FILTERS}, answer=OBJECT
    ),
    "GET /doctor": Operation(summary="Look whether the host can run containers", answer=ARRAY, ours=True),
    "POST /doctor": Operation(summary="Put right what can be", query={"fix": FLAG}, answer=ARRAY, ours=True),
    "POST /daemon/update": Operation(
        summary="Change the engine's settings while it runs",
        body=update.Daemon,
        answer=OBJECT,
        errors=(501,),
        ours=True,
    ),
    "GET /openapi.json": Operation(summary="This description", answer=OBJECT, ours=True),
}

ABSENT = {
    **{
        f"{method} {path}": _no_swarm(summary)
        for method, path, summary in (
            ("GET", "/swarm", "Inspect the swarm"),
            ("GET", "/swarm/unlockkey", "Read the unlock key"),
            ("POST", "/swarm/update", "Update the swarm"),
            ("POST", "/swarm/unlock", "Unlock the swarm"),
            ("POST", "/swarm/leave", "Leave the swarm"),
            ("GET", "/tasks", "List tasks"),
            ("GET", "/tasks/{name}", "Inspect a task"),
            ("GET", "/tasks/{name}/logs", "Read a task's logs"),
            ("GET", "/services/{name}/logs", "Read a service's logs"),
            *(
                (method, path.format(kind=kind), f"{verb} {kind}")
                for kind in ("services", "nodes", "secrets", "configs")
                for method, path, verb in (
                    ("GET", "/{kind}", "List"),
                    ("GET", "/{kind}/{{name}}", "Inspect one of the"),
                    ("DELETE", "/{kind}/{{name}}", "Remove one of the"),
                    ("POST", "/{kind}/{{name}}/update", "Update one of the"),
                    ("POST", "/{kind}/create", "Create one of the"),
                )
                if (kind, verb) != ("nodes", "Create one of the")
            ),
        )
    },
    "POST /swarm/init": _without("Make a swarm"),
    "POST /swarm/join": _without("Join a swarm"),
    "GET /plugins": Operation(summary="List plugins: none", query={"filters": FILTERS}, answer=ARRAY),
    "GET /plugins/privileges": _without("What a plugin would be allowed"),
    "POST /plugins/pull": _without("Install a plugin"),
    "POST /plugins/create": _without("Create a plugin"),
    "GET /plugins/{name}/json": _noted("Inspect a plugin"),
    "DELETE /plugins/{name}": _noted("Remove a plugin"),
    **{
        f"POST /plugins/{{name}}/{verb}": _noted(f"{verb} a plugin")
        for verb in ("enable", "disable", "push", "set", "upgrade")
    },
    "POST /build": _without("Build an image"),
    "POST /build/cancel": _without("Cancel a build"),
    "POST /build/prune": Operation(
        summary="Empty the build cache: there is none", query={"filters": FILTERS}, answer=OBJECT
    ),
    "POST /session": _without("Begin a session of a builder"),
    "POST /grpc": _without("Speak with a builder"),
}

ALL: dict[str, Operation] = {**CONTAINERS, **EXECS, **IMAGES, **NETWORKS, **VOLUMES, **SYSTEM, **ABSENT}
"""By method and template, as the routes have them."""
