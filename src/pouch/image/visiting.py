"""Errands to containers' files, each by a process that goes inside (`image.visitor`); here it is started, fed and listened to. Blocking.

The processes are forked by a program that stays (`image.warm`), so they are no children of ours: one is known by a descriptor that it
sends before all else, and which never means another process.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import select
import signal
import socket
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pouch.image import Readable, warm
from pouch.spec import errors

_PIECE = 1 << 20
_PATIENCE = 5.0
"""Seconds that a process may take to end as it is told."""
_LAST_PATIENCE = 2.0
"""And then to die, where nothing holds it up."""
_BEGINNING = 60.0
"""Seconds that a process may take to say that it is there."""
_ATTEMPTS = 3
_PIPE = 1 << 20
_DOCKERS = {"it ends early": "unexpected EOF", "no tar header": "archive/tar: invalid tar header"}
"""Docker's sentences for what is wrong with a whole archive, by our own."""
_LONGEST_LINE = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container that runs, by its namespaces: descriptors, which stay the caller's. user: -1 where it has none of its own."""

    mount_namespace: int
    user_namespace: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A directory or file of the host's that such a container has at `target`."""

    source: str
    target: str
    inside: str = ""
    """The part of the source that is there; "" for all of it."""
    read_only: bool = False
    recursive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A container that does not run, by what its snapshotter knows it by; nobody else may mount it meanwhile. layers: bottom first."""

    root: str
    run: str
    driver: str
    id: str
    layers: Sequence[str]
    mounts: Sequence[Bind] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What to do. what: stat, get or put; path: absolute, a slash or `/.` at its end follows a link.

    base: the first name of the archive that is got. kernel: devices (stat(2)) of file systems that are made by the kernel (proc ...), of which
    no file is shown; hidden: those and others that are left out where something above them is got. keep_kinds, owner: see `putting`, owner
    as `--user` has it; ids: how many the user namespace has from 0 on, 0 for all.
    """

    what: str
    path: str
    base: str = ""
    kernel: Collection[int] = ()
    hidden: Collection[int] = ()
    keep_kinds: bool = False
    owner: str = ""
    ids: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a path. mode: st_mode; mtime: nanoseconds since 1970."""

    size: int
    mode: int
    mtime: int
    link_target: str


class Visit:
    """One process on its errand. End it on every way: it holds the container's mounts.

    A container can have a file system whose server never answers (FUSE): its visitor hangs in the kernel, and not even SIGKILL ends it.
    So nothing here waits for the process alone: whoever waits is called back by `kill`.
    """

    def __init__(self, errand: Errand, pidfd: int, wire: socket.socket, stream: io.FileIO | None) -> None:
        """stream: what the archive is written to (put) or read from (get); it does not block. All become the visit's."""
        self.errand = errand
        self._pidfd = pidfd
        self._wire = wire
        self._stream = stream
        self._said = b""
        self._given_up = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def found(self) -> Found:
        """What stands at the path (stat, get). Raises NotFound with an empty message where nothing does, KernelError."""
        return Found(**self._line())

    def place(self) -> tuple[str, bool]:
        """The directory that is put into, links followed, and whether it is read-only (put). Raises as `found`, InvalidInput."""
        said = self._line()
        return str(said["resolved"]), bool(said["read_only"])

    def read(self) -> bytes:
        """The next piece of the archive that is got, b"" at its end."""
        assert self._stream is not None
        piece: bytes | None = None
        while piece is None and self._awaited(select.POLLIN):
            piece = self._stream.read(_PIECE)
        return piece or b""

    def send(self, stream: Readable) -> None:
        """Put all of a stream. Ends early where the process does: `finish` says why."""
        assert self._stream is not None
        with contextlib.suppress(BrokenPipeError):
            while piece := stream.read(_PIECE):
                rest = memoryview(piece)
                while rest:
                    if not self._awaited(select.POLLOUT):
                        return
                    rest = rest[self._stream.write(rest) or 0 :]

    def _awaited(self, event: int) -> bool:
        """Wait until the stream can be read or written; False where the visit was given up meanwhile."""
        assert self._stream is not None
        waiting = select.poll()
        waiting.register(self._stream, event)
        waiting.register(self._wire, 0)  # which tells of its end all the same
        while not self._given_up:
            ready = dict(waiting.poll())
            if self._stream.fileno() in ready:
                return True
            if not self._given_up:  # the process is ending: what it has written can be read still
                waiting.unregister(self._wire)
        return False

    def finish(self) -> tuple[str, ...]:
        """Wait for the end of the errand; warnings. Raises what went wrong."""
        if self.errand.what == "put" and self._stream is not None:
            self._stream.close()
        return tuple(map(str, self._line()["warnings"]))

    def end(self) -> None:
        """End the process, whatever it does, and wait for it, but for one that hangs in the kernel; idempotent."""
        self.kill()
        if self._pidfd >= 0 and not _ended(self._pidfd, _PATIENCE):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            _ended(self._pidfd, _LAST_PATIENCE)
        with self._lock:
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
        self._wire.close()
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()

    def kill(self) -> None:
        """Have it end; from any thread. Whoever waits for it finds out. One that writes takes back what is half done."""
        number = signal.SIGTERM if self.errand.what == "put" else signal.SIGKILL
        with self._lock, contextlib.suppress(OSError):  # it has ended
            if self._pidfd >= 0:
                self._given_up = True
                self._wire.shutdown(socket.SHUT_RDWR)
                signal.pidfd_send_signal(self._pidfd, number)

    def watch(self) -> int:
        """A descriptor that can be read (poll(2)) when the process has ended; the caller's. Not after `end`."""
        with self._lock:
            return os.dup(self._pidfd)

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._said:
            piece = self._wire.recv(1 << 16)  # descriptors that somebody sends from inside are closed
            if not piece or len(self._said) > _LONGEST_LINE:
                raise errors.Unavailable(
                    "the process that handles the container's files ended without a word", hint="was it killed?"
                )
            self._said += piece
        line, _, self._said = self._said.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise _failure(said)
        return said


