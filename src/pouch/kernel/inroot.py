"""Paths below a root that others may write: an image's or a running container's file system.

Every lookup is one openat2(2) with RESOLVE_IN_ROOT: `/`, `..` and links mean what they mean inside the root, and no name is
looked up twice. What a path leads to is first opened with O_PATH, which touches nothing; only a regular file or a directory is
then opened for real, through that descriptor. So a fifo cannot block us, a device is never opened, and a link that
changes meanwhile changes nothing.

`root` is a directory on the host, path a path inside it, absolute or not. A path that leads nowhere is NotFound.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat as modes
from collections.abc import Iterator

from pouch.kernel import libc
from pouch.spec import errors

_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR})
_RESOLVE = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS
_EXECUTABLE = 0o111
_PIECE = 1 << 16
_KINDS = {
    modes.S_IFDIR: "a directory",
    modes.S_IFLNK: "a symbolic link",
    modes.S_IFIFO: "a fifo",
    modes.S_IFSOCK: "a socket",
    modes.S_IFCHR: "a character device",
    modes.S_IFBLK: "a block device",
    modes.S_IFREG: "a regular file",
}


@contextlib.contextmanager
def _opened(root: str, path: str, flags: int) -> Iterator[int]:
    """A descriptor of what `path` leads to, for as long as the block runs."""
    fd = _open(root, path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(root: str, path: str, flags: int, *, mode: int = 0) -> int:
    if "\0" in path:
        raise errors.InvalidInput(f"path {path!r} has a NUL byte")
    try:
        top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise errors.KernelError("open", root, error.errno or errno.EIO) from error
    try:
        return libc.openat2(top, path or ".", flags, mode=mode, resolve=_RESOLVE)
    except errors.KernelError as error:
        if error.errno in _NOWHERE:
            raise errors.NotFound(f"{path}: no such file or directory in the root file system") from error
        raise
    finally:
        os.close(top)


def stat(root: str, path: str, *, follow: bool = True) -> os.stat_result:
    """What the path leads to; with follow=False the link itself where its last component is one."""
    with _opened(root, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW)) as fd:
        return os.fstat(fd)


def exists(root: str, path: str) -> bool:
    """Whether the path leads to something, all links followed."""
    try:
        stat(root, path)
    except errors.NotFound:
        return False
    except errors.KernelError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return False
        raise
    return True


def is_executable(root: str, path: str) -> bool:
    """Whether it is a regular file that somebody may execute."""
    try:
        found = stat(root, path)
    except (errors.NotFound, errors.KernelError):
        return False
    return modes.S_ISREG(found.st_mode) and bool(found.st_mode & _EXECUTABLE)


def resolve(root: str, path: str) -> str:
    """The same path inside the root with every link followed, absolute. NotFound where it leads nowhere.

    It is a name for people and configuration files: whoever opens it must look it up again below the root.
    """
    with _opened(root, "/", os.O_PATH) as top, _opened(root, path, os.O_PATH) as fd:
        above = os.readlink(f"/proc/self/fd/{top}").rstrip("/")
        found = os.readlink(f"/proc/self/fd/{fd}")
    if found != (above or "/") and not found.startswith(f"{above}/"):
        raise errors.KernelError("readlink", path, errno.EXDEV, hint=f"{root} was moved or unmounted meanwhile")
    return found[len(above) :] or "/"


def readlink(root: str, path: str) -> str:
    """What the link says, as it stands. KernelError EINVAL where it is no link."""
    with _opened(root, path, os.O_PATH | os.O_NOFOLLOW) as fd:
        kind = modes.S_IFMT(os.fstat(fd).st_mode)
        if kind != modes.S_IFLNK:
            raise _wrong("readlink", path, errno.EINVAL, kind, "a symbolic link")
        return os.readlink("", dir_fd=fd)


def listdir(root: str, path: str) -> list[str]:
    """Names in a directory, sorted. Bytes that are no UTF-8 come as surrogates."""
    with _opened(root, path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        return sorted(os.listdir(fd))


def open_path(root: str, path: str) -> int:
    """A descriptor of what the path leads to, which opens nothing of it (O_PATH); the caller closes it."""
    return _open(root, path, os.O_PATH)


def open_directory(root: str, path: str) -> int:
    """A descriptor of a directory to read it by, which the caller closes. KernelError ENOTDIR where it is another kind."""
    return _open(root, path, os.O_RDONLY | os.O_DIRECTORY)


def open_file(root: str, path: str, flags: int = os.O_RDONLY, *, mode: int = 0o644) -> int:
    """A descriptor of a regular file, which the caller closes. KernelError EISDIR or EINVAL where it is another kind.

    flags: of open(2). With O_CREAT a missing file is made, with `mode` and the caller's umask; a dangling link is not made good.
    """
    if flags & os.O_CREAT:
        try:
            return _open(root, path, flags | os.O_EXCL | os.O_NOFOLLOW, mode=mode)
        except errors.KernelError as error:
            if error.errno != errno.EEXIST or flags & os.O_EXCL:
                raise
    with _opened(root, path, os.O_PATH | (flags & os.O_NOFOLLOW)) as fd:
        kind = modes.S_IFMT(os.fstat(fd).st_mode)
        if kind != modes.S_IFREG:
            raise _wrong("open", path, errno.EISDIR if kind == modes.S_IFDIR else errno.EINVAL, kind, "a regular file")
        again = flags & ~(os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
        try:
            return os.open(f"/proc/self/fd/{fd}", again | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            raise errors.KernelError("open", path, error.errno or errno.EIO) from error


def _wrong(call: str, path: str, number: int, kind: int, expected: str) -> errors.KernelError:
    hint = f"it is {_KINDS.get(kind, 'of an unknown kind')}, expected {expected}"
    return errors.KernelError(call, path, number, hint=hint)


def make_directories(root: str, path: str, owner: int) -> None:
    """Make the missing directories on a path, mode 0755, owner and group `owner`; what is there stays as it is.

    KernelError ENOTDIR where something else is in the way, EEXIST where it is a dangling link.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        above, name = "/".join(parts[: count - 1]), parts[count - 1]
        try:
            found = stat(root, f"{above}/{name}")
        except errors.NotFound:
            _make_directory(root, above, name, owner)
        else:
            if not modes.S_ISDIR(found.st_mode):
                raise _wrong("mkdir", path, errno.ENOTDIR, modes.S_IFMT(found.st_mode), "a directory")


