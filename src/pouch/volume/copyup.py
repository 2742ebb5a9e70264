"""What an image has at a volume's place, copied into the volume while it is empty: Docker's copy-up.

Neither side is trusted. The image decides names, kinds and sizes; other containers that have the volume may change it while it
is written. So both are walked by descriptors and no link is followed, nothing that is there is replaced, and a file gets its name
when it is whole: after a crash the same copy goes on where it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from pouch.kernel import filedata, inroot, libc
from pouch.spec import errors

DEEPEST = 400
"""Directories within each other: each holds two descriptors."""
_MOST_WARNINGS = 20
_LONGEST_PATH = 4000
"""Bytes of a path that the kernel looks up at once (PATH_MAX is 4096)."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_KEPT = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""What a file system answers that has no owners, modes or extended attributes, or gives none away (NFS, FAT)."""
_OTHERS = ("trusted.", "user.overlay.", "security.selinux")
"""Extended attributes that overlayfs keeps its own notes in, and the label that the host gives by place."""
_FOUND_EVERYWHERE = frozenset({"lost+found"})
"""What a new file system has in its root (mke2fs(8))."""


def is_empty(place: str) -> bool:
    """Whether a volume has nothing of anybody's."""
    return all(name in _FOUND_EVERYWHERE for name in os.listdir(place))


def copy_up(view: str, target: str, place: str) -> list[str]:
    """Copy what a root file system, mounted at `view`, has in its directory `target` into the directory `place`; warnings.

    Files of `place` stay. Owners, modes, times, links, holes and extended attributes come along, also of the directory itself;
    sockets and devices do not. Where there is nothing at `target`, nothing is done. Raises InvalidInput for what is no directory or
    nested too deep, Unavailable where it does not fit.
    """
    try:
        source = inroot.open_directory(view, target)
    except errors.NotFound:
        return []
    try:
        top = os.open(place, _DIRECTORY)
    except OSError as error:
        os.close(source)
        raise errors.KernelError("open", place, error.errno or errno.EIO) from error
    try:
        copy = _Copy(target, top)
        copy.run(source)
        return copy.warnings
    except OSError as error:
        raise _failed(target, place, error) from error
    finally:
        os.close(top)
        os.close(source)


def _failed(target: str, place: str, error: OSError) -> errors.PouchError:
    what = f"copying {errors.shown(target)} of the image to its volume"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.Unavailable(f"{what}: {error.strerror}", hint="the volume is smaller than what is in the image")
    return errors.KernelError("write", place, error.errno or errno.EIO, hint=what)


@dataclass(slots=True)
class _Place:
    """A directory on the way. path: below the volume, "" for its root; names: still to come; spare: a name that nothing has."""

    path: str
    source: int
    copy: int
    names: Iterator[str]
    spare: str


