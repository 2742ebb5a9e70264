"""Compressed streams: which they are is told by their first bytes, never by a name or a media type. The only user of isal and zstandard."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import zstandard
from isal import isal_zlib

from pouch.image import Readable
from pouch.spec import errors

_GZIP_PIECE, _ZSTD_PIECE, _XZ_PIECE, _BZIP2_PIECE = 64 << 10, 2 << 10, 4 << 10, 1 << 10
"""Compressed bytes fed at once. What a hostile stream makes of them is held in memory: at most 64 MB, by each format's best ratio."""
_LONGEST_MAGIC = 6
_ZSTD_WINDOW = 1 << 27
"""Bytes of a zstd frame's window that are allowed: what the zstd program takes without being told more."""
_ISAL_ERROR: Any = isal_zlib.error
_GZIP = 31
"""zlib's wbits for a gzip header."""


def opened(stream: Readable, what: str) -> Readable:
    """The bytes behind gzip, zstd, xz or bzip2; the stream's own where it is none of these.

    `what` names it in the CorruptData errors that the reader raises. Several members or frames one after the other are one stream.
    """
    start = _start(stream)
    rest = _Pushed(start, stream)
    if start.startswith(b"\x1f\x8b"):
        return _Members(rest, lambda: isal_zlib.decompressobj(wbits=_GZIP), what, "gzip", _GZIP_PIECE)
    if start.startswith(b"\x28\xb5\x2f\xfd") or (start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50):
        frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        return _Members(rest, frames.decompressobj, what, "zstd", _ZSTD_PIECE)
    if start.startswith(b"\xfd7zXZ\x00"):
        return _Members(rest, lzma.LZMADecompressor, what, "xz", _XZ_PIECE)
    if start.startswith(b"BZh"):
        return _Members(rest, bz2.BZ2Decompressor, what, "bzip2", _BZIP2_PIECE)
    return rest


def _start(stream: Readable) -> bytes:
    start = b""
    while len(start) < _LONGEST_MAGIC and (piece := stream.read(_LONGEST_MAGIC - len(start))):
        start += piece
    return start


class _Pushed:
    """A stream with some bytes put back before it."""

    def __init__(self, start: bytes, stream: Readable) -> None:
        self._start = start
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        return self._stream.read(size)


class _Members:
    """Decompressors with zlib's interface, one for each member or frame."""

    def __init__(self, stream: Readable, make: Callable[[], Any], what: str, kind: str, piece: int) -> None:
        self._stream = stream
        self._make = make
        self._what = what
        self._kind = kind
        self._piece = piece
        self._member: Any = make()
        self._rest = b""
        self._ready = b""
        self._position = 0

    def read(self, size: int, /) -> bytes:
        while self._position >= len(self._ready):
            if not self._more():
                return b""
        piece = self._ready[self._position : self._position + size]
        self._position += len(piece)
        return piece

    def _more(self) -> bool:
        """Make more bytes ready; whether the stream goes on."""
        rest = self._rest or self._stream.read(self._piece)
        piece, self._rest = rest[: self._piece], rest[self._piece :]
        if self._member.eof:
            if not piece:
                return False
            piece = piece.lstrip(b"\0")  # padding behind the last member
            if not piece:
                return True
            self._member = self._make()
        elif not piece:
            raise errors.CorruptData(f"{self._what}: the {self._kind} stream ends early")
        try:
            self._ready = self._member.decompress(piece)
        except (_ISAL_ERROR, zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise errors.CorruptData(f"{self._what}: damaged {self._kind} stream: {error}") from error
        if self._member.eof:
            self._rest = self._member.unused_data + self._rest
        self._position = 0
        return True
