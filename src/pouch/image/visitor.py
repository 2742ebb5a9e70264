"""The program that handles containers' files, each time from inside of the container and in a process of its own: see `image.visiting`.

Inside means: behind a root directory that is a copy of the container's mounts, in its user namespace, with what rights writing its files
takes and no others. All modules are imported before: later ones would be the container's. A path, a link or a `..` of the container cannot
name anything outside, whoever changes it meanwhile.

The program itself never goes inside: it forks a process that does, with a socket and the container's namespaces. That sends a descriptor
of itself (pidfd_open(2)) before all else, gets its errand, a line of JSON, and says in lines of JSON what it found first and how it ended.
A tar that is asked for goes to standard output; one that is put comes, as it is, plain or compressed, from standard input.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import stat
import sys

from pouch.image import (
    compression,
    forks,
    gathering,
    inflate,  # noqa: F401 - see `serve`
    putting,
    standing,
    tar,
    tarwriter,
    unpacker,
)
from pouch.kernel import confine, libc
from pouch.spec import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEPT = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP")
"""What reading and writing a machine's files takes: any owner, mode, device and file capability."""
_GOING_IN = (
    *KEPT,
    "CAP_DAC_READ_SEARCH",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_RESOURCE",
)
"""What entering namespaces and mounting takes besides: all that the program has."""
_MOST_LINKS = 40
"""As the kernel follows (path_resolution(7))."""
_MOST_WARNINGS = 20
_ACCOUNTS, _GROUPS = b"/etc/passwd", b"/etc/group"
_LARGEST_FILE = 1 << 22
_STREAMS = {"stdin": 0, "stdout": 1}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MISSING = (errno.ENOENT, errno.ENAMETOOLONG)

Said = dict[str, object]


class _MissingError(Exception):
    """There is nothing at the path."""


class Visit:
    """One errand. request: see `visiting.Errand`, whose members it has. wire: takes what is said."""

    def __init__(self, request: dict[str, Any], wire: socket.socket) -> None:
        self._request = request
        self._wire = wire
        self._path = os.fsencode(request["path"])
        self._resolved = b""
        """The directory that is put into, links followed."""
        self._warnings: list[str] = []

    @property
    def _runs(self) -> bool:
        """Whether the container does."""
        return bool(self._request["mount_namespace"] >= 0)

    def run(self) -> int:
        """Do it, and say how it went. The exit code."""
        stage = tar_fd = said = -1
        ended: Said = {}
        try:
            if self._request["what"] == "put":
                signal.signal(signal.SIGTERM, _leave)
                stage, tar_fd, said = unpacker.first_stage(0, self._wire.fileno(), *self._namespaces())
            self._enter()
            if self._request["what"] == "put":
                self._put(tar_fd)
            elif self._request["what"] == "get":
                self._get()
            else:
                self._say(self._found())
        except _MissingError:
            ended = {"error": "missing", "message": ""}
        except BrokenPipeError:
            ended = {"error": "left", "message": "nobody reads the archive any more"}
        except errors.PouchError as error:
            ended = _of(error)
        except OSError as error:
            ended = _of_system(error)
        except Exception as error:  # noqa: BLE001 - there is nobody else who could tell
            ended = {"error": "system", "message": f"{type(error).__name__}: {error}"}
        if stage >= 0 and ended.get("error") in (None, "corrupt"):
            ended = self._first(stage, said, ended)
        if len(self._warnings) > _MOST_WARNINGS:
            self._warnings[_MOST_WARNINGS:] = [f"and {len(self._warnings) - _MOST_WARNINGS} more"]
        self._say(ended or {"done": True, "warnings": self._warnings})
        return 1 if ended else 0

    def _first(self, stage: int, said: int, ended: Said) -> Said:
        """What went wrong first: a stream that cannot be decompressed also ends the tar too early."""
        kind, message = unpacker.first(stage, said, str(ended.get("error", "")), str(ended.get("message", "")))
        return {"error": kind, "message": message} if kind else {}

    # -- going in -----------------------------------------------------------------------------------------------------

    def _namespaces(self) -> list[int]:
        return [self._request[name] for name in ("mount_namespace", "user_namespace") if self._request[name] >= 0]

    def _enter(self) -> None:
        os.umask(0)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if self._runs:
            user = self._request["user_namespace"]
            confine.join(self._request["mount_namespace"], user if user >= 0 else None)
            root = "/"
        else:
            root = standing.lay(self._request)
        for fd in self._namespaces():
            os.close(fd)
        _import_no_more()
        confine.behind(root)
        if self._request["what"] != "put":
            confine.keep(KEPT)

    # -- errands ------------------------------------------------------------------------------------------------------

    def _get(self) -> None:
        self._say(self._found())
        writer = tarwriter.Writer(_Output())
        gatherer = gathering.Gatherer(writer, self._warnings.append, self._request["hidden"])
        gatherer.gather(self._path, os.fsencode(self._request["base"]))
        writer.close()

    def _put(self, tar_fd: int) -> None:
        place = self._directory()
        owner = self._owner(self._request["owner"]) if self._request["owner"] else None
        confine.at(place, "the directory in the container")
        os.close(place)
        confine.keep(KEPT)
        putter = putting.Putter(
            self._warnings.append,
            self._resolved,
            keep_kinds=self._request["keep_kinds"],
            owner=owner,
            known=self._known,
        )
        reader = tar.Reader(_Input(tar_fd), "archive")
        putter.apply(reader)
        reader.drain()

    def _found(self) -> Said:
        """Raises _MissingError, KernelError."""
        fd = self._open(os.O_PATH | os.O_NOFOLLOW)
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        is_directory = stat.S_ISDIR(status.st_mode)
        if status.st_dev in self._request["kernel"] and not is_directory:
            raise _MissingError  # a file that is made when it is read
        target = b""
        if stat.S_ISLNK(status.st_mode):
            target = followed(self._path)
        return {
            "size": status.st_size,
            "mode": status.st_mode,
            "mtime": status.st_mtime_ns,
            "link_target": os.fsdecode(target),
        }

    def _directory(self) -> int:
        """The directory that is put into; says where it is and whether it can be written."""
        fd = self._open(os.O_PATH)
        status = os.fstat(fd)
        if not stat.S_ISDIR(status.st_mode):
            raise errors.InvalidInput("extraction point is not a directory")
        if status.st_dev in self._request["kernel"]:
            raise _MissingError
        os.fchdir(fd)
        self._resolved = os.getcwdb()
        read_only = bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)
        self._say({"resolved": os.fsdecode(self._resolved), "read_only": read_only})
        return fd

    def _open(self, flags: int) -> int:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # `/proc/PID/root` and its like are links to anywhere; they are not followed
            return libc.openat2(
                root, os.fsdecode(self._path), flags, resolve=libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS
            )
        except errors.KernelError as error:
            if error.errno in _MISSING:
                raise _MissingError from error
            raise
        finally:
            os.close(root)

    # -- owners -------------------------------------------------------------------------------------------------------

    def _known(self, uid: int, gid: int) -> bool:
        most = self._request["ids"]
        return not most or (uid < most and gid < most)

    def _owner(self, text: str) -> tuple[int, int]:
        """The container's user: its number and its group, in its own passwd where they are names."""
        user, _, group = text.partition(":")
        uid, gid = _account(user)
        return uid, _group(group) if group else gid

    def _say(self, said: Said) -> None:
        self._wire.sendall(json.dumps(said).encode() + b"\n")


