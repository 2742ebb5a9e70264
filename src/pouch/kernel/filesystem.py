"""Mounting what people name by a type, options and a device, in the words of mount(8). No program of it is run."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pouch.kernel import libc
from pouch.spec import errors

_FLAGS = {
    "defaults": (0, 0),
    "ro": (libc.MS_RDONLY, 0),
    "rw": (0, libc.MS_RDONLY),
    "nosuid": (libc.MS_NOSUID, 0),
    "suid": (0, libc.MS_NOSUID),
    "nodev": (libc.MS_NODEV, 0),
    "dev": (0, libc.MS_NODEV),
    "noexec": (libc.MS_NOEXEC, 0),
    "exec": (0, libc.MS_NOEXEC),
    "sync": (libc.MS_SYNCHRONOUS, 0),
    "async": (0, libc.MS_SYNCHRONOUS),
    "dirsync": (libc.MS_DIRSYNC, 0),
    "noatime": (libc.MS_NOATIME, 0),
    "atime": (0, libc.MS_NOATIME),
    "nodiratime": (libc.MS_NODIRATIME, 0),
    "diratime": (0, libc.MS_NODIRATIME),
    "relatime": (libc.MS_RELATIME, 0),
    "norelatime": (0, libc.MS_RELATIME),
    "strictatime": (libc.MS_STRICTATIME, 0),
    "nostrictatime": (0, libc.MS_STRICTATIME),
    "lazytime": (libc.MS_LAZYTIME, 0),
    "nolazytime": (0, libc.MS_LAZYTIME),
}
"""What each word sets and clears (mount(2), mount(8) "Filesystem-independent mount options")."""
_OF_PROGRAMS = frozenset({"auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group"})
"""Words of fstab(5) that say when to mount and who may: nothing for the kernel."""
_ATTRIBUTES = {
    libc.MS_RDONLY: libc.MOUNT_ATTR_RDONLY,
    libc.MS_NOSUID: libc.MOUNT_ATTR_NOSUID,
    libc.MS_NODEV: libc.MOUNT_ATTR_NODEV,
    libc.MS_NOEXEC: libc.MOUNT_ATTR_NOEXEC,
    libc.MS_NOATIME: libc.MOUNT_ATTR_NOATIME,
}
LONGEST_DATA = 4095
"""Bytes of a file system's own options: a page with its end (mount(2))."""


def parted(options: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Flags (MS_* joined) and the words that are the file system's own, in their order."""
    flags = 0
    own: list[str] = []
    for word in options:
        if word in _OF_PROGRAMS or word.startswith("x-"):
            continue
        if word in _FLAGS:
            on, off = _FLAGS[word]
            flags = (flags | on) & ~off
        else:
            own.append(word)
    return flags, tuple(own)


def attach(kind: str, source: str, target: str, options: Sequence[str]) -> None:
    """Mount a file system; private, so that what is mounted below it later stays here.

    kind: as in /proc/filesystems; options: words of mount(8) and of the file system. Raises KernelError; InvalidInput for options
    that no page holds.
    """
    flags, own = parted(options)
    data = ",".join(own)
    if len(os.fsencode(data)) > LONGEST_DATA:
        raise errors.InvalidInput(f"mount options of {target}: too long, expected at most {LONGEST_DATA} bytes")
    libc.mount(source, target, kind, flags, data)
    libc.mount("none", target, "", libc.MS_PRIVATE, "")


def attach_directory(source: str, target: str, options: Sequence[str], *, recursive: bool) -> None:
    """Show a directory of the host at `target` too, private, with the flags that a mount of its own can have.

    Raises InvalidInput for words that no bind mount knows.
    """
    flags, own = parted(options)
    wrong = [*own, *(word for word, (on, _) in _FLAGS.items() if on & flags and on not in _ATTRIBUTES)]
    if wrong:
        known = ", ".join(word for word, (on, _) in _FLAGS.items() if on in _ATTRIBUTES)
        raise errors.InvalidInput(f'a bind mount has no option "{errors.shown(wrong[0])}"', hint=f"it knows {known}")
    attributes = 0
    for flag, attribute in _ATTRIBUTES.items():
        attributes |= attribute if flags & flag else 0
    tree = libc.open_tree(source, libc.OPEN_TREE_CLONE | (libc.AT_RECURSIVE if recursive else 0))
    try:
        made = libc.MountAttr(attributes, 0, libc.MS_PRIVATE, 0)
        libc.mount_setattr(tree, made, source, recursive=recursive)
        libc.move_mount(tree, target)
    finally:
        os.close(tree)
