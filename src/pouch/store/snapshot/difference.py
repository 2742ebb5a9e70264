"""What a container changed in its own copy of the layers, in Docker's kinds: the copy compared with what the layers show.

A file that still has the inode and the change time it was copied with has not been touched. Any other is compared: attributes first,
then content, since a program may well put size and time back. The container may be running and moving directories about, so the
copy is walked by descriptors that never follow a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pouch.spec import errors
from pouch.store import snapshot
from pouch.store.snapshot import copying, lowerview
from pouch.store.snapshot.changes import DEEPEST

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """origins: see copying.Copy. seed: the directory of our own files, with `laid`: paths in it of those that lie in the copy now."""

    origins: Mapping[int, copying.Origin]
    seed: str = ""
    laid: frozenset[str] = frozenset()

    def changes(self, tree: str, layers: Sequence[str]) -> list[snapshot.Change]:
        """All changes, sorted by path. layers: their directories, top first. A missing copy has none.

        Raises Unsupported where directories nest deeper than DEEPEST.
        """
        try:
            fd = os.open(tree, _DIRECTORY)
        except FileNotFoundError:
            return []
        try:
            found = list(self._walk(fd, lowerview.root(layers), "", 0))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise errors.Unsupported(f"{tree}: a path of the image is too long to be compared") from error
        finally:
            os.close(fd)
        return sorted(found, key=lambda change: change[1])

    def _walk(self, fd: int, merged: Sequence[bytes], above: str, depth: int) -> Iterator[snapshot.Change]:
        if depth > DEEPEST:
            raise errors.Unsupported(f"{above}: more than {DEEPEST} directories within each other are not compared")
        below = lowerview.entries(merged)
        for name in map(os.fsencode, os.listdir(fd)):
            before = below.pop(name, None)
            path = f"{above}/{os.fsdecode(name)}"
            try:
                yield from self._entry(fd, name, before, path, depth)
            except FileNotFoundError:  # gone since it was listed
                if before is not None:
                    below[name] = before
        for name in below:
            yield snapshot.DELETED, f"{above}/{os.fsdecode(name)}"

    def _entry(
        self, fd: int, name: bytes, before: lowerview.Found | None, path: str, depth: int
    ) -> Iterator[snapshot.Change]:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield from self._directory(fd, name, before, path, depth)
        elif path in self.laid and same(fd, name, status, os.fsencode(self.seed + path)):
            return
        elif before is None:
            yield snapshot.ADDED, path
        elif not self.untouched(fd, name, status, before):
            yield snapshot.MODIFIED, path

    def _directory(
        self, fd: int, name: bytes, before: lowerview.Found | None, path: str, depth: int
    ) -> Iterator[snapshot.Change]:
        try:
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
        except NotADirectoryError:  # replaced since it was looked at; the next call sees it as it then is
            return
        try:
            children = list(self._walk(inner, before.merged if before else (), path, depth + 1))
            if before is None:
                if children or not self._is_seed(inner, path):
                    yield snapshot.ADDED, path
            elif children or not before.merged or attributes(inner) != attributes(before.path):
                yield snapshot.MODIFIED, path
            yield from children
        finally:
            os.close(inner)

    def _is_seed(self, directory: int, path: str) -> bool:
        return path in self.laid and attributes(directory) == attributes(os.fsencode(self.seed + path))

    def untouched(self, fd: int, name: bytes, status: os.stat_result, before: lowerview.Found) -> bool:
        """Whether a file that is no directory is still what the layers have under its name."""
        if before.merged:
            return False
        if self.origins.get(status.st_ino) == (before.status.st_ino, status.st_ctime_ns):
            return True
        return same(fd, name, status, before.path)


def same(fd: int, name: bytes, status: os.stat_result, path: bytes) -> bool:
    """Whether a file in a directory is like the one at `path`, which is trusted: kind, attributes, content. No directories.

    `status` is the first one's; a missing `path` is like nothing.
    """
    try:
        other = os.lstat(path)
    except FileNotFoundError:
        return False
    if _status(status) != _status(other):
        return False
    if stat.S_ISLNK(status.st_mode):
        try:
            return os.readlink(name, dir_fd=fd) == os.readlink(path)
        except OSError as error:
            if error.errno == errno.EINVAL:  # no link any more
                return False
            raise
    if not stat.S_ISREG(status.st_mode):
        return status.st_rdev == other.st_rdev
    if status.st_size != other.st_size:
        return False
    with contextlib.ExitStack() as stack:
        one = _open_regular(fd, name, stack)
        two = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, two)
        return one >= 0 and lowerview.extended(one) == lowerview.extended(two) and _equal(one, two)


def _open_regular(fd: int, name: bytes, stack: contextlib.ExitStack) -> int:
    """A descriptor, -1 where something else has taken the file's place: a device would do things merely by being opened."""
    seen = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    stack.callback(os.close, seen)
    if not stat.S_ISREG(os.fstat(seen).st_mode):
        return -1
    opened = os.open(f"/proc/self/fd/{seen}", os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, opened)
    return opened


def _equal(one: int, two: int) -> bool:
    while True:
        piece = os.read(one, _BUFFER)
        if piece != os.read(two, _BUFFER):
            return False
        if not piece:
            return True


def _status(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns


def attributes(directory: int | bytes) -> tuple[object, ...]:
    """What of a directory can be changed without changing a child."""
    return _status(os.stat(directory)), lowerview.extended(directory)
