"""What the file system below the daemon's root directory can do, tried in a directory made there and removed again."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import TypeVar

from pouch.kernel import libc, mount, namespace
from pouch.kernel.host.finding import Finding, Level, Place, Probe
from pouch.spec import errors

T = TypeVar("T")

_EXTENTS = ((0, 1 << 20, 65536), (65536, 0, 1))
"""As for a container: its ids, and the host's root, without which an overlay on such mounts is read-only."""
_AUTO, _NATIVE = "auto", "native"
_GIB = 1 << 30
_LITTLE_SPACE, _NO_SPACE = _GIB, _GIB // 10
_FEW_FILES = 10_000
_Q_GETINFO, _PROJECT = 0x800005, 2
_quotactl_fd = libc.Call("quotactl_fd", ctypes.c_uint, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, number=443)


def existing(path: str) -> str:
    """The path, or the nearest directory above it that exists: before its first start pouchd has no directory."""
    while not os.path.isdir(path):
        path = os.path.dirname(path.rstrip("/")) or "/"
    return path


def in_own_mounts(action: Callable[[], T]) -> T:
    """Run it in a thread, made for it, with mounts of its own that end with it."""

    def apart() -> T:
        namespace.leave_mount_namespace()
        return action()

    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return namespace.run_in_namespace(here, apart)
    finally:
        os.close(here)


