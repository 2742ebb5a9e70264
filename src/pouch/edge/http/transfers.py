"""Images from and to registries: `/images/create`, push, `/images/search`, `/distribution`, `/auth`."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping

from pouch.edge.http import archives, filters, message, registry, streams
from pouch.edge.http.message import Answer, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.spec import errors, reference

_SEARCH_FILTERS = frozenset(("is-automated", "is-official", "stars"))
_FOUND_USUALLY = 25
_FOUND_AT_MOST = 100


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Transfers(facade)
    return (
        Route("POST", "/images/create", noun.create),
        Route("POST", "/images/{name}/push", noun.push),
        Route("GET", "/images/search", noun.search, waits=True),
        Route("POST", "/images/search", noun.search, waits=True),
        Route("GET", "/distribution/{name}/json", noun.distribution, waits=True),
        Route("POST", "/auth", noun.authenticate, waits=True),
    )


class Transfers:
    """The handlers. Pulls and pushes end with the client that asked for them."""

    def __init__(self, facade: engine.Facade) -> None:
        self._transfers = facade.transfers
        self._archives = archives.Archives(facade)

    async def create(self, request: Request) -> Answer:
        """`docker pull`; with `fromSrc` `docker import`. A name without a tag means all of the repository's."""
        name = request.text("fromImage").removesuffix(":")
        if not name:
            if request.text("fromSrc"):
                return await self._archives.import_(request)
            raise errors.InvalidInput(
                "fromImage is missing: the image to pull", hint="or fromSrc=-, to import the body"
            )
        name = registry.joined(name, request.text("tag"))
        steps = await self._transfers.pull(
            name,
            registry.who(request),
            platform=request.text("platform"),
            all_tags=not registry.is_tagged(name),
        )
        return _told(streams.progress_pieces(steps, sentences="status", checked=True))

    async def push(self, request: Request) -> Answer:
        """`docker push`. Of old the credentials came as the body."""
        name = registry.joined(request.name, request.text("tag"))
        who = registry.who(request)
        if registry.HEADER not in request.headers:
            who = registry.given(await request.read())
        try:
            steps = await self._transfers.push(name, who, all_tags=not registry.is_tagged(name))
        except errors.NotFound as error:
            return Stream(message.JSON, _nothing_to_push(name, error))
        return _told(streams.progress_pieces(steps, sentences="status", checked=True))

    async def search(self, request: Request) -> Answer:
        """`docker search`; PouchContainer's client asks by POST."""
        wanted = filters.parse(request.text("filters"), _SEARCH_FILTERS)
        stars, flags = _stars(wanted), _flags(wanted)
        term = request.text("term")
        if not term:
            raise errors.InvalidInput("term is missing: what to search for")
        limit = request.number("limit", 0) or _FOUND_USUALLY
        if not 1 <= limit <= _FOUND_AT_MOST:
            raise errors.InvalidInput(f"limit {limit} is outside the range of [1, {_FOUND_AT_MOST}]")
        found = [_result(one) for one in await self._transfers.search(term, limit, registry.who(request))]
        chosen = [
            one
            for one in found
            if one["star_count"] >= stars and all(one[member] is value for member, value in flags.items())  # type: ignore[operator]
        ]
        return message.reply(chosen)

    async def distribution(self, request: Request) -> Answer:
        """What a registry has under a name; our own member `Raw`: the manifest itself, in base64."""
        found = await self._transfers.distribution(request.name, registry.who(request))
        descriptor = {"mediaType": found.media_type, "digest": found.digest, "size": found.size}
        document: dict[str, object] = {"Descriptor": descriptor, "Platforms": [dict(one) for one in found.platforms]}
        if found.raw:
            document["Raw"] = base64.b64encode(found.raw).decode()
        return message.reply(document)

    async def authenticate(self, request: Request) -> Answer:
        """`docker login`. Here alone a refusal is 401: clients ask for another password then."""
        who = registry.given(await request.read())
        if who.empty:
            raise errors.InvalidInput("nothing to log in with: expected username and password, or identitytoken")
        try:
            status, token = await self._transfers.authenticate(who)
        except errors.Forbidden as error:
            raise message.HttpError(401, error.message) from None  # its hint would be to log in
        return message.reply({"Status": status, "IdentityToken": token})


async def _nothing_to_push(name: str, error: errors.NotFound) -> AsyncIterator[bytes]:
    """As Docker tells it: in the stream, after its first line; clients look there."""
    yield message.encode({"status": f"The push refers to repository [{reference.Reference.parse(name).name()}]"})
    yield message.encode({"errorDetail": {"message": str(error)}, "error": str(error)})


def _told(pieces: streams.Pieces) -> Stream:
    return Stream(message.JSON, pieces, checked=True)


def _result(found: Mapping[str, object]) -> dict[str, object]:
    """One result with all of Docker's members."""
    stars = found.get("star_count")
    return {
        "star_count": stars if isinstance(stars, int) else 0,
        "is_official": found.get("is_official") is True,
        "name": str(found.get("name") or ""),
        "is_automated": found.get("is_automated") is True,
        "description": str(found.get("description") or ""),
    }


def _stars(wanted: filters.Filters) -> int:
    """The least number of stars."""
    try:
        return max((int(value) for value in wanted.get("stars", ())), default=0)
    except ValueError:
        raise errors.InvalidInput(f"invalid filter 'stars={wanted['stars'][0]}'", hint="a number") from None


def _flags(wanted: filters.Filters) -> dict[str, bool]:
    """What must be so and what must not."""
    found = {}
    for key in ("is-automated", "is-official"):
        for value in wanted.get(key, ()):
            if value.lower() not in ("1", "true", "0", "false"):
                raise errors.InvalidInput(f"invalid filter '{key}={value}'", hint="true or false")
            found[key.replace("-", "_")] = value.lower() in ("1", "true")
    return found
