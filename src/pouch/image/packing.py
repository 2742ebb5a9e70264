"""Files of a tree as entries of a tar, while whoever the tree belongs to may be changing it.

Each name is looked up once, from its directory's descriptor, and no link is followed. What a name leads to is first opened with
O_PATH, which touches nothing; only a regular file or a directory is then opened for real, through that descriptor: a device or a fifo
that takes a file's place meanwhile is never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping

from pouch.image import tar, tarwriter
from pouch.spec import errors

SEEN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
GONE = frozenset({errno.ENOENT, errno.ESTALE})
_KEPT = ("user.", "security.capability", "system.posix_acl_")
"""Extended attributes that belong to a file wherever it is; others are marks of overlay's or of this host's security modules."""
_BLOCK = 512
"""The unit of st_blocks (stat(2))."""
_NODES = {stat.S_IFCHR: tar.Kind.CHARACTER, stat.S_IFBLK: tar.Kind.BLOCK, stat.S_IFIFO: tar.Kind.FIFO}

Warn = Callable[[str], None]
"""Told in a sentence what could not be kept."""


class Packer:
    """Adds files to a tar. Names of one file become hard links to the first of them."""

    def __init__(self, writer: tarwriter.Writer, warn: Warn) -> None:
        self._writer = writer
        self._warn = warn
        self._first: dict[tuple[int, int], bytes] = {}

    def add(self, path: bytes, name: bytes, above: int | None = None) -> int:
        """Add what `name` is in the directory `above` (a whole path where that is None), as `path` of the archive.

        A descriptor of it where it is a directory, which the caller closes, else -1; also for what is not there (any more) and for
        sockets, which no archive holds. Raises KernelError naming the path.
        """
        try:
            seen = os.open(name, SEEN, dir_fd=above)
        except OSError as error:
            if error.errno in GONE:
                return -1
            raise failed("open", path, error) from error
        try:
            return self._opened(path, seen)
        except OSError as error:
            raise failed("read", path, error) from error
        finally:
            os.close(seen)

    def add_root(self, directory: int) -> None:
        """Add a directory as the root of the archive."""
        self._directory(b".", directory, os.fstat(directory))

    def _opened(self, path: bytes, seen: int) -> int:
        status = os.fstat(seen)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=seen)
            try:
                self._directory(path, fd, status)
            except BaseException:
                os.close(fd)
                raise
            return fd
        if kind == stat.S_IFSOCK or (status.st_nlink > 1 and self._linked(path, status)):
            return -1
        if kind == stat.S_IFREG:
            self._file(path, seen, status)
        elif kind == stat.S_IFLNK:
            self._writer.add(_entry(path, tar.Kind.SYMLINK, status, link=os.readlink(b"", dir_fd=seen)))
        elif kind == stat.S_IFCHR and status.st_rdev == 0:
            self._warn(f"{tar.shown(path)} was left out: the device 0/0 means a deleted file in a layer")
            return -1
        else:
            device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind != stat.S_IFIFO else (0, 0)
            xattrs = self._node_xattrs(path, seen)
            self._writer.add(_entry(path, _NODES[kind], status, device=device, xattrs=xattrs))
        if status.st_nlink > 1:
            self._first[status.st_dev, status.st_ino] = path
        return -1

    def _linked(self, path: bytes, status: os.stat_result) -> bool:
        """Whether the same file is in the archive under another name, to which this one is a link now."""
        first = self._first.get((status.st_dev, status.st_ino))
        if first is None:
            return False
        self._writer.add(_entry(path, tar.Kind.HARD_LINK, status, link=first))
        return True

    def _directory(self, path: bytes, fd: int, status: os.stat_result) -> None:
        self._writer.add(_entry(path, tar.Kind.DIRECTORY, status, xattrs=self._xattrs(path, fd)))

    def _file(self, path: bytes, seen: int, status: os.stat_result) -> None:
        fd = self._reopened(seen)
        try:
            entry = _entry(path, tar.Kind.FILE, status, size=status.st_size, xattrs=self._xattrs(path, fd))
            missing = self._writer.add_file(entry, fd, holes=status.st_blocks * _BLOCK < status.st_size)
        finally:
            os.close(fd)
        if missing:
            self._warn(f"{tar.shown(path)} was cut while it was read: its last {missing} bytes are zeros")

    def _reopened(self, seen: int) -> int:
        """A file that was only looked at, to be read."""
        return os.open(f"/proc/self/fd/{seen}", os.O_RDONLY | os.O_CLOEXEC)

    def _node_xattrs(self, path: bytes, seen: int) -> Mapping[bytes, bytes]:
        """Of a device or a fifo, which is not opened."""
        return self._xattrs(path, f"/proc/self/fd/{seen}")

    def _xattrs(self, path: bytes, file: int | str) -> Mapping[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        try:
            names = os.listxattr(file)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return found
            raise
        for name in names:
            if name.startswith(_KEPT):
                try:
                    found[os.fsencode(name)] = os.getxattr(file, name)
                except OSError as error:
                    if error.errno != errno.ENODATA:  # taken off meanwhile
                        raise
        return tarwriter.shorten(found, lambda name: self._left_out(path, name)) if found else found

    def _left_out(self, path: bytes, name: bytes) -> None:
        self._warn(
            f"{tar.shown(path)}: the extended attribute {tar.shown(name)} was left out: a tar has no room for it"
        )


def _entry(
    path: bytes,
    kind: tar.Kind,
    status: os.stat_result,
    *,
    size: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[bytes, bytes] | None = None,
) -> tarwriter.Entry:
    return tarwriter.Entry(
        name=path,
        kind=kind,
        mode=0o777 if kind is tar.Kind.SYMLINK else stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=size,
        link=link,
        device=device,
        xattrs=xattrs or {},
    )


def failed(call: str, path: bytes, error: OSError) -> errors.PouchError:
    """What is said of a file that could not be packed, or of a sink that takes no more."""
    if isinstance(error, BrokenPipeError):
        return errors.Unavailable("nobody reads the archive any more")
    return errors.KernelError(call, tar.shown(path), error.errno or errno.EIO)
