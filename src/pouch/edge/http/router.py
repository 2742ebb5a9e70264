"""Method and path to handler; the version prefix."""

from __future__ import annotations

from collections.abc import Iterable
from urllib import parse

from pouch.edge.http import message, versions
from pouch.spec import errors

MINIMUM = versions.MINIMUM
MAXIMUM = versions.MAXIMUM
API_VERSION = versions.text(MAXIMUM)
_LONGEST_VERSION = 12


def negotiate(path: str) -> tuple[tuple[int, int], str]:
    """The version asked for and the path behind it. Raises InvalidInput with Docker's sentences."""
    if path[:2] != "/v" or not path[2:3].isdigit():
        return MAXIMUM, path
    asked, slash, rest = path[2:].partition("/")
    major, dot, minor = asked.partition(".")
    if not (slash and dot and major.isdecimal() and minor.isdecimal()):
        return MAXIMUM, path
    too_long = len(asked) > _LONGEST_VERSION
    version = MAXIMUM if too_long else (int(major), int(minor))
    if version > MAXIMUM or too_long:
        asked = asked[:_LONGEST_VERSION]
        raise errors.InvalidInput(f"client version {asked} is too new. Maximum supported API version is {API_VERSION}")
    if version < MINIMUM:
        raise errors.InvalidInput(
            f"client version {asked} is too old. Minimum supported API version is {MINIMUM[0]}.{MINIMUM[1]}, "
            "please upgrade your client to a newer version"
        )
    return version, "/" + rest


async def _nothing(_: message.Request) -> message.Answer:
    return message.Reply(200)


_OPTIONS = message.Route("OPTIONS", "*", _nothing)


class Router:
    """Routes by dictionary: fixed paths, else first and last segment with the parameter (it may hold slashes) between."""

    def __init__(self, routes: Iterable[message.Route]) -> None:
        self._fixed: dict[str, dict[str, message.Route]] = {}
        self._named: dict[tuple[str, str], dict[str, message.Route]] = {}
        for route in routes:
            first, opening, rest = route.template.partition("/{name}")
            named, fixed = (first, rest.removeprefix("/")), route.template
            methods = self._named.setdefault(named, {}) if opening else self._fixed.setdefault(fixed, {})
            methods[route.method] = route

    def find(self, method: str, path: str) -> tuple[message.Route, str]:
        """The route and its decoded parameter. Raises HttpError 404 or 405. OPTIONS is answered for every path, as with Docker."""
        if method == "OPTIONS":
            return _OPTIONS, ""
        allowed: set[str] = set()
        for methods, name in self._candidates(path):
            if method in methods:
                return methods[method], parse.unquote(name)
            if "/" not in name:  # else the path may as well be one that does not exist
                allowed.update(methods)
        if allowed:
            allow = ", ".join(sorted(allowed))
            raise message.HttpError(405, f"method {method} not allowed, only {allow}", (("Allow", allow),))
        raise message.HttpError(404, "page not found")

    def _candidates(self, path: str) -> Iterable[tuple[dict[str, message.Route], str]]:
        if path in self._fixed:
            yield self._fixed[path], ""
        end = path.find("/", 1)
        if end < 0:
            return
        first, rest = path[:end], path[end + 1 :]
        name, slash, last = rest.rpartition("/")
        above, longer, between = name.rpartition("/")
        if longer and above and (first, f"{between}/{last}") in self._named:  # /containers/{name}/attach/ws
            yield self._named[first, f"{between}/{last}"], above
        if slash and name and (first, last) in self._named:
            yield self._named[first, last], name
        if rest and not rest.startswith("/") and (first, "") in self._named:
            yield self._named[first, ""], rest
