"""Writes a plan's files below a directory of the host. The only module of the room that touches a file.

No link is ever followed: each directory is opened from the one above it, and what stands where a file is to be is removed first.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from typing import Self

from pouch.kernel import inroot
from pouch.rich import plan
from pouch.spec import errors

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARENT_MODE = 0o755


def write(files: Sequence[plan.File], root: str, uid_base: int = 0, *, like: str = "", like_base: int = 0) -> None:
    """Write below `root`, which exists. uid_base: host id of the container's id 0 in `root` (0 where ids on disk are the container's).

    like: a tree (the container's root file system) whose directories' owner and mode are taken over for parents that have to be
    made: a layer's directory hides the attributes of the one below it. like_base: host id of the container's id 0 there.
    Raises KernelError, or InvalidInput for a path that climbs.
    """
    with _Tree(root, uid_base, like, like_base) as tree:
        for file in files:
            try:
                tree.put(file)
            except OSError as error:
                raise errors.KernelError("write", f"{root}/{file.path.lstrip('/')}", error.errno or 0) from error


def clear(root: str) -> None:
    """Remove everything below `root`, not `root` itself; so a seed layer is begun anew at each start."""
    for name in os.listdir(root):
        path = f"{root}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


class _Tree:
    """A directory to write below, with the descriptors of its directories that were used."""

    def __init__(self, root: str, uid_base: int, like: str, like_base: int) -> None:
        self._uid_base = uid_base
        self._like = like
        self._like_base = like_base
        self._open: dict[str, int] = {"": os.open(root, _DIRECTORY)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open.values():
            os.close(fd)

    def put(self, file: plan.File) -> None:
        """Write one entry."""
        parts = [part for part in file.path.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or "\0" in file.path:
            raise errors.InvalidInput(f"{file.path!r} is no path of a file below a directory")
        above = self._directory("/".join(parts[:-1]))
        name = parts[-1]
        if file.directory:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=above)
            fd = self._directory("/".join(parts))
            self._own(fd, file.uid, file.gid)
            os.fchmod(fd, file.mode)
            return
        _remove(name, above)
        if file.link:
            os.symlink(file.link, name, dir_fd=above)
            owner = self._uid_base + file.uid, self._uid_base + file.gid
            os.chown(name, *owner, dir_fd=above, follow_symlinks=False)
        elif file.whiteout:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=above)
        else:
            self._regular(file, name, above)

    def _regular(self, file: plan.File, name: str, above: int) -> None:
        fd = os.open(name, _NEW, 0o600, dir_fd=above)
        try:
            self._own(fd, file.uid, file.gid)
            os.fchmod(fd, file.mode)
            for piece in _pieces(file):
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(fd)

    def _own(self, fd: int, uid: int, gid: int) -> None:
        os.fchown(fd, self._uid_base + uid, self._uid_base + gid)

    def _directory(self, path: str) -> int:
        """A descriptor of a directory below the root, made with all above it where missing."""
        known = self._open.get(path)
        if known is not None:
            return known
        above, _, name = path.rpartition("/")
        parent = self._directory(above)
        made = False
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
            made = True
        fd = self._open[path] = os.open(name, _DIRECTORY, dir_fd=parent)
        if made:
            uid, gid, mode = self._attributes(path)
            self._own(fd, uid, gid)
            os.fchmod(fd, mode)
        return fd

    def _attributes(self, path: str) -> tuple[int, int, int]:
        """Owner and mode (the container's ids) for a directory that has to be made."""
        if self._like:
            with contextlib.suppress(errors.NotFound):
                found = inroot.stat(self._like, path)
                uid, gid = found.st_uid - self._like_base, found.st_gid - self._like_base
                return max(uid, 0), max(gid, 0), stat.S_IMODE(found.st_mode)
        return 0, 0, _PARENT_MODE


def _remove(name: str, above: int) -> None:
    try:
        os.unlink(name, dir_fd=above)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=above)


def _pieces(file: plan.File) -> Iterator[bytes]:
    if not file.source:
        yield file.content
        return
    with open(file.source, "rb") as source:
        while piece := source.read(1 << 20):
            yield piece
