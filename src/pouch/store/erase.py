"""Deleting trees that untrusted programs made.

A container can nest directories deeper than a path, a stack or the limit of descriptors allows. So nothing here recurses: a
directory's subdirectories are moved up to the top before it is deleted, and at most two are open at a time.
"""

from __future__ import annotations

import contextlib
import errno
import os

from pouch.spec import errors

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def erase(path: str) -> None:
    """Delete a directory with all that is in it; a missing one is fine. Follows no link.

    Raises KernelError naming the file that resists (chattr +i, say); what could be deleted is.
    """
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.KernelError("open", path, error.errno or errno.EIO) from error
    try:
        _empty(top, path)
    finally:
        os.close(top)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.KernelError("rmdir", path, error.errno or errno.EIO) from error


def _empty(top: int, path: str) -> None:
    moved = 0
    while names := os.listdir(top):
        for name in names:
            try:
                with contextlib.suppress(FileNotFoundError):
                    moved += _delete(top, name, moved)
            except OSError as error:
                raise errors.KernelError("unlink", f"{path}/{name}", error.errno or errno.EIO) from error


def _delete(top: int, name: str, moved: int) -> int:
    """Delete one entry of the top directory; how many directories it left behind there."""
    try:
        os.unlink(name, dir_fd=top)
        return 0
    except (IsADirectoryError, PermissionError):  # unlink(2) of a directory is EISDIR here, EPERM by POSIX
        pass
    try:
        os.rmdir(name, dir_fd=top)
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    inner = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        left = _hoist(inner, top, moved)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)
    return left


def _hoist(inner: int, top: int, moved: int) -> int:
    """Delete a directory's files and move its directories up; how many those are."""
    count = 0
    with os.scandir(inner) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=inner)
            continue
        try:
            os.rmdir(name, dir_fd=inner)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            count += 1
            _move_up(name, inner, top, moved + count)
    return count


def _move_up(name: str, inner: int, top: int, number: int) -> None:
    """Rename to a free name: one that cannot be there is not known, since the tree's names are foreign."""
    for attempt in range(1000):
        new = f".erase-{os.getpid()}-{number}-{attempt}"
        try:
            os.stat(new, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, new, src_dir_fd=inner, dst_dir_fd=top)
            return
    raise OSError(errno.EEXIST, "no free name", name)
