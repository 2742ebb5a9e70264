"""Which members a document has in which version of the API: the one place that says so.

Documents are made with everything any version has; `fit` makes of one what a client of a version is to see. The changes are those
of Docker's version history as dockerd carries them out: members that it shows to every version, though the history names the
version they came with, are not listed (0038).
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Version = tuple[int, int]
Document = dict[str, object]

MINIMUM: Version = (1, 24)
MAXIMUM: Version = (1, 56)


class Noun(enum.Enum):
    """What a document is about."""

    CONTAINER = "GET /containers/{id}/json"
    CONTAINER_LINE = "GET /containers/json"
    IMAGE = "GET /images/{name}/json"
    IMAGE_LINE = "GET /images/json"
    NETWORK = "GET /networks/{id}"
    NETWORK_LINE = "GET /networks"
    VOLUME = "GET /volumes/{name}"
    EVENT = "GET /events"
    INFO = "GET /info"
    VERSION = "GET /version"
    USAGE = "GET /system/df"


class How(enum.Enum):
    """What happened to the members of a change in its version."""

    ADDED = "came: clients before do not see them"
    REMOVED = "went: only clients before see them"
    OMITTED_WHEN_EMPTY = "are left out where they say nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """From `since` on `members` of `noun` are as `how` says. Dots lead into objects; `*` is every member, or element of a list."""

    since: Version
    noun: Noun
    how: How
    members: tuple[str, ...]


def text(version: Version) -> str:
    """`1.56`."""
    return f"{version[0]}.{version[1]}"


_OLD_ADDRESSES = (
    *("Bridge", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "SecondaryIPAddresses"),
    *("SecondaryIPv6Addresses", "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress"),
    *("IPPrefixLen", "IPv6Gateway", "MacAddress"),
)

CHANGES: tuple[Change, ...] = (
    Change((1, 52), Noun.CONTAINER, How.REMOVED, tuple(f"NetworkSettings.{name}" for name in _OLD_ADDRESSES)),
    Change((1, 52), Noun.CONTAINER, How.OMITTED_WHEN_EMPTY, ("Config.OnBuild",)),
    Change((1, 52), Noun.EVENT, How.REMOVED, ("status", "id", "from")),
)
"""Newest first."""


def fit(noun: Noun, document: Document, version: Version) -> Document:
    """The document as a client of `version` is to see it; what is given stays as it is."""
    for path, keep in _steps(noun, version):
        document = _edited(document, path, keep)
    return document


_Keep = Callable[[object], bool]
_Path = tuple[str, ...]


def _never(_: object) -> bool:
    return False


def _filled(value: object) -> bool:
    return value not in (None, "", 0, False, [], {}, ())


@functools.cache
def _steps(noun: Noun, version: Version) -> tuple[tuple[_Path, _Keep], ...]:
    """What is to be taken out, and which values stay nevertheless. Bounded: versions are those that are spoken."""
    found: list[tuple[_Path, _Keep]] = []
    for change in CHANGES:
        if change.noun is not noun:
            continue
        new = version >= change.since
        keep: _Keep | None
        match change.how:
            case How.ADDED:
                keep = None if new else _never
            case How.REMOVED:
                keep = _never if new else None
            case How.OMITTED_WHEN_EMPTY:
                keep = _filled if new else None
        if keep is not None:
            found += [(tuple(member.split(".")), keep) for member in change.members]
    return tuple(found)


def _edited(value: Document, path: _Path, keep: _Keep) -> Document:
    """A copy without the member, as far as anything changes; what is not on the path is shared."""
    first, rest = path[0], path[1:]
    if first == "*":
        return {name: _inside(item, rest, keep) for name, item in value.items()}
    if first not in value:
        return value
    if rest:
        return {**value, first: _inside(value[first], rest, keep)}
    if keep(value[first]):
        return value
    return {name: item for name, item in value.items() if name != first}


def _inside(value: object, path: _Path, keep: _Keep) -> object:
    if isinstance(value, Mapping):
        return _edited(dict(value), path, keep)
    if isinstance(value, (list, tuple)) and path[0] == "*":
        return [_inside(item, path[1:], keep) for item in value]
    return value