def try_in_directory(place: Place, action: Callable[[str], None]) -> None:
    """Run the action with an empty directory on the root's file system, in mounts of its own; both are gone afterwards."""
    directory = tempfile.mkdtemp(prefix=".pouch-probe-", dir=existing(place.root))
    try:
        in_own_mounts(lambda: action(directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _layers(directory: str) -> None:
    """A layer with a file, an upper and a work directory, and a place to mount."""
    for name in ("lower", "other", "rw/upper", "rw/work", "merged", "mapped", "mapped-rw"):
        os.makedirs(f"{directory}/{name}")
    with open(f"{directory}/lower/file", "wb") as file:
        file.write(b"of the image")


def _change(merged: str) -> None:
    """What a container does to its root: change a file of the image, remove it, make another. The removal is a whiteout."""
    with open(f"{merged}/file", "ab") as file:
        file.write(b" and more")
    os.unlink(f"{merged}/file")
    os.mkdir(f"{merged}/directory", 0o755)


def _overlay(directory: str) -> None:
    _layers(directory)
    lower = [f"{directory}/other", f"{directory}/lower"]
    mount.overlay(lower, f"{directory}/rw/upper", f"{directory}/rw/work", f"{directory}/merged")
    _change(f"{directory}/merged")


def _mapped_overlay(directory: str) -> None:
    _layers(directory)
    userns = namespace.open_userns(_EXTENTS)
    try:
        mount.idmapped_clone(f"{directory}/lower", f"{directory}/mapped", userns)
        mount.idmapped_clone(f"{directory}/rw", f"{directory}/mapped-rw", userns)
    finally:
        os.close(userns)
    rw = f"{directory}/mapped-rw"
    mount.overlay([f"{directory}/mapped"], f"{rw}/upper", f"{rw}/work", f"{directory}/merged")
    owner = os.stat(f"{directory}/merged/file").st_uid
    if owner != _EXTENTS[0][1]:
        raise errors.Unsupported(f"a file of the container's root appears with uid {owner}, expected {_EXTENTS[0][1]}")
    _change(f"{directory}/merged")


def _mapped_copy(directory: str) -> None:
    _layers(directory)
    userns = namespace.open_userns(_EXTENTS)
    try:
        mount.idmapped_clone(f"{directory}/lower", f"{directory}/mapped", userns)
    finally:
        os.close(userns)
    _change(f"{directory}/mapped")


def look_at_overlay(place: Place) -> Finding:
    """An overlay on the root's file system, read and written."""
    where = f"{existing(place.root)} ({file_system(existing(place.root))})"
    if place.snapshotter == _NATIVE:
        return Finding(
            "overlay", Level.NOTE, f"no overlay is used on {where}: the native snapshotter copies the layers"
        )
    try:
        try_in_directory(place, _overlay)
    except (errors.KernelError, OSError) as error:
        found = f"overlay does not work on {where}: {_short(error)}"
        advice = "put pouchd's root directory on ext4, xfs or btrfs (root in pouchd.toml)"
        if place.snapshotter == _AUTO and _works(place, _layers):
            found += "; the native snapshotter gives each container a copy of its layers, which takes time and space"
            return Finding("overlay", Level.WARNING, found, advice)
        return Finding("overlay", Level.ERROR, found, advice)
    return Finding("overlay", Level.OK, f"overlay works on {where}")


def look_at_idmap(place: Place) -> Finding:
    """Shared layers seen with a container's ids, and an overlay on them; a copy of them where containers have one."""
    where = f"{existing(place.root)} ({file_system(existing(place.root))})"
    native = place.snapshotter == _NATIVE
    try:
        try_in_directory(place, _mapped_copy if native else _mapped_overlay)
    except (errors.PouchError, OSError) as error:
        native = place.snapshotter == _AUTO and not _works(place, _overlay) and _works(place, _mapped_copy)
        if not native:
            found = (
                f"idmapped mounts do not work on {where}: {_short(error)}; rich containers share the host's user ids"
            )
            return Finding("idmap", Level.WARNING, found, "Linux 5.19 or later, and ext4, xfs or btrfs, can do it")
    what = "copies" if native else "layers and an overlay on them"
    return Finding("idmap", Level.OK, f"idmapped {what} work on {where}")


def _works(place: Place, action: Callable[[str], None]) -> bool:
    try:
        try_in_directory(place, action)
    except (errors.PouchError, OSError):
        return False
    return True


def look_at_quota(place: Place) -> Finding:
    """Whether a container's disk can be limited."""
    where = existing(place.root)
    why = _no_project_quota(where)
    if not why:
        return Finding("quota", Level.OK, f"project quota is on for {where}")
    advice = "xfs or ext4 mounted with the option prjquota has it"
    return Finding(
        "quota", Level.NOTE, f"no project quota on {where}: {why}; a container's disk cannot be limited", advice
    )


def _no_project_quota(where: str) -> str:
    """Why; "" where project quota is on. Asked of the file system by quotactl_fd(2) (Linux 5.14)."""
    answer = ctypes.create_string_buffer(256)
    fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _quotactl_fd(where, fd, _Q_GETINFO << 8 | _PROJECT, 0, answer)
    except errors.KernelError as error:
        known = {errno.ENOSYS: "this kernel has no quota", errno.ESRCH: "it is not turned on"}
        return known.get(error.errno, os.strerror(error.errno))
    finally:
        os.close(fd)
    return ""


def look_at_space(place: Place) -> Finding:
    """Free bytes and files for images and containers."""
    where = existing(place.root)
    status = os.statvfs(where)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    found = f"{free / _GIB:.1f} GiB free of {total / _GIB:.1f} on {where} ({file_system(where)})"
    if status.f_files and status.f_favail < _FEW_FILES:
        found += f", room for {status.f_favail} more files"
        return Finding("space", Level.WARNING, found, "remove images and containers that are not needed")
    if free < _LITTLE_SPACE:
        level = Level.ERROR if free < _NO_SPACE else Level.WARNING
        return Finding("space", level, found, "remove images and containers that are not needed, or give it more space")
    return Finding("space", Level.OK, found)


def file_system(path: str) -> str:
    """The type of the file system there, by the device's mount: ext4, xfs, overlay. "" where mountinfo does not have it."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            if before.split()[2] == wanted:
                kinds = after.split()[0]
    return kinds or "unknown file system"  # btrfs subvolumes have device numbers that mountinfo does not show


def _short(error: Exception) -> str:
    """An error without the path of our temporary directory's parts; with its hint, which is the file system's own message."""
    if isinstance(error, errors.PouchError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return str(error)


PROBES = (
    Probe("overlay", Level.ERROR, look_at_overlay),
    Probe("idmap", Level.WARNING, look_at_idmap),
    Probe("quota", Level.NOTE, look_at_quota),
    Probe("space", Level.WARNING, look_at_space),
)
