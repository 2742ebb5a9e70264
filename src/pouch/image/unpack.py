"""One layer into a directory, by a helper process (`image.unpacker`) that decompresses, hashes and writes; here bytes are only moved."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pouch.image import Readable, alone, unpacker
from pouch.image import crew as crews
from pouch.spec import digest, errors
from pouch.store.snapshot import farm

_PIPE = _PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a layer may become; 0: anything. size: bytes of its tar; files: its entries; ratio: times its stored size, beyond the first GiB."""

    size: int = 64 << 30
    files: int = 2_000_000
    ratio: int = 250


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came of it. diff_id: digest of the tar; size: its bytes; warnings: sentences about what could not be kept."""

    diff_id: str
    size: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the helper answers, see `image.unpacker`."""

    error: str
    message: str
    digest: str
    size: int
    made: str
    warnings: tuple[str, ...]


def unpack(
    stream: Readable,
    home: str,
    below: Sequence[str],
    what: str,
    *,
    progress: Callable[[int], None] = lambda size: None,
    limits: Limits = Limits(),
    overlay: bool = True,
    crew: crews.Crew | None = None,
) -> Unpacked:
    """Unpack a layer as it is stored (plain, gzip, zstd, xz or bzip2) into `home`/fs, which must exist with the attributes of the layers below.

    below: the directories of those layers, top first. progress: told how many stored bytes were sent so far. The caller compares the
    diff-id, and deletes `home` when this raises: CorruptData for the layer, Forbidden beyond a limit, Unavailable for a full disk,
    what `stream` raises. A stream that is a file (`fileno`, `tell`) is sent by the kernel. `what` names the layer.
    overlay: the helper sees the layers below through an overlay; else through hard links, which any file system has. crew: starts the
    helper faster if there are several layers.
    """
    if not below:
        places = [unpacker.LOWEST, f"{home}/fs", "", ""]
    elif overlay:
        for name in ("work", "mnt"):
            os.mkdir(f"{home}/{name}", 0o700)
        places = [unpacker.SEEN, f"{home}/fs", f"{home}/work", f"{home}/mnt", *below]
    else:
        os.mkdir(f"{home}/farm", 0o700)
        farm.lay(below, f"{home}/farm")
        places = [unpacker.SEEN, f"{home}/farm", "", ""]
    verdict = _run(stream, places, what, progress, limits, crew)
    if verdict.error:
        raise _failure(verdict, what, home)
    if below and not overlay:
        farm.collect(f"{home}/farm", below, f"{home}/fs")
    return Unpacked(digest.of_hex(verdict.digest), verdict.size, verdict.warnings)


def unpack_alone(
    stream: Readable,
    home: str,
    below: Sequence[str],
    what: str,
    *,
    progress: Callable[[int], None] = lambda size: None,
    limits: Limits = Limits(),
    crew: crews.Crew | None = None,
) -> Unpacked | None:
    """As `unpack`, without a sight of the layers below, which costs a quarter less; None where that is not enough to get it right.

    Most layers only add: what they say of directories of the layers below is put right afterwards (`image.alone`). After None, what is
    in `home`/fs is of no use. Errors of the layer itself are left for `unpack` to find.
    """
    verdict = _run(stream, [unpacker.ALONE, f"{home}/fs", "", ""], what, progress, limits, crew)
    if verdict.error == unpacker.BELOW:
        return None
    if verdict.error:
        raise _failure(verdict, what, home)
    if not alone.settle(f"{home}/fs", below, verdict.made):
        return None
    return Unpacked(digest.of_hex(verdict.digest), verdict.size, verdict.warnings)


def examine(stream: Readable, what: str, *, limits: Limits = Limits(), crew: crews.Crew | None = None) -> Unpacked:
    """What would come of a layer, whose tar is decompressed and hashed only. Raises as `unpack`."""
    verdict = _run(stream, [], what, lambda size: None, limits, crew)
    if verdict.error:
        raise _failure(verdict, what, "")
    return Unpacked(digest.of_hex(verdict.digest), verdict.size, ())


def _run(
    stream: Readable,
    places: Sequence[str],
    what: str,
    progress: Callable[[int], None],
    limits: Limits,
    crew: crews.Crew | None,
) -> _Verdict:
    arguments = [*(str(limit) for limit in (limits.size, limits.files, limits.ratio)), *places]
    with crews.Crew() if crew is None else contextlib.nullcontext(crew) as team, team.worker(arguments) as worker:
        _feed(stream, worker.stdin, progress)
        return _verdict(worker.answer(), what)


def _feed(stream: Readable, fd: int, progress: Callable[[int], None]) -> None:
    """Send the stream to the helper. Ends early when the helper does: its verdict says why."""
    with contextlib.suppress(OSError):  # a limit of the user's (pipe(7))
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)
    source, position = _file(stream)
    sent = 0
    with contextlib.suppress(BrokenPipeError):
        if source >= 0:
            while moved := os.splice(source, fd, _PIECE, offset_src=position + sent):
                sent += moved
                progress(sent)
            return
        while piece := stream.read(_PIECE):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(fd, rest) :]
            sent += len(piece)
            progress(sent)


def _file(stream: Readable) -> tuple[int, int]:
    """The descriptor behind a stream and the place in it where the stream is; (-1, 0) where it is no regular file."""
    try:
        fd, position = stream.fileno(), stream.tell()  # type: ignore[attr-defined]
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd, position
    except (AttributeError, OSError):
        pass
    return -1, 0


def _verdict(output: bytes, what: str) -> _Verdict:
    fields = output.decode("utf-8", "replace").split("\0")
    if len(fields) < 6 or not fields[3].isdigit():
        raise errors.Unavailable(
            f"{what}: the unpacking process ended without a word", hint="was it killed, for memory?"
        )
    return _Verdict(fields[0], fields[1], fields[2], int(fields[3]), fields[4], tuple(fields[5:-1]))


def _failure(verdict: _Verdict, what: str, home: str) -> errors.PouchError:
    if verdict.error == "corrupt":
        return errors.CorruptData(f"{what}: {verdict.message.removeprefix('layer: ')}")
    if verdict.error == "limit":
        key, _, message = verdict.message.partition(": ")
        return errors.Forbidden(f"{what}: {message}", hint=f"the limit is {key} in pouchd's configuration")
    if verdict.error == "full":
        return errors.Unavailable(
            f"{what}: cannot write below {os.path.dirname(home)}: {verdict.message}",
            hint="free some space on its file system, or move pouchd's root directory",
        )
    where = f" below {os.path.dirname(home)}" if home else ""
    return errors.Unavailable(f"{what}: cannot be unpacked{where}: {verdict.message}")
