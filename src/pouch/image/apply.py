"""The entries of a layer's tar as files: runs only in the confined helper process, whose root directory is the layer and whose umask is 0.

There `/`, `..` and links cannot lead out, so paths are used as they are. The layer's directory is seen through an overlay on
the layers below it: a file that the tar deletes is simply deleted, and the kernel writes down how (OCI image-spec, layer.md).
"""

from __future__ import annotations

import array
import bisect
import errno
import os
import stat

from pouch.image import tar
from pouch.spec import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_RESERVED = b".wh..wh."
"""aufs kept its own files under such names; they are no part of an image."""
_HIGHEST_ID = (1 << 32) - 2
_OURS = b"trusted.overlay."
_POSSIBLE = (b"user.", b"security.capability", b"system.posix_acl_")
"""Extended attributes that must be kept; others belong to security modules of the machine the image was made on."""
_DEFAULT_ACL = b"system.posix_acl_default"
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


_ITS_OWN_FAULT = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENOENT)
"""What only an entry that contradicts the others can bring about: ENOENT, for one, a link to nothing on its way."""
_MOST_RECENT = 1 << 16
"""Names that are held as a set."""
_MOST_TIMES = 1 << 12
"""Directories whose times are held back at once."""


MOST_MADE = 4096
"""Directories without an entry of their own, of a layer that is written alone."""


class BelowNeededError(Exception):
    """What the layer means can only be told with the layers below in sight."""


