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
from typing import Final

from pouch.edge.http import times

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
    MEANT_NOTHING_BEFORE = "say something: clients before see one and the same value"


@dataclass(frozen=True, slots=True)
class Change:
    """From `since` on `members` of `noun` are as `how` says. Dots lead into objects; `*` is every member, or element of a list."""

    since: Version
    noun: Noun
    how: How
    members: tuple[str, ...]
    before: object = None
    """The one value, where the members meant nothing."""


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Clients before `since` see what `rewrite` makes of a document; it changes nothing of what it is given."""

    since: Version
    noun: Noun
    rewrite: Callable[[Document], Document]


def text(version: Version) -> str:
    """`1.56`."""
    return f"{version[0]}.{version[1]}"


_OLD_ADDRESSES = (
    *("Bridge", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "SecondaryIPAddresses"),
    *("SecondaryIPv6Addresses", "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress"),
    *("IPPrefixLen", "IPv6Gateway", "MacAddress"),
)
_NO_CONFIG_OF_IMAGES = (
    *("Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"),
    "Image",
)
"""What a container's configuration has and an image's has not, but was shown empty."""
_CONFIG_OF_IMAGES = ("Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "User", "Volumes", "WorkingDir")
_COMMITS = ("ContainerdCommit.Expected", "RuncCommit.Expected", "InitCommit.Expected")
_ARTIFACTS = ("AllowNondistributableArtifactsCIDRs", "AllowNondistributableArtifactsHostnames")

CHANGES: tuple[Change, ...] = (
    Change((1, 53), Noun.INFO, How.ADDED, ("NRI",)),
    Change((1, 52), Noun.CONTAINER, How.REMOVED, tuple(f"NetworkSettings.{name}" for name in _OLD_ADDRESSES)),
    Change((1, 52), Noun.CONTAINER, How.REMOVED, ("Config.MacAddress", "HostConfig.KernelMemoryTCP")),
    Change((1, 52), Noun.CONTAINER, How.OMITTED_WHEN_EMPTY, ("Config.OnBuild",)),
    Change((1, 52), Noun.CONTAINER_LINE, How.ADDED, ("Health",)),
    Change((1, 52), Noun.IMAGE, How.OMITTED_WHEN_EMPTY, tuple(f"Config.{name}" for name in _CONFIG_OF_IMAGES)),
    Change((1, 52), Noun.IMAGE, How.OMITTED_WHEN_EMPTY, ("Parent", "Comment", "DockerVersion", "Author")),
    Change((1, 52), Noun.NETWORK, How.ADDED, ("Status",)),
    Change((1, 52), Noun.EVENT, How.REMOVED, ("status", "id", "from")),
    Change((1, 52), Noun.INFO, How.REMOVED, ("KernelMemoryTCP",)),
    Change((1, 52), Noun.USAGE, How.ADDED, ("ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage")),
    Change((1, 51), Noun.IMAGE_LINE, How.MEANT_NOTHING_BEFORE, ("Containers",), before=-1),
    Change((1, 50), Noun.IMAGE, How.REMOVED, tuple(f"Config.{name}" for name in _NO_CONFIG_OF_IMAGES)),
    Change((1, 50), Noun.INFO, How.REMOVED, ("BridgeNfIptables", "BridgeNfIp6tables")),
    Change((1, 50), Noun.INFO, How.ADDED, ("DiscoveredDevices",)),
    Change((1, 49), Noun.INFO, How.ADDED, ("FirewallBackend",)),
    Change((1, 49), Noun.INFO, How.REMOVED, _COMMITS),
    Change((1, 48), Noun.IMAGE, How.ADDED, ("Descriptor", "Manifests")),
    Change((1, 48), Noun.IMAGE_LINE, How.ADDED, ("Descriptor",)),
    Change((1, 48), Noun.CONTAINER, How.ADDED, ("ImageManifestDescriptor",)),
    Change((1, 47), Noun.IMAGE_LINE, How.ADDED, ("Manifests",)),
    Change((1, 47), Noun.INFO, How.REMOVED, tuple(f"RegistryConfig.{name}" for name in _ARTIFACTS)),
    Change((1, 46), Noun.INFO, How.ADDED, ("Containerd",)),
    Change((1, 46), Noun.CONTAINER_LINE, How.ADDED, ("HostConfig.Annotations",)),
    Change((1, 45), Noun.IMAGE, How.REMOVED, ("Container", "ContainerConfig")),
    Change((1, 44), Noun.IMAGE, How.REMOVED, ("VirtualSize",)),
    Change((1, 44), Noun.IMAGE, How.OMITTED_WHEN_EMPTY, ("Created",)),
    Change((1, 44), Noun.IMAGE_LINE, How.REMOVED, ("VirtualSize",)),
    Change((1, 44), Noun.INFO, How.ADDED, ("Runtimes.*.status",)),
    Change((1, 42), Noun.INFO, How.OMITTED_WHEN_EMPTY, ("KernelMemory",)),
    Change((1, 42), Noun.USAGE, How.REMOVED, ("BuilderSize",)),
)
"""Newest first."""


def _with_short_ids(document: Document) -> Document:
    """Each network's aliases end with the container's short id and host name, where it has a name service."""
    id_, config, settings = document["Id"], document.get("Config"), document.get("NetworkSettings")
    networks = settings.get("Networks") if isinstance(settings, dict) else None
    if not isinstance(id_, str) or not isinstance(networks, dict) or not isinstance(settings, dict):
        return document
    hostname = config.get("Hostname") if isinstance(config, dict) else ""
    more = [name for name in (id_[:12], hostname) if name]
    named = {
        name: {**place, "Aliases": list(dict.fromkeys([*(place.get("Aliases") or ()), *more]))}
        if name not in _WITHOUT_NAMES and not name.startswith("container:")
        else place
        for name, place in networks.items()
    }
    return {**document, "NetworkSettings": {**settings, "Networks": named}}


def _with_nothing_named(document: Document) -> Document:
    if document.get("RepoTags") or document.get("RepoDigests"):
        return document
    return {**document, "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}


def _with_plain_security(document: Document) -> Document:
    """`seccomp` for `name=seccomp,profile=builtin`."""
    options = document.get("SecurityOptions")
    if not isinstance(options, list):
        return document
    plain = [str(one).partition(",")[0].removeprefix("name=") for one in options]
    return {**document, "SecurityOptions": plain}


_WITHOUT_NAMES = frozenset(("bridge", "host", "none", "default"))

REWRITINGS: tuple[Rewriting, ...] = (
    Rewriting((1, 45), Noun.CONTAINER, _with_short_ids),
    Rewriting((1, 43), Noun.IMAGE_LINE, _with_nothing_named),
    Rewriting((1, 25), Noun.INFO, _with_plain_security),
)
"""Newest first."""


def fit(noun: Noun, document: Document, version: Version) -> Document:
    """The document as a client of `version` is to see it; what is given stays as it is."""
    for path, value in _steps(noun, version):
        document = _edited(document, path, value)
    for one in REWRITINGS:
        if one.noun is noun and version < one.since:
            document = one.rewrite(document)
    return document


_GONE: Final = object()
_Value = Callable[[object], object]
"""What a member is to be, of what it is; _GONE: it is to be taken out."""
_Path = tuple[str, ...]
_EMPTY: tuple[object, ...] = (None, "", 0, False, [], {}, (), times.ZERO)


def _gone(_: object) -> object:
    return _GONE


def _gone_if_empty(value: object) -> object:
    return _GONE if value in _EMPTY else value


@functools.cache
def _steps(noun: Noun, version: Version) -> tuple[tuple[_Path, _Value], ...]:
    """Which members become what. Bounded: versions are those that are spoken."""
    found: list[tuple[_Path, _Value]] = []
    for change in CHANGES:
        edit = _edit(change, new=version >= change.since) if change.noun is noun else None
        if edit is not None:
            found += [(tuple(member.split(".")), edit) for member in change.members]
    return tuple(found)


def _edit(change: Change, *, new: bool) -> _Value | None:
    """None where the member stays as it is."""
    match change.how:
        case How.ADDED:
            return None if new else _gone
        case How.REMOVED:
            return _gone if new else None
        case How.OMITTED_WHEN_EMPTY:
            return _gone_if_empty if new else None
        case How.MEANT_NOTHING_BEFORE:
            return None if new else lambda _: change.before


def _edited(document: Document, path: _Path, value: _Value) -> Document:
    """A copy with the member as it is to be, as far as anything changes; what is not on the path is shared."""
    first, rest = path[0], path[1:]
    if first == "*":
        return {name: _inside(item, rest, value) for name, item in document.items()}
    if first not in document:
        return document
    then = _inside(document[first], rest, value) if rest else value(document[first])
    if then is _GONE:
        return {name: item for name, item in document.items() if name != first}
    return document if then is document[first] else {**document, first: then}


def _inside(item: object, path: _Path, value: _Value) -> object:
    if isinstance(item, Mapping):
        return _edited(dict(item), path, value)
    if isinstance(item, (list, tuple)) and path[0] == "*":
        return [_inside(one, path[1:], value) for one in item]
    return item
