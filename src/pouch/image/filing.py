"""Layers that come without a blob of their own are filed as one while they are read: decision 0021, blobs are the truth."""

from __future__ import annotations

from pouch.image import Readable, compression
from pouch.spec import descriptor
from pouch.store import content

_PIECE = 1 << 20
_TYPES = {"gzip": descriptor.OCI_LAYER_GZIP, "zstd": descriptor.OCI_LAYER_ZSTD, "": descriptor.OCI_LAYER}


class Filing:
    """A stream that writes itself to a blob as it is read.

    As it comes, where a registry takes it so (gzip, zstd) or its digest is known (`exact`); else compressed by gzip. What was read is
    written when more is asked for, so that the unpacking process has its piece before we spend time on it.
    """

    def __init__(self, stream: Readable, writer: content.Writer, what: str, *, exact: bool = False) -> None:
        """`what` names the stream in errors."""
        peeked = compression.peeked(stream)
        kind = compression.kind(peeked.start)
        as_it_comes = exact or kind in ("gzip", "zstd")
        self._stream = peeked if as_it_comes else compression.opened(peeked, what)
        self._writer = writer
        self._packer = None if as_it_comes else compression.gzip_writer(writer)
        self._pending = b""
        self._kind = kind if as_it_comes else "gzip"

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        if self._pending:
            (self._packer or self._writer).write(self._pending)
        self._pending = self._stream.read(size)
        return self._pending

    def finish(self) -> None:
        """Read what nobody has asked for, and have all of it written."""
        while self.read(_PIECE):
            pass
        if self._packer is not None:
            self._packer.close()

    def described(self, blob: content.Blob) -> descriptor.Descriptor:
        """The blob as a layer of a manifest."""
        return descriptor.Descriptor(_TYPES.get(self._kind, descriptor.OCI_LAYER), blob.digest, blob.size)
