"""`/system/df`: the old form with whole lists, and that of 1.52 with a summary for each kind of thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pouch.edge.http import versions
from pouch.edge.http.message import Request
from pouch.spec import errors

Document = dict[str, object]

_TYPES: versions.Version = (1, 42)
_SUMMARIES: versions.Version = (1, 52)
_TRUTH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What of the answer belongs to a type: the list, numbers beside it, and the summary's name."""

    items: str
    numbers: tuple[str, ...]
    summary: str


_KINDS = {
    "container": _Kind("Containers", (), "ContainerUsage"),
    "image": _Kind("Images", ("LayersSize", "ReclaimableSize"), "ImageUsage"),
    "volume": _Kind("Volumes", (), "VolumeUsage"),
    "build-cache": _Kind("BuildCache", ("BuilderSize",), "BuildCacheUsage"),
}


def kinds(request: Request) -> frozenset[str]:
    """The types asked for, all where none is. Raises InvalidInput."""
    asked = request.texts("type") if request.version >= _TYPES else ()
    for kind in asked:
        if kind not in _KINDS:
            raise errors.InvalidInput(f"unknown object type: {errors.shown(kind)}", hint="one of " + ", ".join(_KINDS))
    return frozenset(asked or _KINDS)


def verbose(request: Request) -> bool | None:
    """Whether the summaries shall have the lists in them; None where nothing is said, or could be. Raises InvalidInput."""
    text = request.text("verbose") if request.version >= _SUMMARIES else ""
    if not text:
        return None
    if text.lower() not in _TRUTH:
        raise errors.InvalidInput(f"invalid value for verbose: {errors.shown(text)}", hint="1 or 0")
    return _TRUTH[text.lower()]


def document(
    found: Mapping[str, object], wanted: frozenset[str], version: versions.Version, *, verbose: bool | None
) -> Document:
    """The answer of what the engine has found; without `verbose` the lists stand beside the summaries, as before them.

    A list that was not asked for is null before 1.52, and is not there from then on.
    """
    answer: Document = {}
    for name, kind in _KINDS.items():
        items = _lines(found.get(kind.items), name, version)
        if name not in wanted:
            if version < _SUMMARIES:
                answer |= {kind.items: None, **dict.fromkeys(kind.numbers, 0)}
            continue
        if verbose is None:
            answer |= {kind.items: items, **{number: found.get(number, 0) for number in kind.numbers}}
        summary = _summary(name, items, found)
        answer[kind.summary] = {**summary, "Items": items} if verbose else summary
    return answer


def _lines(items: object, kind: str, version: versions.Version) -> list[Document]:
    lines = [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []
    if kind == "image":
        # here, unlike in the list of images, their containers have always been counted
        counted = [(one, one.get("Containers", -1)) for one in lines]
        lines = [versions.fit(versions.Noun.IMAGE_LINE, one, version) | {"Containers": count} for one, count in counted]
        lines = [one | {"RepoDigests": one.get("RepoDigests") or None} for one in lines]
    if kind == "container":
        lines = [versions.fit(versions.Noun.CONTAINER_LINE, one, version) for one in lines]
    return lines


def _summary(kind: str, items: Sequence[Document], found: Mapping[str, object]) -> Document:
    """How many there are and are in use, what all take, and what would be free without those that are not. Bytes."""
    match kind:
        case "container":
            used = [one for one in items if one.get("State") in ("running", "paused", "restarting")]
            total, kept = _sum(items, "SizeRw"), _sum(used, "SizeRw")
        case "image":
            used = [one for one in items if _number(one.get("Containers")) > 0]
            total = _number(found.get("LayersSize"))
            kept = total - _number(found.get("ReclaimableSize"))
        case "volume":
            used = [one for one in items if _number(_usage(one).get("RefCount")) > 0]
            total = sum(_size(one) for one in items)
            kept = sum(_size(one) for one in used)
        case _:
            used, total, kept = [], 0, 0
    return {"ActiveCount": len(used), "TotalCount": len(items), "TotalSize": total, "Reclaimable": total - kept}


def _usage(volume: Document) -> Mapping[str, object]:
    usage = volume.get("UsageData")
    return usage if isinstance(usage, dict) else {}


def _size(volume: Document) -> int:
    return max(_number(_usage(volume).get("Size")), 0)  # -1: nobody knows


def _sum(items: Sequence[Document], member: str) -> int:
    return sum(_number(one.get(member)) for one in items)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
