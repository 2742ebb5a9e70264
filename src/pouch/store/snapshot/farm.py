"""A layer made without an overlay, in the form an overlay would have left it.

What the layers below show is laid out as directories of our own full of hard links to their files. The tar is applied to that as to
any file system: whoever applies it puts new files in the place of old ones and never writes into an old one, so the layers below stay
as they are. What has another inode afterwards than the layers have is the new layer; what is missing is a whiteout of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pouch.spec import errors
from pouch.store.snapshot import copying, difference, grounds, lowerview


def lay(below: Sequence[str], farm: str) -> None:
    """Fill an empty directory with what layers show. below: their directories, top first.

    Raises Unavailable for what the file system refuses, Unsupported for a path too long.
    """
    copying.Links().tree(below, farm)


def collect(farm: str, below: Sequence[str], into: str) -> None:
    """Put what was changed in a farm into an empty directory, which becomes a layer over `below`. Nobody else is at work in the farm.

    Raises as `lay`.
    """
    try:
        _collect(os.fsencode(farm), lowerview.root(below), os.fsencode(into))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise errors.Unsupported(f"{into}: the layer has a path that is too long") from error
        raise grounds.unavailable(into, error) from error


@dataclass(frozen=True, slots=True)
class _Place:
    """One directory: in the farm, in the new layer, and its attributes in the layers below (None: not there)."""

    farm: bytes
    into: bytes
    before: tuple[object, ...] | None


def _collect(farm: bytes, merged: tuple[bytes, ...], into: bytes) -> None:
    seen: list[_Place] = []
    pending = [(_Place(farm, into, None), merged)]
    while pending:  # no recursion: a path has room for more directories than the stack
        place, layers = pending.pop()
        seen.append(place)
        pending += _one(place, layers)
    for place in reversed(seen):  # children before those they are in
        # one that only its children were compared in is no part of the layer
        if place.before == difference.attributes(place.farm) and not os.listdir(place.into):
            os.rmdir(place.into)
        else:
            lowerview.copy_attributes(place.farm, place.into)


def _one(place: _Place, layers: Sequence[bytes]) -> Iterator[tuple[_Place, tuple[bytes, ...]]]:
    """Compare one directory; the directories in it."""
    below = lowerview.entries(layers)
    with os.scandir(place.farm) as listing:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in listing]
    for name, status in found:
        before = below.pop(name, None)
        path, target = place.farm + b"/" + name, place.into + b"/" + name
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(target, 0o700)
            old = before.merged if before else ()
            yield _Place(path, target, difference.attributes(old[0]) if old else None), old
        elif before is None or before.status.st_ino != status.st_ino:
            os.link(path, target, follow_symlinks=False)
    for name in below:
        _whiteout(place.into, name)


def _whiteout(directory: bytes, name: bytes) -> None:
    try:
        os.mknod(directory + b"/" + name, stat.S_IFCHR, os.makedev(0, 0))
    except PermissionError:  # an overlay takes no overlay's marks
        os.close(os.open(directory + b"/" + lowerview.MARK + name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
