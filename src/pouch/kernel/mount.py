"""Mounts: overlay, bind, idmapped clones, tmpfs, and what is mounted where.

New mounts are private: nothing that is mounted below them later travels to another namespace.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import threading
from collections.abc import Iterator, Sequence

from pouch.kernel import libc
from pouch.spec import errors

_MOUNTINFO = "/proc/self/mountinfo"
_DESCRIPTORS = "/proc/self/fd"
_LONGEST_VALUE = 255
"""Bytes of a value that fsconfig(2) takes."""
_LONGEST_DATA = 4095
"""Bytes of the option string that mount(2) takes: a page with its end."""
MOST_LAYERS = 500
"""Lower directories of one overlay: OVL_MAX_STACK of fs/overlayfs, the same in every kernel."""
MOST_MOUNTS = 1 << 14
"""Of a namespace, that are looked at."""
_SIZE = re.compile(r"[0-9]+[kKmMgG%]?")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_ATTRIBUTES = {
    "ro": (libc.MOUNT_ATTR_RDONLY, libc.MS_RDONLY),
    "nosuid": (libc.MOUNT_ATTR_NOSUID, libc.MS_NOSUID),
    "nodev": (libc.MOUNT_ATTR_NODEV, libc.MS_NODEV),
    "noexec": (libc.MOUNT_ATTR_NOEXEC, libc.MS_NOEXEC),
    "noatime": (libc.MOUNT_ATTR_NOATIME, libc.MS_NOATIME),
}
_KEPT = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC | libc.MS_NOATIME
"""Flags of a mount that statvfs(3) answers by the same bits."""
_OLD_KERNEL = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP})
"""What a kernel without a call, or a filter before it, answers."""


def overlay(lower: Sequence[str], upper: str, work: str, target: str, *, options: Sequence[str] = ()) -> None:
    """Mount an overlay of directories, the top layer first; read-only where `upper` is "".

    options: of overlayfs (`userxattr`, `metacopy=on`, `volatile`) and of any mount (`ro`, `nosuid`, `nodev`, `noexec`,
    `noatime`). Up to MOST_LAYERS layers, with paths of any length, whatever the kernel. Raises InvalidInput for none or more of them,
    and KernelError; its hint is what the file system said (kernels before 6.5 say it in their log alone). A single layer without
    upper, which overlayfs refuses, is a read-only bind of that layer.
    """
    if not 0 < len(lower) <= MOST_LAYERS:
        raise errors.InvalidInput(
            f"overlay on {target} has {len(lower)} layers: expected 1 to {MOST_LAYERS}, which is the kernel's limit"
        )
    if not upper and len(lower) == 1:
        bind(lower[0], target, read_only=True)
        return
    try:
        _overlay_by_parts(lower, upper, work, target, options)
    except errors.KernelError as first:
        if first.errno not in _OLD_KERNEL:
            raise
        try:
            _overlay_by_string(lower, upper, work, target, options)
        except errors.KernelError as second:
            asked = ", ".join(options) or "none"
            second.hint = second.hint or first.hint or f"the kernel's log may say why; options asked for: {asked}"
            raise second from first


def _overlay_by_parts(lower: Sequence[str], upper: str, work: str, target: str, options: Sequence[str]) -> None:
    """One fsconfig(2) per layer (Documentation/filesystems/overlayfs.rst, "Multiple lower layers")."""
    attributes = 0
    with contextlib.ExitStack() as stack:
        context = libc.fsopen("overlay")
        stack.callback(os.close, context)
        try:
            for layer in lower:
                libc.fsconfig_set(context, "lowerdir+", _short(layer, stack), target)
            if upper:
                libc.fsconfig_set(context, "upperdir", _short(upper, stack), target)
                libc.fsconfig_set(context, "workdir", _short(work, stack), target)
            libc.fsconfig_set(context, "source", "overlay", target)
            for option in options:
                if option in _ATTRIBUTES:
                    attributes |= _ATTRIBUTES[option][0]
                    continue
                key, equals, value = option.partition("=")
                libc.fsconfig_set(context, key, value if equals else None, target)
            libc.fsconfig_create(context, target)
        except errors.KernelError as error:
            error.hint = error.hint or _messages(context)
            raise
        made = libc.fsmount(context, attributes, target)
        stack.callback(os.close, made)
        libc.move_mount(made, target)


def _overlay_by_string(lower: Sequence[str], upper: str, work: str, target: str, options: Sequence[str]) -> None:
    """mount(2), for kernels before 6.7. All directories are named by descriptors: short, and free of `:` and `,`."""
    flags = 0
    words = []
    for option in options:
        if option in _ATTRIBUTES:
            flags |= _ATTRIBUTES[option][1]
        else:
            words.append(option)
    with contextlib.ExitStack() as stack:
        numbers = [_descriptor(path, stack) for path in (*lower, *((upper, work) if upper else ()))]

        def data(prefix: str) -> str:
            names = [f"{prefix}{number}" for number in numbers]
            own = [f"upperdir={names[-2]}", f"workdir={names[-1]}"] if upper else []
            return ",".join(["lowerdir=" + ":".join(names[: len(lower)]), *own, *words])

        full = data(f"{_DESCRIPTORS}/")
        if len(full) <= _LONGEST_DATA:
            libc.mount("overlay", target, "overlay", flags, full)
        else:
            _mount_among_descriptors(target, flags, data(""))


def _mount_among_descriptors(target: str, flags: int, data: str) -> None:
    """The same with bare numbers for names, of which a page holds 500: in a thread whose own working directory they are in."""
    place = os.path.abspath(target)
    failed: list[errors.KernelError] = []

    def apart() -> None:
        try:
            libc.unshare(libc.CLONE_FS)
            os.chdir(_DESCRIPTORS)
            libc.mount("overlay", place, "overlay", flags, data)
        except errors.KernelError as error:
            failed.append(error)

    thread = threading.Thread(target=apart, name="overlay")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _short(path: str, stack: contextlib.ExitStack) -> str:
    if "\\" in path:  # overlayfs takes it for an escape in some of its parameters
        return _by_descriptor(path, stack)
    return path if len(os.fsencode(path)) <= _LONGEST_VALUE else _by_descriptor(path, stack)


def _by_descriptor(path: str, stack: contextlib.ExitStack) -> str:
    """A short name of a directory that holds while the stack does."""
    return f"{_DESCRIPTORS}/{_descriptor(path, stack)}"


def _descriptor(path: str, stack: contextlib.ExitStack) -> int:
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise errors.KernelError("open", path, error.errno or errno.EIO) from error
    stack.callback(os.close, fd)
    return fd


def _messages(context: int) -> str:
    """What the file system says of a failed fsconfig: lines such as `e overlay: ...`."""
    found: list[str] = []
    with contextlib.suppress(OSError):  # ENODATA: no more
        while line := os.read(context, 1024):
            found.append(line.decode(errors="replace").strip().partition(" ")[2])
    return "; ".join(found)


def bind(source: str, target: str, *, recursive: bool = False, read_only: bool = False) -> None:
    """Show `source` at `target` too. read_only holds, with recursive, for all mounts below; it is never writable in between.

    Before Linux 5.12 it is writable for a moment, and read_only with recursive is KernelError (ENOSYS).
    """
    attributes = libc.MountAttr(libc.MOUNT_ATTR_RDONLY if read_only else 0, 0, libc.MS_PRIVATE, 0)
    try:
        _clone(source, target, attributes, recursive=recursive)
    except errors.KernelError as error:
        if error.errno != errno.ENOSYS or (read_only and recursive):
            raise
        _bind_by_flags(source, target, recursive=recursive, read_only=read_only)


def _bind_by_flags(source: str, target: str, *, recursive: bool, read_only: bool) -> None:
    """mount(2), which takes a bind's own flags in a second call only: those it has must be said again, or they go."""
    also = libc.MS_REC if recursive else 0
    libc.mount(source, target, "", libc.MS_BIND | also, "")
    try:
        libc.mount("none", target, "", libc.MS_PRIVATE | also, "")
        if read_only:
            kept = os.statvfs(target).f_flag & _KEPT
            libc.mount("none", target, "", libc.MS_REMOUNT | libc.MS_BIND | libc.MS_RDONLY | kept, "")
    except BaseException:
        unmount(target)
        raise