class Visitors:
    """The program that forks a process for each visit; it is started at the first. Thread-safe."""

    def __init__(self) -> None:
        self._program = warm.Program("visitor")

    @property
    def pid(self) -> int:
        """Of the program, 0 while there is none."""
        return self._program.pid

    def close(self) -> None:
        """End the program; idempotent, and the next visit starts it again. Visits that are under way go on."""
        self._program.close()

    def start(self, errand: Errand, where: Running | Standing) -> Visit:
        """Send a process on an errand. Raises Unavailable."""
        request, fds = _request(errand, where)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            try:
                stream = _stream(errand, request, fds, ours, theirs)
                pidfd, wire = self._begun(json.dumps(request).encode() + b"\n", fds)
            except OSError as error:
                raise errors.Unavailable(f"no process can be started: {error.strerror or error}") from error
            ours.pop_all()
        return Visit(errand, pidfd, wire, stream)

    def _begun(self, request: bytes, fds: Sequence[int]) -> tuple[int, socket.socket]:
        """A process that has its errand: a descriptor of it, and the socket it speaks on. Raises OSError, Unavailable.

        One of which nothing was heard has done nothing, so that another can be asked.
        """
        for _ in range(_ATTEMPTS):
            with contextlib.ExitStack() as stack:
                wire, far = socket.socketpair()
                stack.callback(wire.close)
                with far:
                    self._program.send(b"visit", (far.fileno(), *fds))
                wire.settimeout(_BEGINNING)
                try:
                    _, (pidfd,), _, _ = socket.recv_fds(wire, 1, 1)
                except TimeoutError:
                    self._program.close()
                    break
                except (ConnectionError, ValueError):  # the program was killed, or the process
                    continue
                stack.callback(os.close, pidfd)
                wire.sendall(request)
                wire.settimeout(None)
                stack.pop_all()
                return pidfd, wire
        raise errors.Unavailable(
            "the process that handles the container's files ended without a word", hint="was it killed?"
        )


def _stream(
    errand: Errand, request: dict[str, Any], fds: list[int], ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> io.FileIO | None:
    """The archive's pipe: our end of it, and theirs added to what is passed."""
    if errand.what not in ("put", "get"):
        return None
    ends = os.pipe()
    with contextlib.suppress(OSError):  # a limit of the user's (pipe(7))
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE)
    far, near = ends if errand.what == "put" else ends[::-1]
    theirs.callback(os.close, far)
    os.set_blocking(near, False)
    stream = io.FileIO(near, "w" if errand.what == "put" else "r")
    ours.callback(stream.close)
    request["passed"].append("stdin" if errand.what == "put" else "stdout")
    fds.append(far)
    return stream


def _request(errand: Errand, where: Running | Standing) -> tuple[dict[str, Any], list[int]]:
    """The errand as it is sent, and the descriptors that go with it: their names are its `passed`."""
    passed: dict[str, int] = {}
    request: dict[str, Any] = {
        "what": errand.what,
        "path": errand.path,
        "base": errand.base,
        "kernel": sorted(errand.kernel),
        "hidden": sorted(errand.hidden),
        "keep_kinds": errand.keep_kinds,
        "owner": errand.owner,
        "ids": errand.ids,
        "mount_namespace": -1,
        "user_namespace": -1,
    }
    if isinstance(where, Running):
        passed["mount_namespace"] = where.mount_namespace
        if where.user_namespace >= 0:
            passed["user_namespace"] = where.user_namespace
    else:
        request |= {
            "root": where.root,
            "run": where.run,
            "driver": where.driver,
            "id": where.id,
            "layers": list(where.layers),
            "mounts": [
                {
                    "source": one.source,
                    "inside": one.inside,
                    "target": one.target,
                    "read_only": one.read_only,
                    "recursive": one.recursive,
                }
                for one in where.mounts
            ],
        }
    request["passed"] = list(passed)
    return request, list(passed.values())


def _ended(pidfd: int, seconds: float) -> bool:
    """Wait for the end of a process: whether it came in time."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def _failure(said: dict[str, Any]) -> errors.PouchError:
    kind, message = str(said["error"]), str(said.get("message", ""))
    if kind == "missing":
        return errors.NotFound("")
    if kind == "call":
        return errors.KernelError(str(said["call"]), str(said["target"]), int(said["errno"]))
    if kind == "corrupt":
        return errors.CorruptData(next((theirs for ours, theirs in _DOCKERS.items() if ours in message), message))
    kinds: dict[str, type[errors.PouchError]] = {
        "gone": errors.Conflict,
        "input": errors.InvalidInput,
        "read-only": errors.Forbidden,
        "limit": errors.Forbidden,
    }
    return kinds.get(kind, errors.Unavailable)(message)