class Applier:
    """Writes one layer below the process's root directory."""

    def __init__(self, *, layered: bool, warn: Callable[[str], None], most: int = 0, alone: bool = False) -> None:
        """layered: there are layers below. warn: told what could not be kept, in a sentence. most: entries that are allowed, 0: any number.

        alone: there are layers below, and they cannot be seen here: `made` then says what is to be compared with them (see `image.alone`),
        and BelowNeededError is raised where that would not be enough.
        """
        self.made: dict[bytes, bool] = {}
        """Directories that were made without an entry of their own; False: it came later."""
        self._alone = alone
        self._layered = layered
        self._warn = warn
        self._most = most
        self._touched = _Names()
        """What this layer has something at or below; only where whiteouts can ask for it."""
        self._times: Times = Times()

    def apply(self, reader: tar.Reader) -> None:
        """Write all entries. Raises CorruptData naming the entry; OSError for what the file system refuses."""
        for count, entry in enumerate(reader):
            if 0 < self._most <= count:
                raise errors.Forbidden(f"max-layer-files: has more than {self._most} entries")
            try:
                self._entry(entry, reader)
            except OSError as error:
                if error.errno in _ITS_OWN_FAULT:
                    raise _bad(entry, os.strerror(error.errno)) from error
                error.filename = entry.name
                raise
        self._times.settle()

    def _entry(self, entry: tar.Entry, reader: tar.Reader) -> None:
        name = clean(entry)
        if WHITEOUT in name and self._is_mark(entry, name):
            return
        path = b"/" + name
        alone = not name or self._times.keep(path.rpartition(b"/")[0])
        if entry.kind is tar.Kind.FILE and name:
            self._file(entry, path, reader, alone=alone)
        elif entry.kind is tar.Kind.DIRECTORY:
            self._directory(entry, path)
            self._times.set(path, entry.mtime)
        elif not name:
            raise _bad(entry, f"the root is a {entry.kind.value}, expected a directory")
        else:
            self._make(entry, path, alone=alone)
        if self._layered:
            self._touched.add(name)

    # -- deletions ----------------------------------------------------------------------------------------------------

    def _is_mark(self, entry: tar.Entry, name: bytes) -> bool:
        """Whether the entry is no file but says something of the layers below; it is done then."""
        above, _, base = name.rpartition(b"/")
        if self._alone and (base == OPAQUE or (base.startswith(WHITEOUT) and b"/" + _RESERVED not in b"/" + name)):
            raise BelowNeededError
        if base == OPAQUE:
            if self._layered:
                self._hide_children(above)
            return True
        if b"/" + _RESERVED in b"/" + name:
            return True
        if not base.startswith(WHITEOUT):
            return False
        hidden = base[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise _bad(entry, "a whiteout of no name")
        if self._layered:
            self._times.keep(b"/" + above if above else b"")
            self._hide(above + b"/" + hidden if above else hidden)
        return True

    def _hide(self, name: bytes) -> None:
        """Delete what the layers below have under a name; what this layer has there stays, whatever the order."""
        path = b"/" + name
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        if name not in self._touched:
            remove(path, status)
        elif stat.S_ISDIR(status.st_mode):
            self._hide_children(name)

    def _hide_children(self, name: bytes) -> None:
        path = b"/" + name if name else b""
        try:
            children = os.listdir(path or b"/")
        except (FileNotFoundError, NotADirectoryError):
            return
        self._times.keep(path)
        for child in children:
            self._hide(name + b"/" + child if name else child)

    # -- files --------------------------------------------------------------------------------------------------------

    def _file(self, entry: tar.Entry, path: bytes, reader: tar.Reader, *, alone: bool) -> None:
        """alone: nothing is inherited from its directory, so that root's files are made as they are to be."""
        try:
            fd = os.open(path, NEW_FILE, entry.mode)
        except (FileExistsError, FileNotFoundError):
            fd = self._in_place(entry, path, lambda: os.open(path, NEW_FILE, entry.mode))
        try:
            write_content(fd, entry, reader)
            if entry.uid or entry.gid or not alone:
                self._owner(entry)
                os.fchown(fd, entry.uid, entry.gid)
                os.fchmod(fd, entry.mode)  # also because a change of owner takes set-id bits away
            if entry.xattrs:
                self._xattrs(entry, path)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _directory(self, entry: tar.Entry, path: bytes) -> None:
        try:
            os.mkdir(path, entry.mode)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                self._drop_attributes(entry, path)
            else:
                os.unlink(path)
                os.mkdir(path, entry.mode)
        except FileNotFoundError:
            self._with_parents(entry, path, lambda: os.mkdir(path, entry.mode))
        if path in self.made:
            self.made[path] = False
        self._attributes(entry, path)

    def _drop_attributes(self, entry: tar.Entry, path: bytes) -> None:
        """Of a directory of the layers below: take away what the entry does not have."""
        for name in os.listxattr(path, follow_symlinks=False):
            if os.fsencode(name).startswith(_POSSIBLE) and os.fsencode(name) not in entry.xattrs:
                os.removexattr(path, name, follow_symlinks=False)

    def _make(self, entry: tar.Entry, path: bytes, *, alone: bool) -> None:
        """Anything but a file with data or a directory, in place of what is there. alone: see `_file`."""
        if entry.kind is tar.Kind.HARD_LINK:
            self._hard_link(entry, path)
        elif entry.kind is tar.Kind.SYMLINK:
            if not entry.link:
                raise _bad(entry, "a symbolic link to nothing")
            try:
                os.symlink(entry.link, path)
            except (FileExistsError, FileNotFoundError):
                self._in_place(entry, path, lambda: os.symlink(entry.link, path))
            if entry.uid or entry.gid or not alone:
                self._owner(entry)
                os.lchown(path, entry.uid, entry.gid)
            if entry.xattrs:
                self._xattrs(entry, path)
            os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)
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
        os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    def _in_place(self, entry: tar.Entry, path: bytes, make: Callable[[], int | None]) -> int:
        """Make something, after what had its name; the result of `make`, if it has one."""
        try:
            return self._with_parents(entry, path, make)
        except FileExistsError:
            remove(path, os.lstat(path))
            return make() or 0

    def _with_parents(self, entry: tar.Entry, path: bytes, make: Callable[[], int | None]) -> int:
        try:
            return make() or 0
        except FileNotFoundError:
            try:
                made = _make_directories(os.path.dirname(path))
            except FileExistsError as error:
                raise _bad(entry, "it is below a name that is no directory") from error
            if self._alone:
                self._note(made)
            return make() or 0

    def _note(self, made: list[bytes]) -> None:
        if len(self.made) + len(made) > MOST_MADE:
            raise BelowNeededError
        self.made.update(dict.fromkeys(made, True))

    # -- attributes ---------------------------------------------------------------------------------------------------

    def _owner(self, entry: tar.Entry) -> None:
        if entry.uid > _HIGHEST_ID or entry.gid > _HIGHEST_ID:
            raise _bad(entry, f"owned by {entry.uid}:{entry.gid}, beyond the highest id")

    def _attributes(self, entry: tar.Entry, path: bytes) -> None:
        """Owner first, since that takes set-id bits and capabilities away."""
        self._owner(entry)
        os.lchown(path, entry.uid, entry.gid)
        os.chmod(path, entry.mode)
        if entry.xattrs:
            self._xattrs(entry, path)

    def _xattrs(self, entry: tar.Entry, path: bytes) -> None:
        for name, value in entry.xattrs.items():
            self._xattr(entry, path, name, value)

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


