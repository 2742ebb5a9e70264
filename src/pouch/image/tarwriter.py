"""Writing tar streams: ustar where an entry fits into it, pax headers for what does not. The same entries make the same bytes.

No names of users, no times but the files' own, no host. Names and link targets of ASCII stand in the header block; others, and long
ones, in a pax record, which is UTF-8. A name that is no UTF-8 stands in the block as it is, where every reader takes
bytes; one that is too long for it goes into a record after `hdrcharset=BINARY`.

Sources: pax(1) of POSIX.1-2008, tar(5) of libarchive, and the GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pouch.image import tar

BLOCK = tar.BLOCK
MOST_HOLES = 1 << 30
"""Bytes of holes up to which a sparse file is written out, with its zeros. See decision 0025."""
MOST_HOLES_TOGETHER = 8 << 30
"""The same of all files of an archive: what comes after is stored with maps, however small its holes."""
LONGEST_RECORDS = 1 << 20
"""Bytes of one entry's pax records: readers take no more."""

_BUFFER = 1 << 20
_LARGE = 1 << 17
"""Pieces that go to the sink without a stop in the buffer."""
_MOST_FRAGMENTS = 1 << 12
_FINEST = 1 << 16
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155s12x")
_LONGEST_NAME, _LONGEST_PREFIX = 100, 155
_LARGEST_ID, _LARGEST_SIZE = 0o7777777, 0o77777777777
_TYPES = {
    tar.Kind.FILE: b"0",
    tar.Kind.HARD_LINK: b"1",
    tar.Kind.SYMLINK: b"2",
    tar.Kind.CHARACTER: b"3",
    tar.Kind.BLOCK: b"4",
    tar.Kind.DIRECTORY: b"5",
    tar.Kind.FIFO: b"6",
}
_XATTR = b"SCHILY.xattr."
_ZEROS = bytes(1 << 20)


class Sink(Protocol):
    """What takes the stream."""

    def write(self, data: bytes, /) -> object:
        """Take all of these bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an archive. mtime in nanoseconds since 1970; a directory's name has no slash at its end; size: of a FILE alone."""

    name: bytes
    kind: tar.Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)


class Writer:
    """A tar that is being written. After `close` it is whole."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._holes = MOST_HOLES_TOGETHER
        self.count = 0
        """Bytes so far."""

    def add(self, entry: Entry, data: bytes = b"") -> None:
        """An entry with its data, `entry.size` bytes of them."""
        assert len(data) == entry.size
        self._put(_header(entry, entry.size))
        self._data(data)
        self._pad()

    def add_file(self, entry: Entry, fd: int, *, holes: bool = False) -> int:
        """A FILE with the data of a descriptor; holes: whether it may have some. How many of its bytes were missing, which are zeros now.

        Exactly `entry.size` bytes are written, whatever becomes of the file meanwhile.
        """
        if not holes:
            self._put(_header(entry, entry.size))
            missing = self._copy(fd, 0, entry.size)
        else:
            missing = self._sparse(entry, fd)
        self._pad()
        return missing

    def close(self) -> None:
        """Write the end of the archive. The sink stays open."""
        self._put(bytes(2 * BLOCK))
        self._flush()

    # -- files with holes ---------------------------------------------------------------------------------------------

    def _sparse(self, entry: Entry, fd: int) -> int:
        fragments = _coarse(_fragments(fd, entry.size))
        stored = sum(length for _, length in fragments)
        if entry.size - stored > min(MOST_HOLES, self._holes):
            return self._mapped(entry, fd, fragments, stored)
        self._holes -= entry.size - stored
        self._put(_header(entry, entry.size))
        at = missing = 0
        for offset, length in fragments:
            self._zeros(offset - at)
            missing += self._copy(fd, offset, length)
            at = offset + length
        self._zeros(entry.size - at)
        return missing

    def _mapped(self, entry: Entry, fd: int, fragments: Sequence[tuple[int, int]], stored: int) -> int:
        """GNU's sparse format 1.0: the map in front of the data. A last piece of no bytes says where the file ends."""
        pieces = [*fragments, (entry.size, 0)]
        text = b"".join(b"%d\n%d\n" % piece for piece in pieces)
        text = b"%d\n" % len(pieces) + text
        text += bytes(-len(text) % BLOCK)
        self._put(_header(entry, len(text) + stored, real=entry.size))
        self._put(text)
        return sum(self._copy(fd, offset, length) for offset, length in fragments)

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _copy(self, fd: int, offset: int, length: int) -> int:
        """This many bytes from there; how many of them were missing and are zeros."""
        end = offset + length
        while offset < end:
            piece = os.pread(fd, min(end - offset, _BUFFER), offset)
            if not piece:
                self._zeros(end - offset)
                return end - offset
            self._data(piece)
            offset += len(piece)
        return 0

    def _zeros(self, length: int) -> None:
        while length > 0:
            piece = _ZEROS[:length]
            self._data(piece)
            length -= len(piece)

    def _data(self, piece: bytes) -> None:
        if len(piece) < _LARGE:
            self._put(piece)
        else:
            self._flush()
            self.count += len(piece)
            self._sink.write(piece)

    def _pad(self) -> None:
        self._put(bytes(-self.count % BLOCK))

    def _put(self, piece: bytes) -> None:
        self._buffer += piece
        self.count += len(piece)
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            full, self._buffer = self._buffer, bytearray()
            self._sink.write(bytes(full))


