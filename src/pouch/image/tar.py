"""Reading tar streams: ustar, pax and GNU, with everything a layer may hold.

Not the standard library's tarfile: names stay bytes, times keep their nanoseconds, extended attributes any value, and what contradicts
the format is an error instead of the end of the archive. Sources: pax(1) of POSIX.1-2008, tar(5) of libarchive, and the
GNU tar manual, "Storing Sparse Files".

Half of what unpacking a layer costs is spent here, once per file: so the usual header is read at one stroke, and what is unusual
in it goes the careful way. The module starts with every unpacking process, and imports little for that reason.
"""

from __future__ import annotations

import enum
import struct
import zlib

from pouch.image import Readable
from pouch.spec import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 512
PIECE = 1 << 20
LONGEST_HEADER = 1 << 20
"""Bytes of a pax header or a long name."""
MOST_FRAGMENTS = 1 << 16
"""Pieces of a sparse file."""

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s6s2x32x32x8s8s155s12x").unpack_from
"""name, mode, uid, gid, size, mtime, checksum, type, link, magic, major, minor, prefix."""
_ZEROS = bytes(BLOCK)
_XATTR = b"SCHILY.xattr."
_MOST_KNOWN = 1 << 12


class Kind(enum.Enum):
    """What an entry is."""

    FILE = "file"
    HARD_LINK = "hard link"
    SYMLINK = "symbolic link"
    CHARACTER = "character device"
    BLOCK = "block device"
    DIRECTORY = "directory"
    FIFO = "fifo"


_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER,
    b"4": Kind.BLOCK,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}
_NODES = (Kind.CHARACTER, Kind.BLOCK)


