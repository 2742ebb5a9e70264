"""What a container changed: its upper directory against its layers, in Docker's kinds.

The container may be running and moving directories about meanwhile, so upper is walked by descriptors that never follow a link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from pouch.spec import errors
from pouch.store import snapshot
from pouch.store.snapshot import lowerview

DEEPEST = 200
"""Directories within each other that are followed: each holds a descriptor and three frames of the stack."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def compare(upper: str, layers: Sequence[str]) -> list[snapshot.Change]:
    """All changes, sorted by path. layers: their directories, top first. A missing upper has none.

    Raises Unsupported where directories nest deeper than DEEPEST.
    """
    try:
        fd = os.open(upper, _DIRECTORY)
    except FileNotFoundError:
        return []
    try:
        found = list(_walk(fd, lowerview.root(layers), "", 0, alone=lowerview.is_opaque(fd)))
    finally:
        os.close(fd)
    return sorted(found, key=lambda change: change[1])


def _walk(fd: int, merged: Sequence[bytes], above: str, depth: int, *, alone: bool) -> Iterator[snapshot.Change]:
    """The changes below one directory of upper. merged: the lower directories of its name; alone: upper's hides them."""
    if depth > DEEPEST:
        raise errors.Unsupported(f"{above}: more than {DEEPEST} directories within each other are not compared")
    names = list(map(os.fsencode, os.listdir(fd)))
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            yield from _entry(fd, name, merged, f"{above}/{os.fsdecode(name)}", depth, alone=alone)
    if alone:
        for name in lowerview.entries(merged).keys() - set(names):
            yield snapshot.DELETED, f"{above}/{os.fsdecode(name)}"


def _entry(
    fd: int, name: bytes, merged: Sequence[bytes], path: str, depth: int, *, alone: bool
) -> Iterator[snapshot.Change]:
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    before = lowerview.find(merged, name)
    if lowerview.is_whiteout(status):
        if before is not None:
            yield snapshot.DELETED, path
        return
    if not stat.S_ISDIR(status.st_mode):
        yield (snapshot.ADDED if before is None else snapshot.MODIFIED), path
        return
    try:
        inner = os.open(name, _DIRECTORY, dir_fd=fd)
    except NotADirectoryError:  # replaced since it was looked at; the next call sees it as it then is
        return
    try:
        yield from _directory(inner, before, path, depth, alone=alone or lowerview.is_opaque(inner))
    finally:
        os.close(inner)


def _directory(
    fd: int, before: lowerview.Found | None, path: str, depth: int, *, alone: bool
) -> Iterator[snapshot.Change]:
    children = list(_walk(fd, before.merged if before else (), path, depth + 1, alone=alone))
    if before is None:
        yield snapshot.ADDED, path
    elif children or not before.merged or _attributes(fd) != _attributes(before.path):
        yield snapshot.MODIFIED, path
    yield from children


def _attributes(directory: bytes | int) -> tuple[object, ...]:
    """What of a directory can be changed without changing a child."""
    status = os.stat(directory)
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, lowerview.extended(directory)
