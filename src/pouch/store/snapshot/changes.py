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
        found = list(_walk(fd, lowerview.root(layers), "", 0))
    finally:
        os.close(fd)
    return sorted(found, key=lambda change: change[1])


def _walk(fd: int, merged: Sequence[bytes], above: str, depth: int) -> Iterator[snapshot.Change]:
    """The changes below one directory of upper. merged: the lower directories it is laid over."""
    if depth > DEEPEST:
        raise errors.Unsupported(f"{above}: more than {DEEPEST} directories within each other are not compared")
    seen: set[bytes] = set()
    for name in _names(fd):
        seen.add(name)
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            yield from _entry(fd, name, merged, f"{above}/{os.fsdecode(name)}", depth)


def _entry(fd: int, name: bytes, merged: Sequence[bytes], path: str, depth: int) -> Iterator[snapshot.Change]:
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    before = lowerview.find(merged, name)
    if lowerview.is_whiteout(status):
        if before is not None:
            yield snapshot.DELETED, path
        return
    if not stat.S_ISDIR(status.st_mode):
        yield (snapshot.ADDED if before is None else snapshot.MODIFIED), path
        return
    yield from _directory(fd, name, before, path, depth)


def _directory(
    fd: int, name: bytes, before: lowerview.Found | None, path: str, depth: int
) -> Iterator[snapshot.Change]:
    try:
        inner = os.open(name, _DIRECTORY, dir_fd=fd)
    except NotADirectoryError:  # replaced since it was looked at; the next call sees it as it then is
        return
    try:
        below = before.merged if before else ()
        opaque = lowerview.is_opaque(inner)
        children = list(_walk(inner, () if opaque else below, path, depth + 1))
        if opaque:
            children = _against_hidden(children, below, path, _names(inner))
        if before is None:
            yield snapshot.ADDED, path
        elif children or not before.merged or _attributes(inner) != _attributes(before.path):
            yield snapshot.MODIFIED, path
        yield from children
    finally:
        os.close(inner)


def _against_hidden(
    children: list[snapshot.Change], below: Sequence[bytes], path: str, present: Sequence[bytes]
) -> list[snapshot.Change]:
    """An opaque directory's changes: what it hides is deleted, and what is there again under its old name is modified."""
    hidden = {name for directory in below for name in os.listdir(directory) if lowerview.find(below, name)}
    again = {f"{path}/{os.fsdecode(name)}" for name in hidden & set(present)}
    kept = [(snapshot.MODIFIED if changed in again else kind, changed) for kind, changed in children]
    return kept + [(snapshot.DELETED, f"{path}/{os.fsdecode(name)}") for name in hidden - set(present)]


def _names(fd: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(fd)]


def _attributes(directory: bytes | int) -> tuple[object, ...]:
    """What of a directory can be changed without changing a child."""
    status = os.stat(directory)
    extended = {
        name: os.getxattr(directory, name)
        for name in os.listxattr(directory)
        if not name.startswith(lowerview.OVERLAY_XATTRS)
    }
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, extended