class _Names:
    """A set of names and all those above them. Eight bytes each: of most, a hash in a sorted row is kept."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._rows: list[array.array[int]] = []

    def add(self, name: bytes) -> None:
        """Also the names above it, which may have no entry."""
        known = hash(name)  # seeded anew in each process: nobody can make two names equal
        while known not in self._recent:
            self._recent.add(known)
            name = name.rpartition(b"/")[0]
            known = hash(name)
        if len(self._recent) >= _MOST_RECENT:
            self._rows.append(array.array("q", sorted(self._recent)))
            self._recent.clear()

    def __contains__(self, name: bytes) -> bool:
        known = hash(name)
        return known in self._recent or any(_is_in(row, known) for row in self._rows)


def _is_in(row: array.array[int], value: int) -> bool:
    place = bisect.bisect_left(row, value)
    return place < len(row) and row[place] == value


class Times:
    """Modification times of directories, put right after the last change in each: every child that is made or deleted changes them.

    A directory that only gets another child keeps the time it has. Directories are told by their inode, since links can lead to
    one by several names. Few are held at once: a directory that is written to again later is simply looked at again.
    """

    def __init__(self, *, keeps: bool = True) -> None:
        """keeps: whether a directory that only gets another child keeps the time it has."""
        self._keeps = keeps
        self._known: dict[bytes, bool] = {}
        """Of paths that were looked at, b"" for the root: whether what is made there inherits nothing."""
        self._found: dict[int, tuple[bytes, int]] = {}
        """By inode: a path that leads there, and the time it is to have."""

    def keep(self, path: bytes) -> bool:
        """Something is about to change in this directory; where it is not there yet, in the next one above.

        Whether what is made in it gets neither a group nor rights from it.
        """
        alone = self._known.get(path)
        if alone is not None:
            return alone
        while True:
            try:
                status = os.stat(path or b"/")
                break
            except OSError:
                # directories of ours will be in between; what cannot be looked at cannot be written to either
                if not path:
                    return False
                path = path.rpartition(b"/")[0]
        return self._note(path, status, status.st_mtime_ns, known=False)

    def set(self, path: bytes, mtime: int) -> None:
        """A directory was made or changed and is to have this time."""
        self._note(path if path != b"/" else b"", os.stat(path), mtime, known=True)

    def settle(self) -> None:
        """Set all times. A directory may be gone or something else by now."""
        for inode, (path, mtime) in self._found.items():
            try:
                status = os.stat(path or b"/")
                if status.st_ino == inode and stat.S_ISDIR(status.st_mode) and status.st_mtime_ns != mtime:
                    os.utime(path or b"/", ns=(mtime, mtime))
            except OSError as error:
                if error.errno not in _ITS_OWN_FAULT:
                    raise
        self._known.clear()
        self._found.clear()

    def _note(self, path: bytes, status: os.stat_result, mtime: int, *, known: bool) -> bool:
        """known: the time is what it is to be; else one that is known already stays."""
        if len(self._known) >= _MOST_TIMES:
            self.settle()
        if known or (self._keeps and status.st_ino not in self._found):
            self._found[status.st_ino] = (path, mtime)
        alone = not status.st_mode & stat.S_ISGID and not _has_default_acl(path or b"/")
        self._known[path] = alone
        return alone


def _has_default_acl(path: bytes) -> bool:
    """Whether a directory gives rights to what is made in it (acl(5))."""
    try:
        return bool(os.getxattr(path, _DEFAULT_ACL))
    except OSError:
        return False


def clean(entry: tar.Entry, path: bytes | None = None) -> bytes:
    """A name without leading slash, `.` and empty parts; b"" is the root. Raises CorruptData where `..` leads out."""
    whole = entry.name if path is None else path
    short = whole.strip(b"/").removeprefix(b"./")
    if b"//" not in short and b"/." not in short and not short.startswith((b".", b"/")):
        return short  # as nearly all are
    parts: list[bytes] = []
    for part in whole.split(b"/"):
        if part == b"..":
            if not parts:
                raise _bad(
                    entry, "its path leads out of the layer" if path is None else "its link leads out of the layer"
                )
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def write_content(fd: int, entry: tar.Entry, reader: tar.Reader) -> None:
    """Write the current file's data into a new file."""
    data = reader.content()
    if data is None:
        _fill(fd, entry, reader)
    elif data:
        _write(fd, data)


def _write(fd: int, data: memoryview) -> None:
    while len(data) > (done := os.write(fd, data)):
        data = data[done:]


def _fill(fd: int, entry: tar.Entry, reader: tar.Reader) -> None:
    if entry.fragments is not None:
        os.ftruncate(fd, entry.size)
        for offset, piece in reader.pieces():
            os.lseek(fd, offset, os.SEEK_SET)
            _write(fd, piece)
        return
    for _, piece in reader.pieces():
        _write(fd, piece)


def _make_directories(path: bytes) -> list[bytes]:
    """Make a directory and those above it; without recursion, as `remove`. Those that were missing, the highest first.

    Raises FileExistsError for what is in the way.
    """
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    missing.reverse()
    for directory in missing:
        os.mkdir(directory, 0o755)
    return missing


def remove(path: bytes, status: os.stat_result) -> None:
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
