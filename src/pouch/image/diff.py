"""A container's files as a tar: what it changed, as a layer of an image (OCI image-spec, layer.md), or all that it sees.

Both are made of the same three things: the layers' directories, the snapshotter's list of changes, and its directory with the changed
files (`store.snapshot.Snapshotter.tree`). So both hold nothing of ours (seed layer, mount points, /run of a machine, bound
files), need no mount, and carry the container's own ids whatever user namespace it runs in.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pouch.image import apply, changetree, packing, tar, tarwriter
from pouch.store import snapshot
from pouch.store.snapshot import lowerview

_ORDINARY_ROOT: tuple[object, ...] = (stat.S_IFDIR | 0o755, 0, 0, {})


@dataclass(slots=True)
class _Place:
    """A directory on the way of a walk. names: what of it is still to come, the last one first.

    fd: in the tree of changed files, -1 where nothing changed. below: what the layers have there, as far as it is wanted.
    hides: what the layers have there does not count.
    """

    path: bytes
    names: list[bytes]
    change: changetree.Node | None
    fd: int
    below: Mapping[bytes, lowerview.Found]
    hides: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """A container's files. layers: the directories of its image's layers, top first; changes, tree: its snapshotter's.

    still: raises where they are not (all) there any more. It is asked before an archive is ended: what goes meanwhile is left out,
    and an archive of a container that is being removed would look whole.
    """

    layers: Sequence[str]
    changes: Sequence[snapshot.Change]
    tree: str
    still: Callable[[], None] = lambda: None

    def changed(self) -> bool:
        """Whether a layer of the changes would hold anything."""
        if self.changes:
            return True
        with _opened(self.tree) as fd:
            return fd >= 0 and self.root_changed(fd)

    def write_layer(self, sink: tarwriter.Sink, warn: packing.Warn) -> None:
        """Write what changed: each changed file with the directories above it, whiteouts for what is gone.

        A directory that was replaced is opaque. Sockets, and names that mean a whiteout, cannot be in a layer; `warn` is told of the latter.
        """
        writer = tarwriter.Writer(sink)
        _LayerWalk(writer, packing.Packer(writer, warn), warn).run(self)
        self.still()
        writer.close()

    def write_all(self, sink: tarwriter.Sink, warn: packing.Warn) -> None:
        """Write everything that the container sees on its disk, as `docker export`: without an entry for an ordinary root."""
        writer = tarwriter.Writer(sink)
        _WholeWalk(writer, packing.Packer(writer, warn), warn).run(self)
        self.still()
        writer.close()

    def root_changed(self, fd: int) -> bool:
        """Whether the root directory itself, open as `fd` in the tree, is another: the changes tell of what is below it."""
        if not self.layers:
            return True
        top = os.fsencode(self.layers[0])
        return _attributes(fd) != _attributes(top) or os.stat(fd).st_mtime_ns != os.stat(top).st_mtime_ns


class _Walk:
    """A walk through changes and layers, in the order of names. Without recursion: an image's directories may be deeper than the stack."""

    def __init__(self, writer: tarwriter.Writer, packer: packing.Packer, warn: packing.Warn) -> None:
        self.writer = writer
        self.packer = packer
        self.warn = warn

    def run(self, files: Files) -> None:
        with _opened(files.tree) as fd:
            self.root(files, fd)
            change = changetree.nested(files.changes)
            if fd >= 0:
                changetree.add_links(change, fd, files.layers)
            places = [self.top(files, change, fd)]
            try:
                while places:
                    if not places[-1].names:
                        self.leave(places.pop(), fd)
                    elif (inner := self.next(places[-1])) is not None:
                        places.append(inner)
            finally:
                for place in places:
                    self.leave(place, fd)

    def leave(self, place: _Place, top: int) -> None:
        if place.fd not in (-1, top):
            os.close(place.fd)

    def next(self, place: _Place) -> _Place | None:
        """Write the next entry of a directory; if it is one itself, that is where to go on."""
        name = place.names.pop()
        path = place.path + b"/" + name if place.path else name
        change = place.change.below.get(name) if place.change else None
        if change is None:
            return self.unchanged(place.below[name], path)
        if change.kind == snapshot.DELETED:
            self.deleted(place, path, name)
            return None
        if not self.possible(path, name):
            return None
        fd = self.packer.add(path, name, place.fd)
        if fd < 0:
            return None
        try:
            return self.inner(place, change, path, name, fd)
        except BaseException:
            os.close(fd)
            raise

    # -- what the two walks differ in ---------------------------------------------------------------------------------

    def root(self, files: Files, fd: int) -> None:
        raise NotImplementedError

    def top(self, files: Files, change: changetree.Node, fd: int) -> _Place:
        raise NotImplementedError

    def inner(self, place: _Place, change: changetree.Node, path: bytes, name: bytes, fd: int) -> _Place:
        raise NotImplementedError

    def unchanged(self, found: lowerview.Found, path: bytes) -> _Place | None:
        raise NotImplementedError

    def deleted(self, place: _Place, path: bytes, name: bytes) -> None:
        raise NotImplementedError

    def possible(self, path: bytes, name: bytes) -> bool:
        raise NotImplementedError


