"""Blobs: immutable bytes under their digest, a file each.

A blob is written under `tmp/`, checked, flushed to the disk and renamed: under its own name it is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pouch.spec import digest, errors
from pouch.store import paths

PIECE = 1 << 20
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""What a file system says when nothing more fits."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored blob. size: bytes."""

    digest: str
    size: int


class Content:
    """The blobs, at `store.paths.Paths.blobs`."""

    def __init__(self, places: paths.Paths) -> None:
        self._paths = places

    def __repr__(self) -> str:
        return f"Content({self._paths.blobs!r})"

    def ingest(self, stream: BinaryIO, expected: str = "", *, size: int = -1) -> Blob:
        """Store a stream. Raises CorruptData where digest or size are not as expected, Unavailable for a full disk; then nothing is left."""
        hasher = hashlib.sha256()
        written = 0
        with self._unfinished() as unfinished:
            while piece := stream.read(PIECE):
                written += len(piece)
                if 0 <= size < written:
                    raise errors.CorruptData(f"blob {expected}: more than the {size} bytes it should have")
                hasher.update(piece)
                unfinished.file.write(piece)
            if 0 <= size != written:
                raise errors.CorruptData(f"blob {expected}: {written} bytes, expected {size}")
            found = digest.of_hex(hasher.hexdigest())
            if expected and found != expected:
                raise errors.CorruptData(f"blob {expected}: its content has the digest {found}")
            self._keep(unfinished, found)
        return Blob(found, written)

    def put(self, data: bytes) -> str:
        """Store these bytes; their digest."""
        found = digest.of_bytes(data)
        if not os.path.exists(self._paths.blob(found)):
            with self._unfinished() as unfinished:
                unfinished.file.write(data)
                self._keep(unfinished, found)
        return found

    def open(self, of: str) -> BinaryIO:
        """A blob for reading, which the caller closes. Raises NotFound."""
        try:
            return open(self._paths.blob(of), "rb")
        except FileNotFoundError as error:
            raise errors.NotFound(f"No such blob: {of}") from error

    def read(self, of: str, *, limit: int = 8 << 20) -> bytes:
        """All of a blob, checked against its digest. Raises NotFound, CorruptData; also for more than `limit` bytes."""
        with self.open(of) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise errors.CorruptData(f"blob {of}: more than {limit} bytes, expected a document")
        if digest.of_bytes(data) != of:
            raise errors.CorruptData(f"blob {of}: damaged on disk, its digest is {digest.of_bytes(data)}")
        return data

    def delete(self, of: str) -> None:
        """Delete a blob; a missing one is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._paths.blob(of))

    def all(self) -> list[str]:
        """The digests of all blobs."""
        return sorted(f"{digest.ALGORITHM}:{name}" for name in os.listdir(self._paths.blobs))

    @contextlib.contextmanager
    def _unfinished(self) -> Iterator[_Unfinished]:
        """A file that goes unless it was kept."""
        try:
            fd, path = tempfile.mkstemp(prefix="blob-", dir=self._paths.tmp)
        except OSError as error:
            raise unavailable(self._paths.tmp, error) from error
        try:
            with os.fdopen(fd, "wb") as file:
                yield _Unfinished(file, path)
        except OSError as error:
            raise unavailable(path, error) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _keep(self, unfinished: _Unfinished, found: str) -> None:
        unfinished.file.flush()
        os.fsync(unfinished.file.fileno())
        os.rename(unfinished.path, self._paths.blob(found))


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """A blob that is being written."""

    file: BinaryIO
    path: str


def unavailable(path: str, error: OSError) -> errors.Unavailable:
    """What a failed write means for a client."""
    hint = "free some space on its file system, or move pouchd's root directory" if error.errno in FULL else ""
    return errors.Unavailable(f"cannot write {path}: {error.strerror or error}", hint=hint)
