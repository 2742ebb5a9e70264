"""An archive of images as it lies in the spool: a tar whose members can be read in any order, any number of times."""

from __future__ import annotations

import contextlib
import os
import posixpath
import tempfile
from dataclasses import dataclass
from typing import BinaryIO, Self

from pouch.image import Readable, compression, tar
from pouch.spec import errors
from pouch.store import content

LONGEST_DOCUMENT = 8 << 20
"""Bytes of a manifest or configuration."""
MOST_DOCUMENTS = 64 << 20
"""Bytes of all of an archive's documents, each as often as it is named: they are held in memory."""
MOST_MEMBERS = 100_000
_DEEPEST_LINK = 40


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: where its bytes lie in the spool."""

    offset: int
    size: int


class Archive:
    """The members by name. Closing it gives the spool's space back; nothing of it has a name on the disk."""

    def __init__(self, stream: Readable, tmp: str, *, ratio: int = 0) -> None:
        """Read all of a stream, compressed or not, into a spool below `tmp`. ratio: see `compression.check`.

        Raises CorruptData, Forbidden for what only a bomb becomes, Unavailable for a full disk.
        """
        self._members: dict[str, Member | str] = {}
        """A string is the name that a link leads to."""
        self._tmp = tmp
        self._read_so_far = 0
        try:
            self._spool: BinaryIO = tempfile.TemporaryFile(dir=tmp)  # noqa: SIM115 - open as long as the archive
        except OSError as error:
            raise content.unavailable(tmp, error) from error
        try:
            counted = _Counted(stream)
            self._read(_Tee(counted, compression.opened(counted, "image archive"), self._spool, tmp, ratio))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Delete the spool; idempotent."""
        with contextlib.suppress(OSError):  # of a last flush: a full disk was told when it was written to
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, name: str) -> Member | None:
        """A file by name, through links; None where it is not there."""
        for _ in range(_DEEPEST_LINK):
            found = self._members.get(posixpath.normpath(name))
            if not isinstance(found, str):
                return found
            name = found
        raise errors.CorruptData(f"image archive: {errors.shown(name)} is a link without end")

    def get(self, name: str, wanted_by: str) -> Member:
        """As find; raises CorruptData naming who wants it."""
        found = self.find(name)
        if found is None:
            raise errors.CorruptData(
                f"image archive: {tar.shown(os.fsencode(name))} is missing, which {wanted_by} names"
            )
        return found

    def document(self, member: Member, what: str) -> bytes:
        """All bytes of a small member."""
        if member.size > LONGEST_DOCUMENT:
            raise errors.CorruptData(
                f"image archive: {what} has {member.size} bytes, expected {LONGEST_DOCUMENT} at most"
            )
        self._read_so_far += member.size
        if self._read_so_far > MOST_DOCUMENTS:
            raise errors.CorruptData(
                f"image archive: its manifests and configurations have more than {MOST_DOCUMENTS} bytes"
            )
        return Slice(self._spool, member).read(member.size)

    def open(self, member: Member) -> Slice:
        """A reader of a member's bytes of its own; several can be in use at once."""
        return Slice(self._spool, member)

    def names(self) -> list[str]:
        """The members' names, sorted."""
        return sorted(self._members)

    def _read(self, tee: _Tee) -> None:
        reader = tar.Reader(tee, "image archive")
        for entry in reader:
            name = posixpath.normpath(os.fsdecode(entry.name).lstrip("/"))
            if len(self._members) >= MOST_MEMBERS:
                raise errors.CorruptData(f"image archive: more than {MOST_MEMBERS} members")
            if entry.kind is tar.Kind.FILE:
                if entry.fragments is not None:
                    raise errors.CorruptData(f"image archive: {tar.shown(entry.name)} is a sparse file")
                self._members[name] = Member(reader.position, entry.size)
            elif entry.kind is tar.Kind.SYMLINK:
                self._members[name] = posixpath.join(posixpath.dirname(name), os.fsdecode(entry.link))
            elif entry.kind is tar.Kind.HARD_LINK:
                self._members[name] = os.fsdecode(entry.link).lstrip("/")
        if not reader.position:
            raise errors.CorruptData(
                "image archive: it is empty", hint="expected what `docker save` or an OCI tool writes"
            )
        reader.drain()  # so that whoever sends it is not cut off


class _Counted:
    """A stream whose bytes are counted."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int, /) -> bytes:
        try:
            piece = self._stream.read(size)
        except OSError as error:
            raise errors.Unavailable(
                f"image archive: it cannot be read any further: {error.strerror or error}"
            ) from error
        self.count += len(piece)
        return piece


class _Tee:
    """What is behind a stream's compression, also written to the spool as it is read."""

    def __init__(self, stored: _Counted, stream: Readable, spool: BinaryIO, tmp: str, ratio: int) -> None:
        self._stored = stored
        self._stream = stream
        self._spool = spool
        self._tmp = tmp
        self._ratio = ratio
        self._size = 0

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        self._size += len(piece)
        try:
            compression.check(self._stored.count, self._size, self._ratio)
        except errors.Forbidden as error:
            hint = "the limit is max-layer-ratio in pouchd's configuration"
            raise errors.Forbidden(f"image archive: {error.message}", hint=hint) from error
        try:
            self._spool.write(piece)
            if not piece:
                self._spool.flush()
        except OSError as error:
            raise content.unavailable(self._tmp, error) from error
        return piece


class Slice:
    """A member's bytes, read by position."""

    def __init__(self, spool: BinaryIO, member: Member) -> None:
        self._fd = spool.fileno()
        self._position = member.offset
        self._end = member.offset + member.size

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        piece = os.pread(self._fd, min(size, self._end - self._position), self._position)
        self._position += len(piece)
        return piece
