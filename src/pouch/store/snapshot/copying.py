"""Copies of what a stack of layers shows, as faithful as a file system allows: hard links, holes, attributes, device nodes.

Extents are shared where the file system can (btrfs, xfs): then a copy costs no space and hardly any time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Sequence

from pouch.kernel import filedata
from pouch.spec import errors
from pouch.store.snapshot import grounds, lowerview

_FICLONE = 0x40049409
"""ioctl_ficlone(2): make a file share another's extents."""
_CANNOT_CLONE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM})
_CANNOT_LINK = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""A file has as many links as its file system allows, or that has no links (of this kind of file) at all."""

Origin = tuple[int, int]
"""Inode number of the file that was copied, and the copy's change time in nanoseconds once it was finished."""


class Copy:
    """One copy of a stack. `origins`: by the inode number of each regular file copied, what it was copied from and when."""

    def __init__(self) -> None:
        self.origins: dict[int, Origin] = {}
        self._clones = True
        self._linked: dict[tuple[int, int], bytes] = {}

    def tree(self, layers: Sequence[str], target: str) -> None:
        """Fill an empty directory with what the layers show. layers: their directories, top first.

        Raises Unsupported for a path too long for a system call, Unavailable for what the file system refuses (it is full, say).
        """
        made: list[tuple[bytes, bytes]] = []
        pending = [(lowerview.root(layers), os.fsencode(target))]
        try:
            while pending:  # no recursion: a path has room for more directories than the stack
                merged, into = pending.pop()
                made.append((merged[0], into))
                for name, found in lowerview.entries(merged).items():
                    path = into + b"/" + name
                    if found.merged:
                        os.mkdir(path, 0o700)
                        pending.append((found.merged, path))
                    else:
                        self._found(found, path)
            for source, path in reversed(made):  # last, since each child changes its directory's time
                lowerview.copy_attributes(source, path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise errors.Unsupported(f"{target}: the image has a path that is too long to be copied") from error
            raise grounds.unavailable(target, error) from error

    def _found(self, found: lowerview.Found, path: bytes) -> None:
        status = found.status
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            if first := self._linked.get(key):
                os.link(first, path, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    self._note(status, os.lstat(path))  # the link changed its time
                return
            self._linked[key] = path
        self.entry(found.path, status, path)

    def entry(self, source: bytes, status: os.stat_result, target: bytes) -> None:
        """Copy anything but a directory to a name that is free. status: the source's."""
        if stat.S_ISREG(status.st_mode):
            self._note(status, self._file(source, target))
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)
        else:
            os.mknod(target, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)
        lowerview.copy_attributes(source, target)

    def _note(self, source: os.stat_result, made: os.stat_result) -> None:
        self.origins[made.st_ino] = (source.st_ino, made.st_ctime_ns)

    def _file(self, source: bytes, target: bytes) -> os.stat_result:
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(reading)
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                if status.st_size and not self._clone(reading, writing):
                    filedata.copy(reading, writing, status.st_size)
                os.fchown(writing, status.st_uid, status.st_gid)
                os.fchmod(writing, stat.S_IMODE(status.st_mode))
                for name, value in lowerview.extended(source).items():
                    os.setxattr(writing, name, value)
                os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
                return os.fstat(writing)
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _clone(self, reading: int, writing: int) -> bool:
        if not self._clones:
            return False
        try:
            fcntl.ioctl(writing, _FICLONE, reading)
        except OSError as error:
            if error.errno not in _CANNOT_CLONE:
                raise
            self._clones = False  # so it will be for the next file, too
            return False
        return True


class Links(Copy):
    """A copy whose files are the layers' own, by hard links: never to be written to, only to be replaced."""

    def _found(self, found: lowerview.Found, path: bytes) -> None:
        try:
            os.link(found.path, path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            self.entry(found.path, found.status, path)  # which will be part of the layer, and do no harm there
