"""Errands to a container's files, by a process that goes inside (`image.visitor`); here it is started, fed and listened to. Blocking."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pouch.image import Readable, compression
from pouch.spec import errors

_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START = (
    "import sys; sys.path[:0] = [sys.argv[1]]; sys.path += sys.argv[2].split(':'); "
    "from pouch.image import visitor; sys.exit(visitor.main(sys.argv[3]))"
)
_PIECE = 1 << 20
_PATIENCE = 5.0
"""Seconds that a process may take to end as it is told."""
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


@dataclass(slots=True, eq=False)
class Visit:
    """One process on its errand. End it on every way: it holds the container's mounts."""

    errand: Errand
    process: subprocess.Popen[bytes]
    report: io.FileIO
    _said: bytes = field(default=b"", repr=False)

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
        assert self.process.stdout is not None
        return self.process.stdout.read(_PIECE)

    def send(self, stream: Readable) -> None:
        """Put all of a stream. Ends early where the process does: `finish` says why."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            while piece := stream.read(_PIECE):
                rest = memoryview(piece)
                while rest:
                    rest = rest[self.process.stdin.write(rest) :]

    def finish(self) -> tuple[str, ...]:
        """Wait for the end of the errand; warnings. Raises what went wrong."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        return tuple(map(str, self._line()["warnings"]))

    def end(self) -> None:
        """End the process, whatever it does, and wait for it; idempotent."""
        self.kill()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.report):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def kill(self) -> None:
        """Have it end; from any thread. Whoever waits for it finds out. One that writes takes back what is half done."""
        if self.errand.what == "put":
            self.process.terminate()
        else:
            self.process.kill()

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._said:
            piece = self.report.read(1 << 16)
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


def start(errand: Errand, where: Running | Standing) -> Visit:
    """Send a process on an errand. Raises Unavailable."""
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
    passed: list[int] = []
    if isinstance(where, Running):
        request |= {"mount_namespace": where.mount_namespace, "user_namespace": where.user_namespace}
        passed += [fd for fd in (where.mount_namespace, where.user_namespace) if fd >= 0]
    else:
        request |= {
            "root": where.root,
            "run": where.run,
            "driver": where.driver,
            "id": where.id,
            "layers": list(where.layers),
            "mounts": [
                {"source": one.source, "target": one.target, "read_only": one.read_only, "recursive": one.recursive}
                for one in where.mounts
            ],
        }
    report, theirs = os.pipe()
    try:
        request["report"] = theirs
        process = _started(json.dumps(request), (*passed, theirs), errand.what)
    except OSError as error:
        os.close(report)
        raise errors.Unavailable(f"no process can be started: {error.strerror or error}") from error
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(theirs)
    return Visit(errand, process, io.FileIO(report))


def _started(request: str, passed: Sequence[int], what: str) -> subprocess.Popen[bytes]:
    # -I -S: neither the user's environment nor site packages; starts in half the time
    command = [sys.executable, "-I", "-S", "-c", _START, _SOURCE, ":".join(compression.directories()), request]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE if what == "put" else subprocess.DEVNULL,
        stdout=subprocess.PIPE if what == "get" else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=passed,
        cwd="/",
        env={},
        bufsize=0,
    )


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