def _make_directory(root: str, above: str, name: str, owner: int) -> None:
    with _opened(root, above, os.O_PATH | os.O_DIRECTORY) as parent:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            # A directory has no second name, so what is opened here, if it was swapped, is no file of somebody else.
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                os.fchown(made, owner, owner)
                os.fchmod(made, 0o755)
            finally:
                os.close(made)
        except OSError as error:
            raise errors.KernelError("mkdir", f"{above}/{name}", error.errno or errno.EIO) from error


def read_file(root: str, path: str, *, limit: int = 1 << 20) -> bytes:
    """All of a regular file. KernelError EFBIG where it has more than `limit` bytes; kinds as with open_file."""
    fd = open_file(root, path)
    try:
        data = bytearray()
        while piece := os.read(fd, min(_PIECE, limit + 1 - len(data))):
            data += piece
            if len(data) > limit:
                hint = f"expected at most {limit} bytes"
                raise errors.KernelError("read", path, errno.EFBIG, hint=hint)
        return bytes(data)
    except OSError as error:
        raise errors.KernelError("read", path, error.errno or errno.EIO) from error
    finally:
        os.close(fd)


def find_file(root: str, path: str, *, limit: int = 1 << 20) -> bytes | None:
    """As read_file; None where there is no such file."""
    try:
        return read_file(root, path, limit=limit)
    except errors.NotFound:
        return None


def find_executable(root: str, name: str, search_path: str, cwd: str = "/") -> str:
    """The program that a container would run for `name`, as an absolute path inside the root, links not followed.

    As execvp(3) with Docker's answers: a name with a slash is relative to cwd, else the first executable file on the
    colon-separated search path is taken, where an empty entry is cwd; what is there but cannot be executed is passed over.
    NotFound in Docker's sentence; KernelError EACCES where a name with a slash is a directory or lacks the x bits.
    """
    if "/" in name:
        path = _absolute(cwd, name)
        found = _stat_program(root, path, name)
        if not modes.S_ISREG(found.st_mode) or not found.st_mode & _EXECUTABLE:
            hint = "it is not an executable file"
            if modes.S_ISREG(found.st_mode):
                hint += f": its mode is {modes.S_IMODE(found.st_mode):04o}"
            raise errors.KernelError("exec", name, errno.EACCES, hint=hint)
        return path
    seen = ""
    for entry in search_path.split(":") if name and search_path else ():
        path = _absolute(cwd, f"{entry or '.'}/{name}")
        if is_executable(root, path):
            return path
        if not seen and name not in (".", "..") and exists(root, path):
            seen = f"{path} is not an executable file"
    raise errors.NotFound(f'exec: "{name}": executable file not found in $PATH', hint=seen)


def _stat_program(root: str, path: str, name: str) -> os.stat_result:
    """As stat; NotFound in the words that clients know of programs."""
    try:
        return stat(root, path)
    except errors.NotFound as error:
        raise errors.NotFound(f'exec: "{name}": stat {path}: no such file or directory') from error


def _absolute(cwd: str, path: str) -> str:
    """Joined and without `.` parts; `..` stays, since it means something else behind a link."""
    joined = path if path.startswith("/") else f"{cwd}/{path}"
    return "/" + "/".join(part for part in joined.split("/") if part not in ("", "."))
