"""Our own files in a container's copy of its layers, for as long as it runs.

An overlay has a layer for them; a copy has not. So they are laid in before the container runs and lifted out after it: what one of
them replaces is put aside and comes back; what the container changed stays, as its own; what it deleted is not laid in again. The
times of directories do not show it. What is being done is written down first, so that a daemon that is killed, at any step, leaves
nothing that the next `lift` does not undo.

::

    rw/aside/      there while files are laid in, or on their way in or out
    ├── plan       JSON: what is laid in, [is a directory, path], those above first
    ├── <number>   what the entry of that number in the plan replaced
    ├── times      JSON, on the way in or out: [directory, time] as they shall be at the end
    └── done       all of the plan was laid in
    rw/refused     JSON: paths of our files that the container deleted
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pouch.spec import errors
from pouch.store import erase
from pouch.store.snapshot import copying, difference, lowerview

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_NOT_OURS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENOTEMPTY, errno.EEXIST})
"""A directory that the container deleted, replaced by something else, or put something into."""

Item = tuple[bool, str]
"""Whether it is a directory, and its path in the container."""


@dataclass(frozen=True, slots=True)
class Laid:
    """One container's: `tree` its copy of the layers, `seed` our files, `rw` where it is written down."""

    tree: str
    seed: str
    rw: str

    @property
    def _aside(self) -> str:
        return f"{self.rw}/aside"

    @property
    def _done(self) -> str:
        return f"{self._aside}/done"

    @property
    def _times(self) -> str:
        return f"{self._aside}/times"

    def paths(self) -> frozenset[str]:
        """What lies in the copy now, as far as the container has let it."""
        return frozenset(path for _, path in self._plan())

    def _plan(self) -> list[Item]:
        return [(bool(is_directory), path) for is_directory, path in _read(f"{self._aside}/plan")]

    # -- in -----------------------------------------------------------------------------------------------------------

    def lay(self, layers: Sequence[str], comparison: difference.Comparison) -> None:
        """Lay in all that hides nothing of the container's. Raises Conflict where a directory would hide something of the image."""
        self.lift()
        refused = frozenset(_read(f"{self.rw}/refused"))
        with _opened(self.tree) as top:
            plan = list(_Planning(comparison, refused).walk(top, os.fsencode(self.seed), lowerview.root(layers), ""))
            if not plan:
                return
            times = _times_above(top, plan)
            fresh = f"{self.rw}/aside-new"
            os.mkdir(fresh, 0o700)
            _write(f"{fresh}/plan", plan)
            _write(f"{fresh}/times", times)
            os.rename(fresh, self._aside)
            for number, item in enumerate(plan):
                self._lay_one(top, number, *item)
            for is_directory, path in reversed(plan):  # last, since each child changes its directory's time
                if is_directory:
                    with _parent(top, path) as (parent, name):
                        lowerview.copy_attributes(os.fsencode(self.seed + path), _through(parent, name))
            _restore(top, times)
            os.rename(self._times, self._done)

    def _lay_one(self, top: int, number: int, is_directory: bool, path: str) -> None:
        with _parent(top, path) as (parent, name):
            if is_directory:
                os.mkdir(name, 0o700, dir_fd=parent)
                return
            source, new = os.fsencode(self.seed + path), os.fsencode(f"{self._aside}/new")
            copying.Copy().entry(source, os.lstat(source), new)
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, f"{self._aside}/{number}", src_dir_fd=parent)
            os.rename(new, name, dst_dir_fd=parent)

    # -- out ----------------------------------------------------------------------------------------------------------

    def lift(self) -> None:
        """Take out what is laid in, but for what the container made its own; idempotent."""
        for left in ("aside-new", "aside-gone"):
            erase.erase(f"{self.rw}/{left}")
        if not os.path.isdir(self._aside):
            return
        plan, complete = self._plan(), os.path.exists(self._done)
        with _opened(self.tree) as top:
            if not os.path.exists(self._times):  # else the way in or out was broken off, and they are as they shall be
                self._note_refused(top, plan)
                _write(self._times, _times_above(top, plan))
            times = _read(self._times)
            for number, (is_directory, path) in enumerate(plan):
                if not is_directory:
                    self._lift_file(top, number, path, complete=complete)
            _restore(top, times)
            for is_directory, path in reversed(plan):
                if is_directory:
                    self._lift_directory(top, path, complete=complete)
                    _restore(top, times)
        os.rename(self._aside, f"{self.rw}/aside-gone")
        erase.erase(f"{self.rw}/aside-gone")

    def _note_refused(self, top: int, plan: Sequence[Item]) -> None:
        """What the container deleted, where nothing but this tells so: an image's file that ours hid is missed without it."""
        refused = set(_read(f"{self.rw}/refused"))
        for number, (_, path) in enumerate(plan):
            if not os.path.lexists(f"{self._aside}/{number}") and _is_gone(top, path):
                refused.add(path)
        _write(f"{self.rw}/refused", sorted(refused))

    def _lift_file(self, top: int, number: int, path: str, *, complete: bool) -> None:
        hidden = f"{self._aside}/{number}"
        has_hidden = os.path.lexists(hidden)
        try:
            with _parent(top, path) as (parent, name):
                status = _status(parent, name)
                if status is None:
                    if has_hidden and not complete:
                        os.rename(hidden, name, dst_dir_fd=parent)
                elif difference.same(parent, name, status, os.fsencode(self.seed + path)):
                    if has_hidden:
                        os.rename(hidden, name, dst_dir_fd=parent)
                    else:
                        os.unlink(name, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):  # the directory it was in is gone, or something else
            return

    def _lift_directory(self, top: int, path: str, *, complete: bool) -> None:
        """Delete one of ours if nothing is in it and nobody changed it; before all was laid in nobody could."""
        try:
            with _parent(top, path) as (parent, name):
                inner = os.open(name, _DIRECTORY, dir_fd=parent)
                try:
                    ours = not complete or difference.attributes(inner) == difference.attributes(
                        os.fsencode(self.seed + path)
                    )
                finally:
                    os.close(inner)
                if ours:
                    os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise


