"""The C library: each system call the house needs, declared once, each with the same check of its result.

Calls younger than the oldest C library we run on go through syscall(2). All of those are numbered above 423, where every
architecture but alpha has the same numbers (Linux, arch/*/kernel/syscalls), so x86_64 and aarch64 need no table.
"""

from __future__ import annotations

import ctypes
import errno
import os

from pouch.spec import errors

TYPE_CHECKING = False  # typing itself costs a third of what a confined process needs to start
if TYPE_CHECKING:
    from typing import Any

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

CLONE_VM = 0x00000100
CLONE_FS = 0x00000200
CLONE_VFORK = 0x00004000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_DIRSYNC = 0x80
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
FSOPEN_CLOEXEC = 0x1
FSMOUNT_CLOEXEC = 0x1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_IDMAP = 0x00100000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_IN_ROOT = 0x10

_INTERRUPTIONS = 64
"""How often openat2 is tried again: a rename elsewhere can disturb a lookup below a root (EAGAIN, openat2(2))."""

_libc = ctypes.CDLL(None, use_errno=True)


class MountAttr(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Call:
    """One system call. Called with the object's name first, for the error, then with the call's own arguments."""

    def __init__(self, name: str, *types: Any, number: int | None = None) -> None:
        """`number`: go through syscall(2). `types`: of the call's arguments."""
        self.name = name
        self._leading: tuple[int, ...] = () if number is None else (number,)
        # by item, not by attribute: each access makes a new function object, with a prototype of its own
        self._function = _libc[name if number is None else "syscall"]
        self._function.restype = ctypes.c_long if number is not None else ctypes.c_int
        self._function.argtypes = [*(ctypes.c_long for _ in self._leading), *types]

    def __call__(self, target: str, *arguments: Any) -> int:
        """The call's result. Raises KernelError naming the call, `target` and errno where it is -1."""
        result = int(self._function(*self._leading, *arguments))
        if result == -1:
            raise errors.KernelError(self.name, target, ctypes.get_errno())
        return result


_int, _uint, _ulong, _text, _pointer = ctypes.c_int, ctypes.c_uint, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_void_p

_mount = Call("mount", _text, _text, _text, _ulong, _text)
_umount2 = Call("umount2", _text, _int)
_setns = Call("setns", _int, _int)
_unshare = Call("unshare", _int)
_syncfs = Call("syncfs", _int)
_prctl = Call("prctl", _int, _ulong, _ulong, _ulong, _ulong)
_clone = Call("clone", _pointer, _pointer, _int, _pointer)
_pidfd_send_signal = Call("pidfd_send_signal", _int, _int, _pointer, _uint, number=424)
_open_tree = Call("open_tree", _int, _text, _uint, number=428)
_move_mount = Call("move_mount", _int, _text, _int, _text, _uint, number=429)
_fsopen = Call("fsopen", _text, _uint, number=430)
_fsconfig = Call("fsconfig", _int, _uint, _text, _text, _int, number=431)
_fsmount = Call("fsmount", _int, _uint, _uint, number=432)
_pidfd_open = Call("pidfd_open", _int, _uint, number=434)
_openat2 = Call("openat2", _int, _text, ctypes.POINTER(_OpenHow), ctypes.c_size_t, number=437)
_mount_setattr = Call("mount_setattr", _int, _text, _uint, ctypes.POINTER(MountAttr), ctypes.c_size_t, number=442)


def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    """mount(2)."""
    encode = os.fsencode
    _mount(target, encode(source), encode(target), encode(kind) or None, flags, encode(data) or None)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _umount2(target, os.fsencode(target), flags)


def setns(fd: int, kind: int, target: str) -> None:
    """setns(2), for the calling thread. kind: one of CLONE_NEW*."""
    _setns(target, fd, kind)


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread. flags: CLONE_NEW* joined."""
    _unshare(f"flags {flags:#x}", flags)


def prctl(option: int, second: int = 0, third: int = 0, fourth: int = 0, fifth: int = 0) -> int:
    """prctl(2)."""
    return _prctl(f"option {option}", option, second, third, fourth, fifth)


def syncfs(fd: int, target: str) -> None:
    """syncfs(2), of the file system that `fd` is on."""
    _syncfs(target, fd)


def spawn_dead(flags: int, target: str) -> int:
    """The pid of a child that has already ended, in the new namespaces that `flags` (CLONE_NEW*) name.

    The child never runs code of ours: it begins in the C library's _exit(2), on a stack of its own, while the calling thread
    is held until it is gone (CLONE_VFORK), so it is safe in a process with threads. It sends no SIGCHLD, and only a wait
    with __WALL sees it, so nobody else can reap it. Until the caller does, /proc/<pid>/ns/user and uid_map are there.
    """
    stack = ctypes.create_string_buffer(_STACK)
    top = (ctypes.addressof(stack) + _STACK) & ~0xF
    return _clone(target, _exit_address, top, CLONE_VM | CLONE_VFORK | flags, None)


_STACK = 64 << 10
_exit_address = ctypes.cast(_libc["_exit"], _pointer).value


def pidfd_open(pid: int) -> int:
    """pidfd_open(2); a descriptor that the caller closes."""
    return _pidfd_open(f"process {pid}", pid, 0)


def pidfd_send_signal(pidfd: int, signal: int, target: str) -> None:
    """pidfd_send_signal(2)."""
    _pidfd_send_signal(target, pidfd, signal, None, 0)


def open_tree(path: str, flags: int) -> int:
    """open_tree(2) from the working directory; a descriptor that the caller closes."""
    return _open_tree(path, AT_FDCWD, os.fsencode(path), flags | OPEN_TREE_CLOEXEC)


def move_mount(fd: int, target: str) -> None:
    """move_mount(2): put the detached mount `fd` onto a path, whose last component is not followed if it is a link."""
    _move_mount(target, fd, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)


def mount_setattr(fd: int, attributes: MountAttr, target: str, *, recursive: bool) -> None:
    """mount_setattr(2) on the mount `fd`. `target` names it in errors."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _mount_setattr(target, fd, b"", flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def fsopen(kind: str) -> int:
    """fsopen(2); a descriptor that the caller closes, from which the file system's own messages can be read."""
    return _fsopen(kind, kind.encode(), FSOPEN_CLOEXEC)


def fsconfig_set(fd: int, key: str, value: str | None, target: str) -> None:
    """fsconfig(2): set a parameter, a flag where value is None. The kernel takes at most 255 bytes of a value."""
    if value is None:
        _fsconfig(f"{target} ({key})", fd, FSCONFIG_SET_FLAG, key.encode(), None, 0)
    else:
        _fsconfig(f"{target} ({key}={value})", fd, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)


def fsconfig_create(fd: int, target: str) -> None:
    """fsconfig(2): make the file system from what was set."""
    _fsconfig(target, fd, FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fd: int, attributes: int, target: str) -> int:
    """fsmount(2): a detached mount, as a descriptor that the caller closes. attributes: MOUNT_ATTR_* joined."""
    return _fsmount(target, fd, FSMOUNT_CLOEXEC, attributes)


def openat2(directory: int, path: str, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2), close-on-exec; a descriptor that the caller closes. Tried again where the kernel asks for it."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    for attempt in range(_INTERRUPTIONS):
        try:
            return _openat2(path, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        except errors.KernelError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR) or attempt == _INTERRUPTIONS - 1:
                raise
    raise AssertionError("the loop returns or raises")