class _LayerWalk(_Walk):
    """Changes alone."""

    def root(self, files: Files, fd: int) -> None:
        if fd >= 0 and files.root_changed(fd):
            self.packer.add_root(fd)

    def top(self, files: Files, change: changetree.Node, fd: int) -> _Place:
        return _Place(b"", _ordered(change.below), change, fd, {})

    def inner(self, place: _Place, change: changetree.Node, path: bytes, name: bytes, fd: int) -> _Place:
        opaque = lowerview.is_opaque(fd)
        if opaque and change.kind == snapshot.MODIFIED and not place.hides:
            self._mark(path + b"/" + apply.OPAQUE)
        hides = place.hides or opaque or change.kind == snapshot.ADDED
        return _Place(path, _ordered(change.below), change, fd, {}, hides)

    def deleted(self, place: _Place, path: bytes, name: bytes) -> None:
        if not place.hides:
            self._mark(path[: -len(name)] + apply.WHITEOUT + name)

    def possible(self, path: bytes, name: bytes) -> bool:
        if name.startswith(apply.WHITEOUT):
            self.warn(f"{tar.shown(path)} was left out: in a layer such a name means a deleted file")
            return False
        return True

    def _mark(self, path: bytes) -> None:
        self.writer.add(tarwriter.Entry(name=path, kind=tar.Kind.FILE, mode=0o600))


class _WholeWalk(_Walk):
    """All files: the changed ones of the tree, the others of the layers."""

    def root(self, files: Files, fd: int) -> None:
        if fd >= 0 and _attributes(fd) != _ORDINARY_ROOT:
            self.packer.add_root(fd)
        elif fd < 0 and files.layers and _attributes(os.fsencode(files.layers[0])) != _ORDINARY_ROOT:
            with _opened(files.layers[0]) as layer:
                self.packer.add_root(layer)

    def top(self, files: Files, change: changetree.Node, fd: int) -> _Place:
        return self._place(b"", change, fd, lowerview.root(files.layers) if files.layers else ())

    def inner(self, place: _Place, change: changetree.Node, path: bytes, name: bytes, fd: int) -> _Place:
        found = place.below.get(name)
        hidden = found is None or change.kind == snapshot.ADDED or lowerview.is_opaque(fd)
        return self._place(path, change, fd, () if hidden or found is None else found.merged)

    def unchanged(self, found: lowerview.Found, path: bytes) -> _Place | None:
        fd = self.packer.add(path, found.path)
        if fd < 0:
            return None
        os.close(fd)
        return self._place(path, None, -1, found.merged)

    def deleted(self, place: _Place, path: bytes, name: bytes) -> None:
        pass

    def possible(self, path: bytes, name: bytes) -> bool:
        return True

    def _place(self, path: bytes, change: changetree.Node | None, fd: int, merged: Sequence[bytes]) -> _Place:
        below = lowerview.entries(merged)
        return _Place(path, _ordered(below.keys() | (change.below.keys() if change else ())), change, fd, below)


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int]:
    """A descriptor of a directory, -1 where there is none: a container that was never started has no tree."""
    try:
        fd = os.open(directory, changetree.DIRECTORY)
    except FileNotFoundError:
        yield -1
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _ordered(names: Mapping[bytes, object] | set[bytes]) -> list[bytes]:
    """To be taken from the end."""
    return sorted(names, reverse=True)


def _attributes(directory: int | bytes) -> tuple[object, ...]:
    status = os.stat(directory)
    return status.st_mode, status.st_uid, status.st_gid, lowerview.extended(directory)
