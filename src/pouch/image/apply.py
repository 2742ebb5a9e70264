"""The entries of a layer's tar as files: runs only in the confined helper process, whose root directory is the layer.

There `/`, `..` and links cannot lead out, so paths are used as they are. The layer's directory is seen through an overlay on
the layers below it: a file that the tar deletes is simply deleted, and the kernel writes down how (OCI image-spec, layer.md).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from pouch.image import tar
from pouch.spec import errors

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_RESERVED = b".wh..wh."
"""aufs kept its own files under such names; they are no part of an image."""
_HIGHEST_ID = (1 << 32) - 2
_OURS = b"trusted.overlay."
_POSSIBLE = (b"user.", b"security.capability", b"system.posix_acl_")
"""Extended attributes that must be kept; others belong to security modules of the machine the image was made on."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Applier:
    """Writes one layer below the process's root directory."""

    def __init__(self, *, layered: bool, warn: Callable[[str], None]) -> None:
        """layered: there are layers below. warn: told what could not be kept, in a sentence."""
        self._layered = layered
        self._warn = warn
        self._written: set[bytes] = set()
        self._times: dict[bytes, int] = {}

    def apply(self, reader: tar.Reader) -> None:
        """Write all entries. Raises CorruptData naming the entry; OSError for what the file system refuses."""
        for entry in reader:
            try:
                self._entry(entry, reader)
            except OSError as error:
                if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL):
                    raise _bad(entry, os.strerror(error.errno)) from error
                error.filename = entry.name
                raise
        # last, since each child written changes its directory's time; a directory may be gone or something else by now
        for path, mtime in self._times.items():
            try:
                if stat.S_ISDIR(os.lstat(b"/" + path).st_mode):
                    os.utime(b"/" + path, ns=(mtime, mtime))
            except (FileNotFoundError, NotADirectoryError):
                continue

    def _entry(self, entry: tar.Entry, reader: tar.Reader) -> None:
        name = clean(entry)
        base = name.rpartition(b"/")[2]
        if base.startswith(WHITEOUT) or b"/" + _RESERVED in b"/" + name:
            self._whiteout(entry, name, base)
            return
        path = b"/" + name
        if entry.kind is tar.Kind.DIRECTORY:
            self._directory(entry, path)
            self._times[name] = entry.mtime
        elif not name:
            raise _bad(entry, f"the root is a {entry.kind.value}, expected a directory")
        else:
            self._make(entry, path, reader)
            self._times.pop(name, None)
        self._written.add(name)

    # -- deletions ----------------------------------------------------------------------------------------------------

    def _whiteout(self, entry: tar.Entry, name: bytes, base: bytes) -> None:
        above = name[: -len(base)].rstrip(b"/")
        if base == OPAQUE:
            if self._layered:
                self._hide_children(above)
            return
        if b"/" + _RESERVED in b"/" + name:
            return
        hidden = base[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise _bad(entry, "a whiteout of no name")
        if self._layered:
            self._hide(above + b"/" + hidden if above else hidden)

    def _hide(self, name: bytes) -> None:
        """Delete what the layers below have under a name; what this layer has there stays, whatever the order."""
        path = b"/" + name
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        if name not in self._written and not self._has_below(name):
            _remove(path, status)
        elif stat.S_ISDIR(status.st_mode):
            self._hide_children(name)

    def _hide_children(self, name: bytes) -> None:
        try:
            children = os.listdir(b"/" + name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for child in children:
            self._hide(name + b"/" + child if name else child)

    def _has_below(self, name: bytes) -> bool:
        """Whether this layer wrote into a directory it has no entry for."""
        start = name + b"/"
        return any(written.startswith(start) for written in self._written)

    # -- files --------------------------------------------------------------------------------------------------------

    def _directory(self, entry: tar.Entry, path: bytes) -> None:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            status = None
        if status is not None and not stat.S_ISDIR(status.st_mode):
            os.unlink(path)
            status = None
        if status is None:
            self._with_parents(entry, path, lambda: os.mkdir(path, 0o700))
        else:
            for name in os.listxattr(path, follow_symlinks=False):
                if os.fsencode(name).startswith(_POSSIBLE) and os.fsencode(name) not in entry.xattrs:
                    os.removexattr(path, name, follow_symlinks=False)
        self._attributes(entry, path)

    def _make(self, entry: tar.Entry, path: bytes, reader: tar.Reader) -> None:
        """Anything but a directory, in place of what is there."""
        if entry.kind is tar.Kind.HARD_LINK:
            self._hard_link(entry, path)
        elif entry.kind is tar.Kind.FILE:
            fd = self._in_place(entry, path, lambda: os.open(path, _NEW_FILE, 0o600))
            try:
                _fill(fd, entry, reader)
                self._attributes(entry, path, fd)
            finally:
                os.close(fd)
        elif entry.kind is tar.Kind.SYMLINK:
            if not entry.link:
                raise _bad(entry, "a symbolic link to nothing")
            self._in_place(entry, path, lambda: os.symlink(entry.link, path))
            self._attributes(entry, path)
        else:
            self._node(entry, path)

    def _hard_link(self, entry: tar.Entry, path: bytes) -> None:
        target = b"/" + clean(entry, entry.link)
        if target == path:
            raise _bad(entry, "a hard link to itself")
        try:
            kind = os.lstat(target).st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _bad(entry, f"a hard link to {tar.shown(entry.link)}, which is not there") from error
        if stat.S_ISDIR(kind):
            raise _bad(entry, f"a hard link to the directory {tar.shown(entry.link)}")
        self._in_place(entry, path, lambda: os.link(target, path, follow_symlinks=False))

    def _node(self, entry: tar.Entry, path: bytes) -> None:
        """A device is kept as it is: whether a container may open it is for its mount and its device cgroup to say."""
        kind = {tar.Kind.CHARACTER: stat.S_IFCHR, tar.Kind.BLOCK: stat.S_IFBLK, tar.Kind.FIFO: stat.S_IFIFO}[entry.kind]
        if entry.kind is tar.Kind.CHARACTER and entry.device == (0, 0):
            raise _bad(entry, "the device 0/0, which overlay file systems take for a deleted file")
        major, minor = entry.device
        if major >= 1 << 12 or minor >= 1 << 20:
            raise _bad(entry, f"the device {major}/{minor}, beyond what Linux has")
        try:
            self._in_place(entry, path, lambda: os.mknod(path, kind | 0o600, os.makedev(major, minor)))
        except PermissionError:
            self._warn(f"device {tar.shown(entry.name)} was left out: this host does not let us make one")
            return
        self._attributes(entry, path)

    def _in_place(self, entry: tar.Entry, path: bytes, make: Callable[[], int | None]) -> int:
        """Make something, after what had its name; the result of `make`, if it has one."""
        try:
            return self._with_parents(entry, path, make)
        except FileExistsError:
            _remove(path, os.lstat(path))
            return make() or 0

    def _with_parents(self, entry: tar.Entry, path: bytes, make: Callable[[], int | None]) -> int:
        try:
            return make() or 0
        except FileNotFoundError:
            try:
                os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            except FileExistsError as error:
                raise _bad(entry, "it is below a name that is no directory") from error
            return make() or 0

    # -- attributes ---------------------------------------------------------------------------------------------------

    def _attributes(self, entry: tar.Entry, path: bytes, fd: int = -1) -> None:
        """Owner first, since that takes set-id bits and capabilities away. A directory's time comes at the end."""
        if entry.uid > _HIGHEST_ID or entry.gid > _HIGHEST_ID:
            raise _bad(entry, f"owned by {entry.uid}:{entry.gid}, beyond the highest id")
        link = entry.kind is tar.Kind.SYMLINK
        if fd >= 0:
            os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode)
        else:
            os.lchown(path, entry.uid, entry.gid)
            if not link:
                os.chmod(path, entry.mode)
        for name, value in entry.xattrs.items():
            self._xattr(entry, path, name, value)
        if fd >= 0:
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        elif entry.kind is not tar.Kind.DIRECTORY:
            os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    def _xattr(self, entry: tar.Entry, path: bytes, name: bytes, value: bytes) -> None:
        if name.startswith(_OURS):
            raise _bad(entry, f"the extended attribute {tar.shown(name)}, which would steer the overlay")
        if b"\0" in name or not name.startswith(_POSSIBLE):
            return
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            if name.startswith(b"security.") or error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            self._warn(
                f"{tar.shown(entry.name)}: the extended attribute {tar.shown(name)} was left out: {error.strerror}"
            )


def clean(entry: tar.Entry, path: bytes | None = None) -> bytes:
    """A name without leading slash, `.` and empty parts; b"" is the root. Raises CorruptData where `..` leads out."""
    parts: list[bytes] = []
    for part in (entry.name if path is None else path).split(b"/"):
        if part == b"..":
            if not parts:
                raise _bad(
                    entry, "its path leads out of the layer" if path is None else "its link leads out of the layer"
                )
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _fill(fd: int, entry: tar.Entry, reader: tar.Reader) -> None:
    if entry.fragments is not None:
        os.ftruncate(fd, entry.size)
    for offset, piece in reader.pieces():
        done = 0
        while done < len(piece):
            done += os.pwrite(fd, piece[done:] if done else piece, offset + done)


def _remove(path: bytes, status: os.stat_result) -> None:
    """Delete a tree, without recursion: it may be as deep as a path is long."""
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    pending = [path]
    while pending:
        top = pending[-1]
        directories = []
        with os.scandir(top) as children:
            for child in children:
                if child.is_dir(follow_symlinks=False):
                    directories.append(child.path)
                else:
                    os.unlink(child.path)
        if directories:
            pending += directories
        else:
            os.rmdir(top)
            pending.pop()


def _bad(entry: tar.Entry, what: str) -> errors.CorruptData:
    return errors.CorruptData(f"entry {tar.shown(entry.name)}: {what}")
