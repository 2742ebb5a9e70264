"""The program that unpacks layers, each in a process of its own: `image.crew` starts it, `image.unpack` sends a layer as it is stored.

Two processes and a thread share the work, so that all cores of a small machine have some: a first one decompresses
(`image.inflate`), a thread of the second counts and hashes the tar, its main one writes the files (`image.apply`). Who says what the
digest is has never run a decompressor.

The last thing on standard output is the verdict: fields that end with NUL. Kind of error or "", its sentence, sha256 of the tar in
hexadecimal, its size, the directories that were made without an entry (`apply.Applier.made`), and warnings. It starts for each image,
so what it imports is counted in milliseconds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import threading
from queue import SimpleQueue

from pouch.image import apply, tar
from pouch.kernel import confine
from pouch.spec import errors

KEPT = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP")
"""What writing another machine's files takes: any owner, mode, device and file capability."""
LOWEST, SEEN, ALONE = "lowest", "seen", "alone"
"""Whether there are layers below, and whether they can be seen."""
BELOW = "below"
"""The kind of a verdict that only says that the layers below have to be seen."""
MOST_WARNINGS = 20
PIPE = 1 << 20
_AHEAD = 4
"""Pieces that are read before they are asked for."""


class Intake:
    """A tar from a descriptor, read ahead and hashed by a thread of its own. `read` answers whole pieces, whatever size is asked for."""

    def __init__(self, fd: int, most: int) -> None:
        """most: bytes the tar may have, 0: any number."""
        self.size = 0
        self._fd = fd
        self._most = most
        self._hasher = hashlib.sha256()
        self._pieces: SimpleQueue[bytes] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._error: Exception | None = None
        for _ in range(_AHEAD):
            self._room.put(None)
        threading.Thread(target=self._run, name="intake", daemon=True).start()

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        piece = self._pieces.get()
        if piece:
            self._room.put(None)
            return piece
        self._pieces.put(b"")  # the end stays the end
        if self._error:
            raise self._error
        return b""

    def digest(self) -> str:
        """Of all of it, in hexadecimal; once the end was read."""
        return self._hasher.hexdigest()

    def _run(self) -> None:
        try:
            while piece := os.read(self._fd, tar.PIECE):
                self.size += len(piece)
                if 0 < self._most < self.size:
                    raise errors.Forbidden(f"max-layer-size: unpacks to more than {self._most} bytes")
                self._room.get()
                self._pieces.put(piece)
                self._hasher.update(piece)
        except Exception as error:  # noqa: BLE001 - belongs to the thread that reads
            self._error = error
        self._pieces.put(b"")


def main(arguments: list[str]) -> int:
    """arguments: limits of bytes, files and ratio (0: none), then how the layers below are there (LOWEST, SEEN, ALONE), the layer's directory,

    a work directory, a mount point, and the directories of the layers below, top first; without all these the tar is only hashed.
    Without a work directory the layer's own directory shows those below already.
    """
    size, files, ratio = map(int, arguments[:3])
    sight, places = (arguments[3], arguments[4:]) if len(arguments) > 3 else (LOWEST, [])
    stage, tar_fd, report = first_stage(ratio)
    warnings: list[str] = []
    kind = message = ""
    intake = applier = None
    try:
        if places:
            _confine(*places)
        intake = Intake(tar_fd, size)
        reader = tar.Reader(intake, "layer")
        if places:
            applier = apply.Applier(layered=sight == SEEN, warn=warnings.append, most=files, alone=sight == ALONE)
            applier.apply(reader)
        reader.drain()
    except apply.BelowNeededError:
        kind = BELOW
    except errors.CorruptData as error:
        kind, message = "corrupt", error.message
    except errors.Forbidden as error:
        kind, message = "limit", error.message
    except errors.PouchError as error:
        kind, message = "kernel", str(error)
    except OSError as error:
        kind = "full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "system"
        message = error.strerror or str(error)
        if kind == "system" and isinstance(error.filename, bytes):
            message = f"entry {tar.shown(error.filename)}: {message}"
    except Exception as error:  # noqa: BLE001 - there is nobody else who could tell
        kind, message = "system", f"{type(error).__name__}: {error}"
    kind, message = first(stage, report, kind, message)
    if sight == ALONE and kind in ("corrupt", "system"):
        kind = BELOW  # what is wrong, if anything, is told by who sees all
    if len(warnings) > MOST_WARNINGS:
        warnings[MOST_WARNINGS:] = [f"and {len(warnings) - MOST_WARNINGS} more"]
    counted = ("", "0") if kind or intake is None else (intake.digest(), str(intake.size))
    _answer(kind, message, *counted, _spelt(applier.made if applier else {}), *warnings)
    return 1 if kind else 0


def _spelt(made: dict[bytes, bool]) -> str:
    """Names as hexadecimal digits; those that want attributes begin with a plus sign."""
    return " ".join(f"{'+' if bare else ''}{name.hex()}" for name, bare in made.items())


def _confine(target: str, work: str, point: str, *below: str) -> None:
    os.umask(0)
    if below and work:
        from pouch.kernel import mount  # noqa: PLC0415 - the lowest layer does without

        mount.leave_namespace()
        # without metacopy and redirects, as all layers are; not flushed here, see `image.layers`
        mount.overlay(below, target, work, point, options=("index=off", "metacopy=off", "redirect_dir=off"))
        target = point
    confine.into(target, KEPT)


def first_stage(ratio: int, *others: int) -> tuple[int, int, int]:
    """Start the first stage, which takes over standard input: its pid, the tar, and what it reports. others: descriptors it must not have."""
    tar_fd, sink = os.pipe()
    report, said = os.pipe()
    with contextlib.suppress(OSError):  # a limit of the user's (pipe(7))
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, PIPE)
    pid = os.fork()
    if pid:
        for fd in (0, sink, said):
            os.close(fd)
        return pid, tar_fd, report
    code = 1
    try:
        from pouch.image import inflate  # noqa: PLC0415 - this process alone needs it

        for fd in (1, 2, tar_fd, report, *others):
            os.close(fd)
        inflate.run(sink, said, ratio)
        code = 0
    finally:
        os._exit(code)


def first(stage: int, report: int, kind: str, message: str) -> tuple[str, str]:
    """What went wrong first: a stream that could not be decompressed also ends the tar too early."""
    if kind not in ("", "corrupt"):
        return kind, message
    os.set_blocking(report, not kind)
    try:
        said = os.read(report, 1 << 13)
    except BlockingIOError:
        return kind, message  # it is still at work, on what is of no use
    if said:
        kind, _, message = said.decode().partition("\0")
    elif status := os.waitpid(stage, 0)[1]:
        return "system", f"the decompressing process ended with status {status}"
    return kind, message


def _answer(*fields: str) -> None:
    text = b"".join(field.encode("utf-8", "backslashreplace") + b"\0" for field in fields)
    while text:
        text = text[os.write(1, text) :]


def serve(fd: int) -> None:
    """Fork a process for each request on a socket (see `image.crew`): the message is `main`'s arguments, with its two streams."""
    # what is imported here is there for all of them
    from pouch.image import compression, forks, inflate  # noqa: F401, PLC0415
    from pouch.kernel import mount  # noqa: F401, PLC0415

    compression.ready()
    forks.serve(fd, _forked)


def _forked(message: bytes, streams: list[int]) -> int:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return main(os.fsdecode(message).split("\0"))
