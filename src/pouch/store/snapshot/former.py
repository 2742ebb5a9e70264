"""A container's files of before an upgrade, put aside until it is known that the new image serves.

::

    containers/<id>/
    ├── rw/         what the container changes, whatever the snapshotter
    └── former/     there from `set_aside` on: the rw/ of before; empty where there was none

Each step is one rename, so that a daemon that is killed finds either the one or the other, whole. Not for a container that is mounted.
"""

from __future__ import annotations

import contextlib
import errno
import os

from pouch.spec import errors
from pouch.store import erase, paths


def set_aside(places: paths.Paths, id: str) -> None:
    """From here on the container has nothing of its own; there must be no `former` yet. Raises Conflict, KernelError."""
    former = places.former(id)
    if os.path.isdir(former):
        raise errors.Conflict(f"container {id}: {former} is there: an earlier upgrade was not finished")
    try:
        os.makedirs(places.containers(id), mode=0o711, exist_ok=True)
        try:
            os.rename(places.rw(id), former)
        except FileNotFoundError:  # never started
            os.mkdir(former, 0o700)
    except OSError as error:
        raise errors.KernelError("rename", former, error.errno or errno.EIO) from error


def take_back(places: paths.Paths, id: str) -> None:
    """The files of before are the container's again, what came meanwhile is deleted; idempotent. Raises KernelError."""
    former = places.former(id)
    if not os.path.isdir(former):
        return
    erase.erase(places.rw(id))
    try:
        os.rename(former, places.rw(id))
    except OSError as error:
        raise errors.KernelError("rename", former, error.errno or errno.EIO) from error


def forget(places: paths.Paths, id: str) -> None:
    """Delete the files of before; idempotent. Raises KernelError."""
    with contextlib.suppress(FileNotFoundError):
        erase.erase(places.former(id))
