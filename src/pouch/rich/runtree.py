"""What the image has in /run, which the container's own /run would hide: directories that its builder made, and small files.

An app made for plain containers counts on `/run/mysqld` and the like being there; so they are made again at each start.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from pouch.kernel import inroot
from pouch.rich import plan, seeds
from pouch.spec import errors

_MOST_ENTRIES = 256
_DEEPEST = 6
_LARGEST = 1 << 16
_NOT_THESE = frozenset({"pouch", "lock", "systemd", "machine-id", "initctl", "utmp", "user", "udev", ".containerenv"})
"""At the top: what a boot makes itself."""
_STALE = (".pid", ".lock", ".sock")


def skeleton(rootfs: str, id_base: int = 0) -> tuple[plan.File, ...]:
    """Files for the container's /run. id_base: host id of the container's id 0 in `rootfs`. The first 256 entries, six levels deep."""
    found: list[plan.File] = []
    for file in _below(rootfs, "", id_base, _DEEPEST):
        found.append(file)
        if len(found) == _MOST_ENTRIES:
            break
    return tuple(found)


def _below(rootfs: str, path: str, id_base: int, depth: int) -> Iterator[plan.File]:
    for name in seeds.names(rootfs, f"/run/{path}") or ():
        inner = f"{path}/{name}" if path else name
        if inner in _NOT_THESE or name.endswith(_STALE):
            continue
        try:
            status = inroot.stat(rootfs, f"/run/{inner}", follow=False)
            file = _entry(rootfs, inner, status, id_base)
        except (errors.NotFound, errors.KernelError):
            continue  # it changes, or leads out of what can be read: not worth a failed start
        if file is not None:
            yield file
        if file is not None and file.directory and depth > 1:
            yield from _below(rootfs, inner, id_base, depth - 1)


def _entry(rootfs: str, path: str, status: os.stat_result, id_base: int) -> plan.File | None:
    uid, gid = max(status.st_uid - id_base, 0), max(status.st_gid - id_base, 0)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return plan.File(path=path, directory=True, mode=mode, uid=uid, gid=gid)
    if stat.S_ISLNK(status.st_mode):
        return plan.File(path=path, link=inroot.readlink(rootfs, f"/run/{path}"), uid=uid, gid=gid)
    if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST:
        content = inroot.read_file(rootfs, f"/run/{path}", limit=_LARGEST)
        return plan.File(path=path, content=content, mode=mode, uid=uid, gid=gid)
    return None