class Entry:
    """One file of the archive. mtime in nanoseconds since 1970; size: bytes of the file, holes counted.

    fragments: of a sparse file (offset, length) of the pieces that are stored, else None. Written out, not a dataclass: see the module.
    """

    __slots__ = ("device", "fragments", "gid", "kind", "link", "mode", "mtime", "name", "size", "uid", "xattrs")

    def __init__(
        self,
        name: bytes,
        kind: Kind,
        mode: int,
        uid: int,
        gid: int,
        mtime: int,
        size: int,
        link: bytes,
        device: tuple[int, int],
        xattrs: dict[bytes, bytes],
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.size = size
        self.link = link
        self.device = device
        self.xattrs = xattrs
        self.fragments: tuple[tuple[int, int], ...] | None = None

    def __repr__(self) -> str:
        return f"Entry({shown(self.name)}, {self.kind.value})"


class Reader:
    """The entries of a stream, in order. The data of one can be read until the next is asked for."""

    def __init__(self, stream: Readable, what: str) -> None:
        """`what` names the archive in errors."""
        self._stream = stream
        self._what = what
        self._buffer = b""
        """What was read of the stream; its first `_at` bytes are used up."""
        self._at = 0
        self._data = 0
        """Bytes of the current entry's stored data that are not read yet."""
        self._padding = 0
        self._entry: Entry | None = None
        self._global: dict[bytes, bytes] = {}
        self._known: dict[bytes, int] = {}
        """Modes and owners as they were spelled: there are few different ones."""
        self._before = 0
        """Bytes of the stream before the buffer."""

    @property
    def position(self) -> int:
        """Bytes of the stream that are used up: where the current file's data begins."""
        return self._before + self._at

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            self._entry = entry
            yield entry

    def pieces(self) -> Iterator[tuple[int, memoryview]]:
        """The current file's data: offset in the file and bytes; holes are left out. A piece holds until the next one is asked for."""
        entry = self._entry
        assert entry is not None
        for offset, length in entry.fragments if entry.fragments is not None else ((0, self._data),):
            done = 0
            while done < length:
                piece = self._some(length - done)
                self._data -= len(piece)
                yield offset + done, piece
                done += len(piece)

    def content(self) -> memoryview | None:
        """All of the current file's data where it is at hand already and no hole is in it; else None, and `pieces` gives it."""
        at, end = self._at, self._at + self._data
        if end > len(self._buffer) or (self._entry is not None and self._entry.fragments is not None):
            return None
        self._at = end
        self._data = 0
        return memoryview(self._buffer)[at:end]

    def drain(self) -> None:
        """Read what follows the end of the archive: it counts for the stream's digest."""
        while self._more():
            self._at = len(self._buffer)

    # -- entries ------------------------------------------------------------------------------------------------------

    def _next(self) -> Entry | None:
        """The next entry, or None at the end of the archive."""
        pax: dict[bytes, bytes] = {}
        sparse: list[tuple[bytes, bytes]] = []
        long_name = long_link = b""
        while True:
            if self._data:
                self._skip(self._data)
            # some programs leave the last entry's padding out, so the end may come there too
            header = self._header() if not self._padding or self._exactly(self._padding, at_end=True) else b""
            self._data = self._padding = 0
            if not header:
                if pax or long_name or long_link:
                    raise self._corrupt("it ends between an entry's headers")
                return None
            kind = header[156:157]
            if kind not in b"xgXLKV":
                return self._made(
                    header, kind, {**self._global, **pax} if self._global else pax, sparse, long_name, long_link
                )
            size = self._number(header, 124, 12, "size")
            if kind == b"V":  # a volume's label
                self._skip(size + -size % BLOCK)
                continue
            body = self._special(size)
            if kind == b"g":
                self._global.update(self._records(body, []))
            elif kind in b"xX":
                pax = self._records(body, sparse)
            elif kind == b"L":
                long_name = body.partition(b"\0")[0]
            else:
                long_link = body.partition(b"\0")[0]

    def _made(
        self,
        header: bytes,
        kind: bytes,
        pax: dict[bytes, bytes],
        sparse: list[tuple[bytes, bytes]],
        long_name: bytes,
        long_link: bytes,
    ) -> Entry:
        name, mode, uid, gid, size, mtime, _, _, link, magic, _, _, prefix = _FIELDS(header)
        name = name.partition(b"\0")[0]
        if prefix[0] and magic == b"ustar\0":
            name = prefix.partition(b"\0")[0] + b"/" + name
        name = long_name or name
        link = long_link or (link.partition(b"\0")[0] if link[0] else b"")
        known = self._known
        made = Entry(
            name,
            _KINDS.get(kind) or self._unknown(pax.get(b"path") or name, kind),
            (known[mode] if mode in known else self._value(mode, "mode")) & 0o7777,
            known[uid] if uid in known else self._value(uid, "uid"),
            known[gid] if gid in known else self._value(gid, "gid"),
            self._field(mtime, "mtime") * 10**9,
            self._number(size, 0, 12, "size"),
            link,
            (0, 0),
            {},
        )
        if pax:
            self._override(made, pax)
        if b"\0" in made.name or b"\0" in made.link:
            wrong = "name" if b"\0" in made.name else "link"
            raise self._corrupt(f"a {wrong} with a NUL byte: {shown(made.name if wrong == 'name' else made.link)}")
        if made.kind is not Kind.FILE:
            made.size = 0  # only files have data, whatever the header says
            if made.kind in _NODES:
                made.device = (self._number(header, 329, 8, "major"), self._number(header, 337, 8, "minor"))
            return made
        self._data, self._padding = made.size, -made.size % BLOCK
        if kind != b"S" and made.name.endswith(b"/"):
            made.kind = Kind.DIRECTORY  # as old archives mark them
            made.size = 0
        elif kind == b"S" or pax:
            self._sparse(made, header, kind, pax, sparse)
        return made

    def _override(self, made: Entry, pax: dict[bytes, bytes]) -> None:
        """What a pax header says wins over the header block."""
        for key, value in pax.items():
            if key == b"mtime":
                made.mtime = self._time(value)
            elif key == b"path":
                made.name = value
            elif key == b"linkpath":
                made.link = value
            elif key == b"uid":
                made.uid = self._decimal(value, "uid")
            elif key == b"gid":
                made.gid = self._decimal(value, "gid")
            elif key == b"size":
                made.size = self._decimal(value, "size")
            elif key.startswith(_XATTR):
                made.xattrs[key[len(_XATTR) :]] = value
        made.name = pax.get(b"GNU.sparse.name") or made.name

    def _unknown(self, name: bytes, kind: bytes) -> Kind:
        raise self._corrupt(f"entry {shown(name)} is of the unknown type {shown(kind)}")

    def _header(self) -> bytes:
        """The next header block; b"" at the end."""
        block = self._exactly(BLOCK, at_end=True)
        if not block or block == _ZEROS:
            return b""
        stored = self._number(block, 148, 8, "checksum")
        # adler32's lower half is one more than the sum of the bytes (RFC 1950): one call instead of 512 steps
        if (zlib.adler32(block) + 255 - sum(block[148:156]) - stored) & 0xFFFF and not self._sums(block, stored):
            raise self._corrupt(f"no tar header at byte {self.position - BLOCK}")
        return block

    def _sums(self, block: bytes, stored: int) -> bool:
        """Whether the checksum is right after all: by exact sums, of unsigned or, as old programs did, of signed characters."""
        unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
        return stored in (unsigned, unsigned - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127))

    def _special(self, size: int) -> bytes:
        if size > LONGEST_HEADER:
            raise self._corrupt(f"an extended header of {size} bytes, expected at most {LONGEST_HEADER}")
        body = self._exactly(size)
        self._skip(-size % BLOCK)
        return body

    def _records(self, body: bytes, sparse: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
        """The records of a pax header, `length key=value` and a newline each, the length counting itself. An empty value takes a key away."""
        found: dict[bytes, bytes] = {}
        position = 0
        while position < len(body):
            space = body.find(b" ", position, position + 21)
            digits = body[position:space]
            if space < 0 or not digits.isdigit():
                break
            end = position + int(digits)
            key, equals, value = body[space + 1 : end - 1].partition(b"=")
            if end > len(body) or end <= position or body[end - 1 : end] != b"\n" or not equals or not key:
                break
            if key.startswith(b"GNU.sparse.") and key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                sparse.append((key, value))
            elif value or key.startswith(_XATTR):
                found[key] = value
            else:
                found.pop(key, None)
            position = end
        if body[position:].strip(b"\0"):
            raise self._corrupt("a damaged pax header")
        return found

    # -- sparse files -------------------------------------------------------------------------------------------------

    def _sparse(
        self, entry: Entry, header: bytes, kind: bytes, pax: dict[bytes, bytes], pairs: list[tuple[bytes, bytes]]
    ) -> None:
        """Give the entry its map where it is a sparse file, in one of GNU's four ways to store it."""
        if kind == b"S":
            numbers, real = self._old_map(header)
        elif pax.get(b"GNU.sparse.major") == b"1":
            numbers, real = self._leading_map(entry), self._real_size(pax)
        elif b"GNU.sparse.map" in pax:
            numbers = [self._decimal(text, "sparse map") for text in pax[b"GNU.sparse.map"].split(b",") if text]
            real = self._real_size(pax)
        elif b"GNU.sparse.size" in pax or b"GNU.sparse.realsize" in pax:
            numbers = [self._decimal(value, "sparse map") for _, value in pairs]
            real = self._real_size(pax)
        else:
            return
        fragments = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        end = stored = 0
        for offset, length in fragments:
            if offset < end or offset + length > real:
                raise self._corrupt(f"entry {shown(entry.name)} has a sparse map that overlaps or exceeds its size")
            end, stored = offset + length, stored + length
        if len(numbers) % 2 or stored > self._data:
            raise self._corrupt(f"entry {shown(entry.name)} has a sparse map that does not fit its data")
        entry.size, entry.fragments = real, fragments

    def _real_size(self, pax: dict[bytes, bytes]) -> int:
        return self._decimal(pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size") or b"", "sparse size")

    def _old_map(self, header: bytes) -> tuple[list[int], int]:
        real = self._number(header, 483, 12, "sparse size")
        numbers = self._map_fields(header, 386, 4)
        extended = header[482]
        while extended:
            block = self._exactly(BLOCK)
            numbers += self._map_fields(block, 0, 21)
            extended = block[504]
            if len(numbers) > 2 * MOST_FRAGMENTS:
                raise self._corrupt(f"a sparse file of more than {MOST_FRAGMENTS} pieces")
        return numbers, real

    def _map_fields(self, block: bytes, start: int, count: int) -> list[int]:
        numbers: list[int] = []
        for place in range(start, start + 24 * count, 24):
            if not block[place]:
                break
            numbers += (self._number(block, place, 12, "sparse map"), self._number(block, place + 12, 12, "sparse map"))
        return numbers

    def _leading_map(self, entry: Entry) -> list[int]:
        """The map in front of the data: decimal lines, their number first, filled up to a block."""
        blocks: list[bytes] = []
        lines = 0
        wanted = -1
        while wanted < 0 or lines <= wanted:
            if self._data < BLOCK or len(blocks) * BLOCK > 44 * MOST_FRAGMENTS:
                raise self._corrupt(f"entry {shown(entry.name)} has a damaged sparse map")
            blocks.append(self._exactly(BLOCK))
            self._data -= BLOCK
            lines += blocks[-1].count(b"\n")
            if wanted < 0 and lines:
                wanted = 2 * self._decimal(b"".join(blocks).partition(b"\n")[0], "sparse map")
        return [self._decimal(line, "sparse map") for line in b"".join(blocks).split(b"\n")[1 : wanted + 1]]

    # -- fields -------------------------------------------------------------------------------------------------------

    def _value(self, raw: bytes, what: str) -> int:
        """A number that is not negative, remembered."""
        value = self._number(raw, 0, 8, what)
        if len(self._known) < _MOST_KNOWN:
            self._known[raw] = value
        return value

    def _number(self, block: bytes, start: int, length: int, what: str) -> int:
        value = self._field(block[start : start + length], what)
        if value < 0:
            raise self._corrupt(f"a header whose {what} is negative")
        return value

    def _field(self, raw: bytes, what: str) -> int:
        """Octal digits, or GNU's two's complement behind a set top bit."""
        if raw[0] & 0x80:
            bits = 8 * len(raw) - 1
            value = int.from_bytes(raw, "big") & ((1 << bits) - 1)
            return value - (1 << bits) if raw[0] & 0x40 else value
        text = raw.partition(b"\0")[0].strip(b" ")
        if not text:
            return 0
        try:
            return int(text, 8)
        except ValueError as error:
            raise self._corrupt(f"a header whose {what} is {shown(text)}, expected octal digits") from error

    def _decimal(self, text: bytes, what: str) -> int:
        if not text.isdigit() or len(text) > 19:
            raise self._corrupt(f"a header whose {what} is {shown(text)}, expected a number")
        return int(text)

    def _time(self, text: bytes) -> int:
        whole, _, fraction = text.removeprefix(b"-").partition(b".")
        if not whole.isdigit() or len(whole) > 18 or not (fraction.isdigit() or not fraction):
            raise self._corrupt(f"a header whose mtime is {shown(text)}, expected seconds")
        value = int(whole) * 10**9 + int(fraction[:9].ljust(9, b"0"))
        return -value if text[:1] == b"-" else value

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _more(self) -> bool:
        """Read another piece once the buffer is used up; whether there was one."""
        self._before += len(self._buffer)
        self._at = 0
        self._buffer = self._stream.read(PIECE)
        return bool(self._buffer)

    def _some(self, size: int) -> memoryview:
        """At least one byte and at most `size`."""
        if self._at == len(self._buffer) and not self._more():
            raise self._corrupt(f"it ends early, after {self.position} bytes")
        piece = memoryview(self._buffer)[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _exactly(self, size: int, *, at_end: bool = False) -> bytes:
        """That many bytes; with at_end also none at all."""
        at = self._at
        if at + size <= len(self._buffer):
            self._at = at + size
            return self._buffer[at : at + size]
        if at_end and at == len(self._buffer) and not self._more():
            return b""
        parts: list[memoryview] = []
        while size:
            piece = self._some(size)
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._some(size))

    def _corrupt(self, what: str) -> errors.CorruptData:
        return errors.CorruptData(f"{self._what}: damaged tar: {what}")


def shown(text: bytes) -> str:
    """Foreign bytes for a message: quoted, short, nothing unprintable."""
    short = text if len(text) <= 200 else text[:200] + b"..."
    printable = "".join(
        letter if letter.isprintable() else repr(letter)[1:-1] for letter in short.decode("utf-8", "backslashreplace")
    )
    return f'"{printable}"'