def idmapped_clone(source: str, target: str, userns_fd: int, *, recursive: bool = False, nodev: bool = False) -> None:
    """Show `source` at `target` with its ids seen through a user namespace's maps (mount_setattr(2), MOUNT_ATTR_IDMAP).

    An id on disk that is `inside` in an extent appears as `outside`, and back. Raises KernelError: EINVAL where the file system
    cannot, or is itself idmapped already (EPERM), ENOSYS before Linux 5.12.
    """
    wanted = libc.MOUNT_ATTR_IDMAP | (libc.MOUNT_ATTR_NODEV if nodev else 0)
    attributes = libc.MountAttr(wanted, 0, libc.MS_PRIVATE, userns_fd)
    _clone(source, target, attributes, recursive=recursive)


def _clone(source: str, target: str, attributes: libc.MountAttr, *, recursive: bool) -> None:
    tree = libc.open_tree(source, libc.OPEN_TREE_CLONE | (libc.AT_RECURSIVE if recursive else 0))
    try:
        libc.mount_setattr(tree, attributes, source, recursive=recursive)
        libc.move_mount(tree, target)
    finally:
        os.close(tree)


def tmpfs(target: str, *, size: str = "", mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
    """Mount an empty tmpfs, nosuid and nodev. size: bytes with an optional k, m, g, or a share of memory with %; "": half."""
    data = f"mode={mode:o},uid={uid},gid={gid}"
    if size:
        if not _SIZE.fullmatch(size):
            raise errors.InvalidInput(f'invalid tmpfs size "{size}" for {target}: expected digits and k, m, g or %')
        data += f",size={size}"
    libc.mount("tmpfs", target, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, data)


def unmount(target: str, *, detach: bool = True, missing_ok: bool = True) -> None:
    """Take the topmost mount off `target`. detach: also when it is in use, then it goes with its last user.

    missing_ok: neither a path that is no mount point nor a missing one is an error.
    """
    try:
        libc.umount2(target, libc.UMOUNT_NOFOLLOW | (libc.MNT_DETACH if detach else 0))
    except errors.KernelError as error:
        if not missing_ok or error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def unmount_below(prefix: str) -> None:
    """Take off every mount at and below `prefix`, the deepest first."""
    for point in mount_points(prefix):
        unmount(point)


def mount_points(prefix: str) -> list[str]:
    """Where something is mounted at or below `prefix`, the deepest first; a path with two mounts on it is there twice."""
    top = os.fsencode(prefix).rstrip(b"/")
    found = [point for point in _mounted() if point == (top or b"/") or point.startswith(top + b"/")]
    found.reverse()
    found.sort(key=lambda point: point.rstrip(b"/").count(b"/"), reverse=True)
    return [os.fsdecode(point) for point in found]


def is_mount_point(path: str) -> bool:
    """Whether something is mounted exactly there. The path is taken as text: absolute, without links."""
    return os.fsencode(path) in set(_mounted())


def _mounted() -> Iterator[bytes]:
    """Field 5 of each line of mountinfo (proc_pid_mountinfo(5)), escapes undone."""
    with open(_MOUNTINFO, "rb") as lines:
        for line in lines:
            point = line.split(b" ", 5)[4]
            yield unescape(point) if b"\\" in point else point


def devices(pid: int) -> Iterator[tuple[int, str, bytes]]:
    """Of each mount in a process's mount namespace: the device number its files have (stat(2)), the file system's type, the mount point.

    Raises NotFound where the process is gone. At most MOST_MOUNTS are told: a container makes as many as it likes.
    """
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as lines:
            for line in itertools.islice(lines, MOST_MOUNTS):
                before, _, after = line.partition(b" - ")
                fields = before.split(b" ", 5)
                major, _, minor = fields[2].partition(b":")
                yield os.makedev(int(major), int(minor)), os.fsdecode(after.split(b" ", 1)[0]), unescape(fields[4])
    except OSError as error:  # EINVAL: it has ended, and has no namespaces any more
        raise errors.NotFound(f"process {pid} is gone") from error


def unescape(text: bytes) -> bytes:
    r"""Undo mountinfo's octal escapes: space, tab, newline and backslash come as `\040`, `\011`, `\012`, `\134`."""
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), text)


def make_private(target: str) -> None:
    """Cut a mount and all below it off from propagation, in both directions."""
    libc.mount("none", target, "", libc.MS_PRIVATE | libc.MS_REC, "")


def leave_namespace() -> None:
    """Give the calling thread a mount namespace of its own, cut off from the old one.

    For a process that is about to confine itself and has no other threads; it cannot go back.
    """
    libc.unshare(libc.CLONE_NEWNS)
    make_private("/")
