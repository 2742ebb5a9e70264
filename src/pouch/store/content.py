"""Blobs: immutable bytes under their digest, a file each, with a record each.

A blob is written under `tmp/`, checked, renamed and noted: under its own name it is there whole or not at all. What is noted stays
while an image stands on it or somebody leases it (`store.gc`). When it is on the disk is said by its record (decision 0022).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from pouch.spec import digest, errors
from pouch.store import db, paths

PIECE = 1 << 20
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""What a file system says when nothing more fits."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored blob. size: bytes."""

    digest: str
    size: int


class Writer:
    """A blob that is being written. See `Content.writer`."""

    def __init__(self, kept: Content, file: IO[bytes], path: str, expected: str, size: int) -> None:
        self.path = path
        """The file it grows in; after the commit its last one."""
        self.count = 0
        """Bytes so far."""
        self._content = kept
        self._file = file
        self._expected = expected
        self._size = size
        self._hasher = hashlib.sha256()

    def __repr__(self) -> str:
        return f"Writer({self.path!r}, {self.count} bytes)"

    @property
    def _name(self) -> str:
        return f"blob {self._expected}" if self._expected else "blob"

    def write(self, piece: bytes, /) -> int:
        """Append, at once visible to who reads `path`; its length. Raises CorruptData for more than the expected size."""
        if 0 <= self._size < self.count + len(piece):
            raise errors.CorruptData(f"{self._name}: more than the {self._size} bytes it should have")
        self._hasher.update(piece)
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise unavailable(self.path, error) from error
        self.count += len(piece)
        return len(piece)

    def commit(self) -> Blob:
        """Keep it; it has to be leased, or the next collection takes it. Raises CorruptData where digest or size are not as expected."""
        if 0 <= self._size != self.count:
            raise errors.CorruptData(f"{self._name}: {self.count} bytes, expected {self._size}")
        found = digest.of_hex(self._hasher.hexdigest())
        if self._expected and found != self._expected:
            raise errors.CorruptData(f"{self._name}: its content has the digest {found}")
        self._content.adopt(self.path, found, self.count)
        self.path = self._content.path(found)
        return Blob(found, self.count)

    def digest(self) -> str:
        """The digest of what was written so far: to lease it before the commit where none is expected."""
        return digest.of_hex(self._hasher.hexdigest())


class Content:
    """The blobs, at `store.paths.Paths.blobs`."""

    def __init__(self, places: paths.Paths, database: db.Database) -> None:
        self._paths = places
        self._database = database

    def __repr__(self) -> str:
        return f"Content({self._paths.blobs!r})"

    @contextlib.contextmanager
    def writer(self, expected: str = "", *, size: int = -1) -> Iterator[Writer]:
        """Write a blob piece by piece; what is not committed at the end leaves nothing. expected, size: checked if given."""
        try:
            fd, path = tempfile.mkstemp(prefix="blob-", dir=self._paths.tmp)
        except OSError as error:
            raise unavailable(self._paths.tmp, error) from error
        try:
            with os.fdopen(fd, "wb", buffering=0) as file:
                yield Writer(self, file, path, expected, size)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def adopt(self, path: str, of: str, size: int) -> None:
        """Take over a file below tmp as the blob with this digest, which the caller has computed from what was written there."""
        try:
            os.rename(path, self._paths.blob(of))
        except OSError as error:
            raise unavailable(path, error) from error
        self._database.insert_blob(of, size)

    def ingest(self, stream: BinaryIO, expected: str = "", *, size: int = -1) -> Blob:
        """Store a stream. Raises CorruptData where digest or size are not as expected, Unavailable for a full disk; then nothing is left."""
        with self.writer(expected, size=size) as writer:
            while piece := stream.read(PIECE):
                writer.write(piece)
            return writer.commit()

    def put(self, data: bytes) -> str:
        """Store these bytes; their digest."""
        found = digest.of_bytes(data)
        if not self.exists(found):
            with self.writer(found, size=len(data)) as writer:
                writer.write(data)
                writer.commit()
        return found

    def path(self, of: str) -> str:
        """The file of a blob that exists."""
        return self._paths.blob(of)

    def exists(self, of: str) -> bool:
        """Whether the blob is recorded and its file is there."""
        return os.path.exists(self._paths.blob(of)) and self._database.find_blob(of) is not None

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

    def all(self) -> list[str]:
        """The digests of all blobs that have a file."""
        return sorted(f"{digest.ALGORITHM}:{name}" for name in os.listdir(self._paths.blobs))


def unavailable(path: str, error: OSError) -> errors.Unavailable:
    """What a failed write means for a client."""
    hint = "free some space on its file system, or move pouchd's root directory" if error.errno in FULL else ""
    return errors.Unavailable(f"cannot write {path}: {error.strerror or error}", hint=hint)
