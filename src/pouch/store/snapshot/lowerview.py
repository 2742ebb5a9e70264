"""What a stack of layers shows, read without mounting it (Documentation/filesystems/overlayfs.rst).

The layers are immutable and were written by us: their directories are real, so names are joined to paths without fear of links,
as long as each component was first found to be a directory here.

Where the file system refuses overlay's marks (an overlay does), a deleted name is the empty file `.wh.NAME` instead: no tar of an image
can make one of its own. The native snapshotter alone meets them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

OPAQUE = "trusted.overlay.opaque"
OVERLAY_XATTRS = "trusted.overlay."
MARK = b".wh."


@dataclass(frozen=True, slots=True)
class Found:
    """One name in the view: its topmost file, and for a directory all directories that merge in it, top first."""

    path: bytes
    status: os.stat_result
    merged: tuple[bytes, ...] = ()


def root(layers: Sequence[str]) -> tuple[bytes, ...]:
    """The merged directories of the view's root. layers: their directories, top first."""
    return _until_opaque([os.fsencode(layer) for layer in layers])


def find(merged: Sequence[bytes], name: bytes) -> Found | None:
    """A name in a directory of the view, or None where it is not there or whited out."""
    top: Found | None = None
    below: list[bytes] = []
    for directory in merged:
        path = directory + b"/" + name
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if is_whiteout(status):
            break
        if not stat.S_ISDIR(status.st_mode):
            if top is None:
                return Found(path, status)
            break  # a file below a directory is hidden, and so is everything below it
        top = top or Found(path, status)
        below.append(path)
    return None if top is None else Found(top.path, top.status, _until_opaque(below))


def entries(merged: Sequence[bytes]) -> dict[bytes, Found]:
    """All names in a directory of the view. One listing of each directory, so the cost does not grow with layers times names."""
    tops: dict[bytes, Found] = {}
    below: dict[bytes, list[bytes]] = {}
    closed: set[bytes] = set()
    for directory in merged:
        with os.scandir(directory) as listing:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in listing]
        marks = {name for name, status in found if name.startswith(MARK) and _is_mark(status)}
        for name, status in found:
            if name in closed or name in marks:
                continue
            path = directory + b"/" + name
            if stat.S_ISDIR(status.st_mode):
                tops.setdefault(name, Found(path, status))
                below.setdefault(name, []).append(path)
                continue
            closed.add(name)
            if name not in tops and not is_whiteout(status):
                tops[name] = Found(path, status)
        closed.update(mark[len(MARK) :] for mark in marks)
    return {
        name: Found(top.path, top.status, _until_opaque(below[name])) if name in below else top
        for name, top in tops.items()
    }


def _is_mark(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlay's mark of a deleted name: character device 0/0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: bytes | int) -> bool:
    """Whether this directory hides those below it."""
    try:
        return os.getxattr(directory, OPAQUE) == b"y"
    except OSError:
        return False


def copy_attributes(source: bytes, target: bytes) -> None:
    """Mode, owner, times and extended attributes of a file of any kind; no link is followed."""
    status = os.lstat(source)
    os.lchown(target, status.st_uid, status.st_gid)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    for name, value in extended(source).items():  # after the owner, whose change takes capabilities away
        os.setxattr(target, name, value, follow_symlinks=False)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def extended(file: bytes | int) -> dict[str, bytes]:
    """Extended attributes of a file, but for overlay's own; none where the file system has none. A path's link is not followed."""
    follow = isinstance(file, int)
    try:
        names = os.listxattr(file, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {
        name: os.getxattr(file, name, follow_symlinks=follow) for name in names if not name.startswith(OVERLAY_XATTRS)
    }


def _until_opaque(directories: Sequence[bytes]) -> tuple[bytes, ...]:
    """The directories that merge: all down to the first opaque one."""
    shown: list[bytes] = []
    for directory in directories:
        shown.append(directory)
        if is_opaque(directory):
            break
    return tuple(shown)