def shorten(xattrs: Mapping[bytes, bytes], left_out: Callable[[bytes], None]) -> dict[bytes, bytes]:
    """The attributes that an archive can hold, the smallest first; `left_out` is told the names of the others."""
    kept: dict[bytes, bytes] = {}
    room = LONGEST_RECORDS // 2  # names and targets take some, too
    for name, value in sorted(xattrs.items(), key=lambda one: (len(one[1]), one[0])):
        room -= len(name) + len(value) + 32
        if room < 0 or b"=" in name:
            left_out(name)
        else:
            kept[name] = value
    return kept


# -- headers ----------------------------------------------------------------------------------------------------------


def _header(entry: Entry, stored: int, *, real: int = -1) -> bytes:
    """The blocks before an entry's data. stored: bytes of the data; real: the size of a file that is stored with a map."""
    name = entry.name + b"/" if entry.kind is tar.Kind.DIRECTORY else entry.name
    records: dict[bytes, bytes] = {_XATTR + key: value for key, value in entry.xattrs.items()}
    if real >= 0:
        records |= {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"}
        records |= {b"GNU.sparse.name": name, b"GNU.sparse.realsize": b"%d" % real}
        name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2][:80]
    short, prefix = _name(name, records)
    link = entry.link
    if link and not _in_block(link, _LONGEST_NAME):
        records[b"linkpath"] = link
        link = link[:_LONGEST_NAME]
    seconds, fraction = divmod(entry.mtime, 10**9)
    if fraction or not 0 <= seconds <= _LARGEST_SIZE:
        records[b"mtime"] = _time(entry.mtime)
        seconds = min(max(seconds, 0), _LARGEST_SIZE)
    block = _block(
        short,
        _TYPES[entry.kind],
        mode=entry.mode,
        uid=_number(entry.uid, _LARGEST_ID, b"uid", records),
        gid=_number(entry.gid, _LARGEST_ID, b"gid", records),
        size=_number(stored, _LARGEST_SIZE, b"size", records),
        mtime=seconds,
        link=link,
        device=entry.device,
        prefix=prefix,
    )
    return _extended(records) + block if records else block


def _name(name: bytes, records: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """The block's name and prefix; a record where they cannot say it."""
    if _in_block(name, _LONGEST_NAME):
        return name, b""
    if _in_block(name, _LONGEST_NAME + 1 + _LONGEST_PREFIX):
        # the last component alone, if it fits; a slash at the end is no border
        at = name.find(b"/", max(1, len(name) - _LONGEST_NAME - 1), min(_LONGEST_PREFIX + 1, len(name) - 1))
        if at > 0:
            return name[at + 1 :], name[:at]
    if b"GNU.sparse.name" not in records:
        records[b"path"] = name
    return name[:_LONGEST_NAME], b""


def _in_block(text: bytes, longest: int) -> bool:
    """Whether bytes stand in a header block: ASCII, or what a pax record has no way to spell."""
    return len(text) <= longest and (text.isascii() or not _is_utf8(text))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _number(value: int, largest: int, key: bytes, records: dict[bytes, bytes]) -> int:
    if value <= largest:
        return value
    records[key] = b"%d" % value
    return 0


def _time(mtime: int) -> bytes:
    """Seconds with as many decimals as it takes."""
    seconds, fraction = divmod(abs(mtime), 10**9)
    text = b"%d.%09d" % (seconds, fraction)
    return (b"-" if mtime < 0 else b"") + text.rstrip(b"0").rstrip(b".")


def _extended(records: Mapping[bytes, bytes]) -> bytes:
    """A pax header: its block and its records, in a fixed order."""
    texts = [records[key] for key in (b"path", b"linkpath", b"GNU.sparse.name") if key in records]
    body = b"" if all(map(_is_utf8, texts)) else _record(b"hdrcharset", b"BINARY")
    body += b"".join(_record(key, records[key]) for key in sorted(records))
    block = _block(b"PaxHeaders.0/entry", b"x", size=len(body))
    return block + body + bytes(-len(body) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """A line `LENGTH KEY=VALUE`, where the length counts itself and the line's end."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _block(
    name: bytes,
    kind: bytes,
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    prefix: bytes = b"",
) -> bytes:
    fields = [
        name,
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size,
        b"%011o\0" % mtime,
        b"        ",
        kind,
        link,
        b"ustar\00000",
        b"%07o\0" % device[0],
        b"%07o\0" % device[1],
        prefix,
    ]
    fields[6] = b"%06o\0 " % sum(_HEADER.pack(*fields))
    return _HEADER.pack(*fields)


# -- holes ------------------------------------------------------------------------------------------------------------


def _fragments(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of the pieces of a file that are stored (lseek(2), SEEK_DATA)."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end, or cut off meanwhile
                return
            raise
        if start >= size:
            return
        at = min(max(end, start + 1), size)
        yield start, at - start


def _coarse(pieces: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Not more pieces than readers take: small holes between them are filled, larger ones as it becomes necessary."""
    found: list[tuple[int, int]] = []
    gap = 0
    for offset, length in pieces:
        if found and offset - sum(found[-1]) <= gap:
            found[-1] = (found[-1][0], offset + length - found[-1][0])
            continue
        found.append((offset, length))
        if len(found) > _MOST_FRAGMENTS:
            gap = max(2 * gap, _FINEST)
            found = _joined(found, gap)
    return found


def _joined(found: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    joined = [found[0]]
    for offset, length in found[1:]:
        start, before = joined[-1]
        if offset - (start + before) <= gap:
            joined[-1] = (start, offset + length - start)
        else:
            joined.append((offset, length))
    return joined
