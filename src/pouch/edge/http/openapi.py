"""The description of the API (OpenAPI 3.1): the operations, and the documents that requests bring as JSON schemas of their structs.

`GET /openapi.json` answers it, also to clients that make code or tests of it (tests/clients/test_schemathesis.py).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgspec

from pouch import __version__
from pouch.edge.http import message, operations, versions
from pouch.edge.http.message import Answer, Request, Route

_TAGS = {
    "containers": operations.CONTAINERS,
    "exec": operations.EXECS,
    "images": operations.IMAGES,
    "networks": operations.NETWORKS,
    "volumes": operations.VOLUMES,
    "system": operations.SYSTEM,
    "absent": operations.ABSENT,
}
_ERROR_TEXTS = {
    204: "Done, and nothing to say.",
    304: "Nothing was to be done.",
    400: "The request is wrong; the message says what was expected.",
    401: "The registry does not know these credentials.",
    403: "It is not permitted.",
    404: "No such path or object.",
    409: "It conflicts with what is.",
    500: "The host or a program it needs failed.",
    501: "It is not done here.",
    503: "Something it needs is not available.",
}
_ALWAYS = (400, 404, 500)
_BODILESS = (204, 304)
_ERROR = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string"}, "exitCode": {"type": "integer"}},
}


def routes() -> tuple[Route, ...]:
    """The noun's route."""
    return (Route("GET", "/openapi.json", _answer),)


async def _answer(_request: Request) -> Answer:
    return message.Reply(200, _encoded())


@functools.cache
def _encoded() -> bytes:
    return message.encode(document())


def document() -> dict[str, Any]:
    """The whole description."""
    bodies = {one.body: one.body.__name__ for one in operations.ALL.values() if isinstance(one.body, type)}
    schemas, components = msgspec.json.schema_components(list(bodies), ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for tag, those in _TAGS.items():
        for key, one in those.items():
            method, _, path = key.partition(" ")
            paths.setdefault(path, {})[method.lower()] = _operation(
                key, one, tag, dict(zip(bodies, schemas, strict=True))
            )
    newest = ".".join(str(number) for number in versions.MAXIMUM)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pouch Engine API",
            "version": __version__,
            "summary": f"Docker's Engine API {newest} with rich containers",
            "description": f"Every path may begin with a version, /v{versions.MINIMUM[0]}.{versions.MINIMUM[1]} to /v{newest}.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in _TAGS],
        "paths": paths,
        "components": {"schemas": {**components, "Error": _ERROR}},
    }


def _operation(key: str, one: operations.Operation, tag: str, schemas: dict[type, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identifier(key),
        "summary": one.summary,
        "tags": [tag],
        "parameters": list(_parameters(key, one)),
        "responses": _responses(one),
    }
    if one.ours:
        found["description"] = "Pouch's own."
    if isinstance(one.body, str):
        binary = {"type": "string", "format": "binary"}
        found["requestBody"] = {"content": {one.body: {"schema": binary}}}
    elif one.body is not None:
        found["requestBody"] = {"content": {message.JSON: {"schema": schemas[one.body]}}}
    return found


def _identifier(key: str) -> str:
    """`GET /containers/{name}/attach/ws` as get_containers_name_attach_ws."""
    return "".join(
        letter if letter.isalnum() else "_"
        for letter in key.lower().replace("{", "").replace("}", "").replace(" /", "_")
    )


def _parameters(key: str, one: operations.Operation) -> Iterator[dict[str, Any]]:
    if "{name}" in key:
        wanted = {"type": "string", "minLength": 1}
        yield {"name": "name", "in": "path", "required": True, "schema": wanted}
    for name, schema in one.query.items():
        yield {"name": name, "in": "query", "required": name in one.required, "schema": schema}


def _responses(one: operations.Operation) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    if isinstance(one.answer, str):
        good["content"] = {one.answer: {"schema": {"type": "string", "format": "binary"}}}
    elif one.answer is not None:
        good["content"] = {message.JSON: {"schema": one.answer}}
    found = {str(one.status): good}
    for code in sorted({*_ALWAYS, *one.errors}):
        found[str(code)] = {"description": _ERROR_TEXTS[code]}
        if code not in _BODILESS:
            found[str(code)]["content"] = {message.JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return found
