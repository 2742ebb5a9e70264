"""A container's changes by directory, with the names that belong to them although nobody changed them: those of one file.

A snapshotter that copies keeps the hard links between a new name and names the image has. In an image each layer must say for itself
which of its names are one file, so a layer that has one of them needs them all.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pouch.store import snapshot
from pouch.store.snapshot import lowerview

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_File = tuple[int, int]
"""Device and inode number."""


class Node:
    """One name in the changes: its kind, and what changed below it. The root's kind is MODIFIED."""

    __slots__ = ("below", "kind")

    def __init__(self) -> None:
        self.kind = snapshot.MODIFIED
        self.below: Mapping[bytes, Node] = _NOTHING

    def child(self, name: bytes) -> Node:
        """What is below under this name, made if it is not there."""
        if self.below is _NOTHING:
            self.below = {}
        assert isinstance(self.below, dict)
        found: Node | None = self.below.get(name)
        if found is None:
            found = self.below[name] = Node()
        return found


_NOTHING: Mapping[bytes, Node] = {}
"""Most names have nothing below them, and a container may have changed a million."""


def nested(changes: Sequence[snapshot.Change]) -> Node:
    """The root of these changes."""
    root = Node()
    for kind, path in changes:
        at = root
        for name in os.fsencode(path).strip(b"/").split(b"/"):
            at = at.child(name)
        at.kind = kind
    return root


def add_links(root: Node, tree: int, layers: Sequence[str]) -> None:
    """Add to the changes the names of the image that are the same file as one of theirs. tree: of the changed files, open.

    layers: their directories, top first; names that they do not show are none of the image's.
    """
    known: Counter[_File] = Counter()
    wanted: dict[_File, int] = {}
    for name, node, above in _changed(root, tree):
        if node.kind == snapshot.DELETED or node.below:
            continue
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=above, follow_symlinks=False)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                file = status.st_dev, status.st_ino
                known[file] += 1
                wanted[file] = status.st_nlink
    missing = {file for file, links in wanted.items() if links > known[file]}
    for path in _named(tree, missing) if missing else ():
        if _is_shown(path, layers):
            at = root
            for name in path:
                at = at.child(name)


def _changed(root: Node, tree: int) -> Iterator[tuple[bytes, Node, int]]:
    """Every name in the changes, with the open directory it is in. Not deeper than the snapshotters compare."""
    for name, node in root.below.items():
        yield name, node, tree
        if node.below:
            with _opened(name, tree) as inner:
                if inner >= 0:
                    yield from _changed(node, inner)


def _named(tree: int, files: set[_File], above: tuple[bytes, ...] = ()) -> Iterator[tuple[bytes, ...]]:
    """The paths of these files in a tree, as names."""
    for name in map(os.fsencode, os.listdir(tree)):
        path = (*above, name)
        try:
            status = os.stat(name, dir_fd=tree, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            with _opened(name, tree) as inner:
                if inner >= 0:
                    yield from _named(inner, files, path)
        elif (status.st_dev, status.st_ino) in files:
            yield path


def _is_shown(path: Sequence[bytes], layers: Sequence[str]) -> bool:
    """Whether the layers have a file there that is no directory."""
    merged = lowerview.root(layers)
    for name in path:
        found = lowerview.find(merged, name)
        if found is None:
            return False
        merged = found.merged
    return not merged


@contextlib.contextmanager
def _opened(name: bytes, above: int) -> Iterator[int]:
    """A directory's descriptor, -1 where it is none any more."""
    try:
        fd = os.open(name, DIRECTORY, dir_fd=above)
    except (FileNotFoundError, NotADirectoryError):
        yield -1
        return
    try:
        yield fd
    finally:
        os.close(fd)
