"""One layer's tar into a directory, by a helper process (`image.unpacker`); the digest of what went in is known only here."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from pouch.image import Readable, tar
from pouch.spec import digest, errors

_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from pouch.image import unpacker; sys.exit(unpacker.main(sys.argv[1:]))"
_PIPE = 1 << 20
_LONGEST_REPORT = 1 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came of it. size: bytes of the tar; warnings: sentences about what could not be kept."""

    diff_id: str
    size: int
    warnings: tuple[str, ...]


class _Verdict(msgspec.Struct):
    error: str
    message: str
    warnings: tuple[str, ...]


def unpack(
    stream: Readable, home: str, below: Sequence[str], what: str, *, progress: Callable[[int], None] = lambda size: None
) -> Unpacked:
    """Unpack a tar (not compressed) into `home`/fs, which must exist with the attributes of the layers below it.

    below: the directories of those layers, top first. progress: told the bytes so far. The caller compares the diff-id, and
    deletes `home` when this raises: CorruptData for the tar, Unavailable for a full disk, what `stream` raises. `what` names the layer.
    """
    for name in ("work", "mnt") if below else ():
        os.mkdir(f"{home}/{name}", 0o700)
    # -I -S: neither the user's environment nor site packages; starts in half the time
    command = [sys.executable, "-I", "-S", "-c", _START, _SOURCE, f"{home}/fs", f"{home}/work", f"{home}/mnt", *below]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={}
    )
    with process:
        assert process.stdin is not None
        try:
            hexadecimal, size = _feed(stream, process.stdin.fileno(), progress)
        except BaseException:
            process.kill()
            raise
        finally:
            # what the verdict is does not depend on this end any more
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.stdin = None
        output, complaint = process.communicate()
    verdict = _verdict(output, complaint, process.returncode, what)
    if verdict.error:
        raise _failure(verdict, what, home)
    return Unpacked(digest.of_hex(hexadecimal), size, verdict.warnings)


def _feed(stream: Readable, fd: int, progress: Callable[[int], None]) -> tuple[str, int]:
    """Send the stream to the helper; its sha256 in hexadecimal and its size. Ends early when the helper does: its verdict says why."""
    with contextlib.suppress(OSError):  # a limit of the user's (pipe(7))
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)
    hasher = hashlib.sha256()
    size = 0
    while piece := stream.read(tar.PIECE):
        hasher.update(piece)
        size += len(piece)
        try:
            _write(fd, piece)
        except BrokenPipeError:
            break
        progress(size)
    return hasher.hexdigest(), size


def _write(fd: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _verdict(output: bytes, complaint: bytes, code: int, what: str) -> _Verdict:
    try:
        return msgspec.json.decode(output[-_LONGEST_REPORT:].rpartition(b"\n{")[2] or output, type=_Verdict)
    except msgspec.DecodeError as error:
        last = complaint.strip().rpartition(b"\n")[2].decode(errors="replace")
        raise errors.Unavailable(
            f"{what}: the unpacking process ended with code {code}: {last or 'no message'}"
        ) from error


def _failure(verdict: _Verdict, what: str, home: str) -> errors.PouchError:
    if verdict.error == "corrupt":
        return errors.CorruptData(f"{what}: {verdict.message.removeprefix('layer: ')}")
    if verdict.error == "full":
        return errors.Unavailable(
            f"{what}: cannot write below {os.path.dirname(home)}: {verdict.message}",
            hint="free some space on its file system, or move pouchd's root directory",
        )
    return errors.Unavailable(f"{what}: cannot be unpacked below {os.path.dirname(home)}: {verdict.message}")