@dataclass(slots=True)
class _Copy:
    """One copy. links: where the first of a file's several names is, by device and inode."""

    target: str
    top: int
    warnings: list[str] = field(default_factory=list)
    links: dict[tuple[int, int], str] = field(default_factory=dict)

    def run(self, source: int) -> None:
        """Without recursion: an image's directories may be deeper than the stack."""
        places = [self._place("", os.dup(source), os.dup(self.top))]
        try:
            while places:
                if (name := next(places[-1].names, None)) is None:
                    self._leave(places.pop())
                elif (inner := self._copied(places[-1], name)) is not None:
                    if len(places) > DEEPEST:
                        _close(inner)
                        raise errors.InvalidInput(
                            f"{errors.shown(self.target)} of the image has directories more than {DEEPEST} deep: it fills no volume",
                            hint="use the volume without what is in the image (nocopy)",
                        )
                    places.append(inner)
        finally:
            for place in places:
                _close(place)

    def _place(self, path: str, source: int, copy: int) -> _Place:
        try:
            names = sorted(os.listdir(source))
            there = set(names)
            spare = next(
                name for name in (f".pouch-copy-{number}" for number in range(len(names) + 1)) if name not in there
            )
            with contextlib.suppress(FileNotFoundError):  # a copy that was cut off
                os.unlink(spare, dir_fd=copy)
        except BaseException:
            os.close(source)
            os.close(copy)
            raise
        return _Place(path, source, copy, iter(names), spare)

    def _leave(self, place: _Place) -> None:
        """Its own attributes last: they may forbid writing, and writing changes its times."""
        try:
            self._attributes(place.source, place.copy, os.fstat(place.source), place.path)
        finally:
            _close(place)

    def _copied(self, place: _Place, name: str) -> _Place | None:
        """Copy one entry; if it is a directory, that is where to go on."""
        status = os.stat(name, dir_fd=place.source, follow_symlinks=False)
        path = f"{place.path}/{name}"
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            return self._directory(place, name, path)
        if _exists(name, place.copy):
            self._note(status, path)
        elif kind == stat.S_IFREG:
            if not self._linked(place, name, status, path):
                self._file(place, name, path)
        elif kind == stat.S_IFLNK:
            self._link(place, name, status, path)
        elif kind == stat.S_IFIFO:
            self._fifo(place, name, status, path)
        elif kind != stat.S_IFSOCK:
            self._warn(f"{self._shown(path)} is a device: it is not copied into the volume")
        return None

    # -- kinds --------------------------------------------------------------------------------------------------------

    def _directory(self, place: _Place, name: str, path: str) -> _Place | None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=place.copy)
        try:
            copy = os.open(name, _DIRECTORY, dir_fd=place.copy)
        except (NotADirectoryError, FileNotFoundError, OSError) as error:
            if error.errno in (errno.ENOTDIR, errno.ENOENT, errno.ELOOP):
                return None  # somebody who has the volume put something else there
            raise
        try:
            source = os.open(name, _DIRECTORY, dir_fd=place.source)
        except BaseException:
            os.close(copy)
            raise
        return self._place(path, source, copy)

    @contextlib.contextmanager
    def _named(self, place: _Place, name: str) -> Iterator[str]:
        """A name for what the block makes, which becomes the right one when it is whole."""
        try:
            yield place.spare
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(place.spare, dir_fd=place.copy)
            raise
        os.rename(place.spare, name, src_dir_fd=place.copy, dst_dir_fd=place.copy)

    def _file(self, place: _Place, name: str, path: str) -> None:
        source = os.open(name, _FILE, dir_fd=place.source)
        try:
            status = os.fstat(source)
            with self._named(place, name) as spare:
                copy = os.open(spare, _NEW, 0o600, dir_fd=place.copy)
                try:
                    filedata.copy(source, copy, status.st_size)
                    self._attributes(source, copy, status, path)
                finally:
                    os.close(copy)
            self._note(status, path)
        finally:
            os.close(source)

    def _note(self, status: os.stat_result, path: str) -> None:
        if status.st_nlink > 1 and len(os.fsencode(path)) < _LONGEST_PATH:
            self.links.setdefault((status.st_dev, status.st_ino), path)

    def _linked(self, place: _Place, name: str, status: os.stat_result, path: str) -> bool:
        """Give a file that was copied another name. What has the first name by now is looked up inside the volume, whoever put it there."""
        first = self.links.get((status.st_dev, status.st_ino))
        if first is None:
            return False
        resolve = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS
        try:
            fd = libc.openat2(self.top, first, os.O_PATH | os.O_NOFOLLOW, resolve=resolve)
        except errors.KernelError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return False
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=place.copy, follow_symlinks=True)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EMLINK, errno.ENOENT, errno.EXDEV):
                return False  # a file system without hard links
            raise
        finally:
            os.close(fd)
        return True

    def _link(self, place: _Place, name: str, status: os.stat_result, path: str) -> None:
        with self._named(place, name) as spare:
            os.symlink(os.readlink(name, dir_fd=place.source), spare, dir_fd=place.copy)
            with self._tolerated(path):
                os.chown(spare, status.st_uid, status.st_gid, dir_fd=place.copy, follow_symlinks=False)
                times = (status.st_atime_ns, status.st_mtime_ns)
                os.utime(spare, ns=times, dir_fd=place.copy, follow_symlinks=False)

    def _fifo(self, place: _Place, name: str, status: os.stat_result, path: str) -> None:
        with self._named(place, name) as spare:
            os.mkfifo(spare, 0o600, dir_fd=place.copy)
            fd = os.open(spare, _ITSELF, dir_fd=place.copy)
            try:
                if stat.S_ISFIFO(os.fstat(fd).st_mode):
                    self._by_descriptor(fd, status, path)
            finally:
                os.close(fd)

    def _by_descriptor(self, fd: int, status: os.stat_result, path: str) -> None:
        """fchmod(2) refuses such a descriptor; its name in /proc leads to the very same file."""
        file = f"/proc/self/fd/{fd}"
        with self._tolerated(path):
            os.chown(file, status.st_uid, status.st_gid)
            os.chmod(file, stat.S_IMODE(status.st_mode))
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    # -- attributes ---------------------------------------------------------------------------------------------------

    def _attributes(self, source: int, copy: int, status: os.stat_result, path: str) -> None:
        """The owner first, since that takes set-id bits and capabilities away; times last."""
        with self._tolerated(path):
            os.fchown(copy, status.st_uid, status.st_gid)
        for name in os.listxattr(source):
            if not name.startswith(_OTHERS):
                with self._tolerated(path):
                    os.setxattr(copy, name, os.getxattr(source, name))
        with self._tolerated(path):
            os.fchmod(copy, stat.S_IMODE(status.st_mode))
        with self._tolerated(path):
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))

    @contextlib.contextmanager
    def _tolerated(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _NOT_KEPT:
                raise
            self._warn(
                f"{self._shown(path)}: the volume keeps not all of its owner, mode and attributes: {error.strerror}"
            )

    def _shown(self, path: str) -> str:
        return errors.shown(f"{self.target.rstrip('/')}{path}")

    def _warn(self, text: str) -> None:
        if len(self.warnings) < _MOST_WARNINGS and text not in self.warnings:
            self.warnings.append(text)


def _close(place: _Place) -> None:
    os.close(place.source)
    os.close(place.copy)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