@dataclass(frozen=True, slots=True)
class _Planning:
    """What of the seed is laid in: the container's own files are above it, as in an overlay."""

    comparison: difference.Comparison
    refused: frozenset[str] = field(default_factory=frozenset)

    def walk(self, fd: int, seed: bytes, merged: Sequence[bytes], above: str) -> Iterator[Item]:
        """fd: the directory of the copy, -1 where it will be made; seed: ours of the same name; merged: that of the layers."""
        below = lowerview.entries(merged)
        for name in sorted(os.listdir(seed)):
            path = f"{above}/{os.fsdecode(name)}"
            if path in self.refused:
                continue
            inner = seed + b"/" + name
            status = _status(fd, name)
            if stat.S_ISDIR(os.lstat(inner).st_mode):
                yield from self._directory(fd, name, status, inner, below.get(name), path)
            elif self._is_free(fd, name, status, below.get(name), path):
                yield False, path

    def _directory(
        self,
        fd: int,
        name: bytes,
        status: os.stat_result | None,
        seed: bytes,
        before: lowerview.Found | None,
        path: str,
    ) -> Iterator[Item]:
        if status is None:
            if before is None:  # else the container deleted it
                yield True, path
                yield from self.walk(-1, seed, (), path)
        elif stat.S_ISDIR(status.st_mode):
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                yield from self.walk(inner, seed, before.merged if before else (), path)
            finally:
                os.close(inner)
        elif before is not None and self.comparison.untouched(fd, name, status, before):
            raise errors.Conflict(f"seed directory {path} would hide a file of the image, expected a directory there")

    def _is_free(
        self, fd: int, name: bytes, status: os.stat_result | None, before: lowerview.Found | None, path: str
    ) -> bool:
        """Whether a file of ours may have this name: nothing has it, or a file of the image that the container has not touched."""
        if status is None:
            return before is None
        if stat.S_ISDIR(status.st_mode):
            raise errors.Conflict(f"seed file {path} would hide a directory, expected a file there or nothing")
        return before is not None and self.comparison.untouched(fd, name, status, before)


def _status(fd: int, name: bytes) -> os.stat_result | None:
    if fd < 0:
        return None
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int]:
    fd = os.open(directory, _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _parent(top: int, path: str) -> Iterator[tuple[int, bytes]]:
    """The directory that a path below `top` is in, and its last name; links are not followed. Raises OSError where it is not there."""
    *above, name = os.fsencode(path).strip(b"/").split(b"/")
    fd = os.dup(top)
    try:
        for part in above:
            inner = os.open(part, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd, name
    finally:
        os.close(fd)


def _is_gone(top: int, path: str) -> bool:
    """Whether a path's name is not in its directory, which is there."""
    try:
        with _parent(top, path) as (parent, name):
            return _status(parent, name) is None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _times_above(top: int, plan: Sequence[Item]) -> list[tuple[str, int]]:
    """The directories that a plan's entries are in and their times, as far as they are there."""
    found = {}
    for _, path in plan:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _parent(top, path) as (parent, _):
            found[path.rpartition("/")[0]] = os.fstat(parent).st_mtime_ns
    return list(found.items())


def _restore(top: int, times: Sequence[tuple[str, int]]) -> None:
    for path, time in times:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _parent(top, f"{path}/.") as (parent, _):
            os.utime(parent, ns=(os.fstat(parent).st_atime_ns, time))


def _through(directory: int, name: bytes) -> bytes:
    return b"/proc/self/fd/%d/%s" % (directory, name)


def _read(path: str) -> list[Any]:
    """A list of one of the two shapes drawn above; an empty one where the file is missing."""
    try:
        with open(path, encoding="ascii") as file:
            return list(json.load(file))
    except FileNotFoundError:
        return []


def _write(path: str, content: Sequence[object]) -> None:
    """At once, or not at all."""
    with open(f"{path}-new", "w", encoding="ascii") as file:
        json.dump(content, file)
    os.rename(f"{path}-new", path)
