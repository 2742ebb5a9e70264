"""What a stack of layers shows, read without mounting it (Documentation/filesystems/overlayfs.rst).

The layers are immutable and were written by us: their directories are real, so names are joined to paths without fear of links,
as long as each component was first found to be a directory here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

OPAQUE = "trusted.overlay.opaque"
OVERLAY_XATTRS = "trusted.overlay."


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
    """Mode, owner, times and extended attributes of a directory."""
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(OVERLAY_XATTRS):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _until_opaque(directories: Sequence[bytes]) -> tuple[bytes, ...]:
    """The directories that merge: all down to the first opaque one."""
    shown: list[bytes] = []
    for directory in directories:
        shown.append(directory)
        if is_opaque(directory):
            break
    return tuple(shown)
