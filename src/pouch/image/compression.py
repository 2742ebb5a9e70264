"""Compressed streams: which they are is told by their first bytes, never by a name or a media type. The only user of isal and zstandard.

Each library is imported when a stream needs it: a process that unpacks one layer needs one.
"""

from __future__ import annotations

from pouch.image import Readable
from pouch.spec import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Sink(Protocol):
        """Takes all bytes of each piece."""

        def write(self, piece: bytes, /) -> object:
            """The next bytes."""


LIBRARIES = ("isal", "zstandard")
FREE = 1 << 30
"""Bytes that any stream may unpack to, however small it is."""
_GZIP_PIECE, _ZSTD_PIECE, _XZ_PIECE, _BZIP2_PIECE = 64 << 10, 2 << 10, 64 << 10, 64 << 10
"""Compressed bytes fed at once. zstandard answers with all that a piece becomes, at most 64 MB by the format's best ratio; others with
`_MOST` bytes."""
_MOST = 1 << 20
_LONGEST_MAGIC = 6
_ZSTD_WINDOW = 1 << 27
"""Bytes of a zstd frame's window that are allowed: what the zstd program takes without being told more."""
_XZ_MEMORY = 1 << 28
"""Bytes an xz stream may take: four times what its highest level needs."""
_GZIP = 31
"""zlib's wbits for a gzip header."""
_GZIP_WINDOW = 15
_CHUNK = 256 << 10
"""Bytes that are compressed at once: what comes out depends on it."""
_GZIP_LEVEL, _ZSTD_LEVEL = 1, 3


def directories() -> list[str]:
    """Where the libraries are, for a process that is started without the usual search path."""
    from importlib import util  # noqa: PLC0415 - for who starts one

    found: dict[str, None] = {}
    for name in LIBRARIES:
        spec = util.find_spec(name)
        if spec is not None and spec.origin:
            found[spec.origin.rpartition("/")[0].rpartition("/")[0]] = None
    return list(found)


def ready() -> None:
    """Import what most layers need, for a process that forks."""
    from isal import igzip_lib  # noqa: F401, PLC0415 - see the module


class Stored:
    """A stream that is not compressed, with the bytes put back that were looked at."""

    def __init__(self, start: bytes, stream: Readable) -> None:
        self.start = start
        """Its first bytes, as long as nothing was read."""
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        if self.start:
            piece, self.start = self.start[:size], self.start[size:]
            return piece
        return self._stream.read(size)


def kind(start: bytes) -> str:
    """`gzip`, `zstd`, `xz` or `bzip2`, by a stream's first six bytes; "" for what is none of these."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"\x28\xb5\x2f\xfd") or (start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50):
        return "zstd"
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return "bzip2" if start.startswith(b"BZh") else ""


def peeked(stream: Readable) -> Stored:
    """The stream with as many of its first bytes in `start` as tell its kind."""
    start = b""
    while len(start) < _LONGEST_MAGIC and (piece := stream.read(_LONGEST_MAGIC - len(start))):
        start += piece
    return Stored(start, stream)


def check(stored: int, size: int, ratio: int) -> None:
    """Raise Forbidden where so many stored bytes became too many: beyond FREE, more than `ratio` times as many; 0: never."""
    if ratio and size > max(FREE, ratio * stored):
        raise errors.Forbidden(f"unpacks to more than {ratio} times its size: {size} bytes out of {stored}")


def opened(stream: Readable, what: str) -> Readable:
    """The bytes behind gzip, zstd, xz or bzip2; a `Stored` where it is none of these.

    `what` names it in the CorruptData errors that the reader raises. Several members or frames one after the other are one stream.
    """
    rest = stream if isinstance(stream, Stored) else peeked(stream)
    found = kind(rest.start)
    return _Members(rest, what, found) if found else rest


def _gzip() -> tuple[Callable[[], Any], int, Any]:
    from isal import igzip_lib  # noqa: PLC0415 - see the module

    flag = igzip_lib.DECOMP_GZIP
    return lambda: igzip_lib.IgzipDecompressor(flag, _GZIP_WINDOW), _GZIP_PIECE, igzip_lib.error


def _zstd() -> tuple[Callable[[], Any], int, Any]:
    import zstandard  # noqa: PLC0415 - see the module

    frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    return lambda: _Frame(frames.decompressobj()), _ZSTD_PIECE, zstandard.ZstdError


def _xz() -> tuple[Callable[[], Any], int, Any]:
    import lzma  # noqa: PLC0415 - see the module

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), _XZ_PIECE, lzma.LZMAError


def _bzip2() -> tuple[Callable[[], Any], int, Any]:
    import bz2  # noqa: PLC0415 - see the module

    return bz2.BZ2Decompressor, _BZIP2_PIECE, OSError


_KINDS = {"gzip": _gzip, "zstd": _zstd, "xz": _xz, "bzip2": _bzip2}


class _Frame:
    """One zstd frame, with the interface that the standard library's decompressors and isal's share."""

    needs_input = True

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def decompress(self, piece: bytes, most: int) -> bytes:
        done: bytes = self._frame.decompress(piece)
        return done

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        rest: bytes = self._frame.unused_data
        return rest


class _Members:
    """A decompressor for each member or frame, one after the other."""

    def __init__(self, stream: Readable, what: str, kind: str) -> None:
        self._stream = stream
        self._what = what
        self._kind = kind
        self._make, self._piece, self._error = _KINDS[kind]()
        self._member = self._make()
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
        piece = b""
        if self._member.eof or self._member.needs_input:
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
            self._ready = self._member.decompress(piece, _MOST)
        except (self._error, OSError, EOFError, ValueError) as error:
            raise errors.CorruptData(f"{self._what}: damaged {self._kind} stream: {error}") from error
        if self._member.eof:
            self._rest = self._member.unused_data + self._rest
        self._position = 0
        return True


class _Writer:
    """Compresses in chunks of one size, however the pieces come: so equal contents are equal streams."""

    def __init__(self, sink: Sink, compressor: Any) -> None:
        self._sink = sink
        self._compressor = compressor
        self._rest = bytearray()

    def write(self, piece: bytes, /) -> int:
        """Take all bytes of a piece; its length."""
        self._rest += piece
        while len(self._rest) >= _CHUNK:
            with memoryview(self._rest) as whole:
                made = self._compressor.compress(whole[:_CHUNK])
            del self._rest[:_CHUNK]
            if made:
                self._sink.write(made)
        return len(piece)

    def close(self) -> None:
        """Write what is left. The sink stays open."""
        self._sink.write(self._compressor.compress(bytes(self._rest)) + self._compressor.flush())
        self._rest.clear()


def gzip_writer(sink: Sink) -> _Writer:
    """Takes bytes (`write`, and `close` at the end) and writes gzip: no name, no time, always the same stream on machines of one kind."""
    from isal import isal_zlib  # noqa: PLC0415 - see the module

    return _Writer(sink, isal_zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP))


def zstd_writer(sink: Sink) -> _Writer:
    """As gzip_writer, for zstd."""
    import zstandard  # noqa: PLC0415 - see the module

    return _Writer(sink, zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compressobj())