def _leave(number: int, _: object) -> None:
    """Nobody wants it any more: what is half done is taken back on the way out."""
    raise BrokenPipeError(number, "told to end")


def _import_no_more() -> None:
    """From here on a module that is not there yet would be the container's."""
    for places in (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache):
        places.clear()


class _Output:
    """Standard output."""

    def write(self, data: bytes, /) -> None:
        """See tarwriter.Sink."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]


class _Input:
    """What the first stage made of standard input."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        return os.read(self._fd, size)


def followed(path: bytes) -> bytes:
    """Where the link at a path leads in the end, as a path of this root; as far as it goes where something is missing."""
    done = b""
    rest = path.split(b"/")[::-1]
    links = 0
    while rest:
        part = rest.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            done = done.rpartition(b"/")[0]
            continue
        here = done + b"/" + part
        try:
            target = os.readlink(here)
        except OSError:
            done = here
            continue
        links += 1
        if links > _MOST_LINKS:
            raise errors.KernelError("readlink", tar.shown(path), errno.ELOOP)
        if target.startswith(b"/"):
            done = b""
        rest += target.split(b"/")[::-1]
    return done or b"/"


def _lines(path: bytes) -> list[list[str]]:
    """The fields of a passwd or group file; none where there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        return [line.split(":") for line in file.read(_LARGEST_FILE).decode("utf-8", "replace").splitlines()]


def _account(user: str) -> tuple[int, int]:
    for fields in _lines(_ACCOUNTS):
        if len(fields) >= 4 and user in (fields[0], fields[2]) and fields[2].isdecimal() and fields[3].isdecimal():
            return int(fields[2]), int(fields[3])
    if user.isdecimal():
        return int(user), 0
    raise errors.InvalidInput(f"unable to find user {errors.shown(user)}: no matching entries in passwd file")


def _group(group: str) -> int:
    for fields in _lines(_GROUPS):
        if len(fields) >= 3 and group == fields[0] and fields[2].isdecimal():
            return int(fields[2])
    if group.isdecimal():
        return int(group)
    raise errors.InvalidInput(f"unable to find group {errors.shown(group)}: no matching entries in group file")


def _of(error: errors.PouchError) -> Said:
    kinds = {errors.CorruptData: "corrupt", errors.InvalidInput: "input", errors.Forbidden: "input"}
    if isinstance(error, errors.KernelError):
        return {"error": "call", "call": error.syscall, "target": error.target, "errno": error.errno}
    if isinstance(error, errors.NotFound):
        return {"error": "gone", "message": error.message}
    return {"error": kinds.get(type(error), "system"), "message": error.message}


def _of_system(error: OSError) -> Said:
    kind = "full" if error.errno in _FULL else "read-only" if error.errno == errno.EROFS else "system"
    message = error.strerror or str(error)
    if error.errno == errno.EBUSY and isinstance(error.filename, bytes):  # something is mounted there
        message = f"RemoveAll {os.fsdecode(error.filename)}: {message.lower()}"
    elif isinstance(error.filename, bytes):
        message = f"entry {tar.shown(error.filename)}: {message}"
    return {"error": kind, "message": message}


def serve(fd: int) -> None:
    """Fork a process for each message on a socket: its descriptors are those of a visit (`_visit`)."""
    compression.ready()  # imported here, as all that `unpacker` imports late, once for all
    confine.only(_GOING_IN)
    forks.serve(fd, _visit)


def _visit(_: bytes, fds: list[int]) -> int:
    """fds: a socket, then those that the request names under `passed`: they are its members, and standard input and output."""
    with socket.socket(fileno=fds[0]) as wire:
        itself = os.pidfd_open(os.getpid())
        socket.send_fds(wire, [b"\0"], [itself])
        os.close(itself)
        with wire.makefile("rb") as lines:
            request = json.loads(lines.readline())
        for name, one in zip(request["passed"], fds[1:], strict=True):
            if name in _STREAMS:
                os.dup2(one, _STREAMS[name])
                os.close(one)
            else:
                request[name] = one
        return Visit(request, wire).run()
