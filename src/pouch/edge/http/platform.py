"""The parameter `platform` of images that are here: a JSON object of the OCI image specification's platform."""

from __future__ import annotations

from pouch.edge.http.message import Request
from pouch.edge.http.schema import decode
from pouch.edge.http.schema import platform as schema
from pouch.edge.http.versions import Version
from pouch.spec import errors

_SEVERAL: Version = (1, 52)


def decoded(text: str) -> str:
    """One platform as `os/architecture[/variant]`. Raises InvalidInput."""
    try:
        found = decode.decode(text.encode(), schema.Platform)
    except errors.InvalidInput as error:
        raise errors.InvalidInput(
            "failed to parse platform: " + error.message.removeprefix("invalid request body: "),
            hint='for example {"os":"linux","architecture":"arm64"}',
        ) from None
    if not (found.os or found.architecture) and (found.variant or found.version or found.features):
        raise errors.InvalidInput("optional platform fields provided, but OS and Architecture are missing")
    if not (found.os and found.architecture):
        raise errors.InvalidInput("both OS and Architecture must be provided")
    return "/".join(part for part in (found.os, found.architecture, found.variant) if part)


def wanted(request: Request, *, since: Version, key: str = "platform") -> tuple[str, ...]:
    """The platforms asked for; none in a version before `since`, which had no such parameter. Raises InvalidInput."""
    given = request.texts(key) if request.version >= since else ()
    if len(given) > 1 and request.version < _SEVERAL and key == "platform":
        raise errors.InvalidInput(
            "multiple platform parameters are not supported in this API version; use API version 1.52 or later"
        )
    return tuple(decoded(text) for text in given if text)
