"""Reading tar streams: ustar, pax and GNU, with everything a layer may hold.

Not the standard library's tarfile: names stay bytes, times keep their nanoseconds, extended attributes any value, and what contradicts
the format is an error instead of the end of the archive. Sources: pax(1) of POSIX.1-2008, tar(5) of libarchive, and the
GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pouch.image import Readable
from pouch.spec import errors

BLOCK = 512
PIECE = 1 << 20
LONGEST_HEADER = 1 << 20
"""Bytes of a pax header or a long name."""
MOST_FRAGMENTS = 1 << 16
"""Pieces of a sparse file."""

_TIME = re.compile(rb"(-?)([0-9]{1,18})(?:\.([0-9]*))?")
_XATTR = b"SCHILY.xattr."


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of the archive. mtime in nanoseconds since 1970; size: bytes of the file, holes counted."""

    name: bytes
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    fragments: tuple[tuple[int, int], ...] | None = None
    """Of a sparse file: (offset, length) of the pieces that are stored."""


class Reader:
    """The entries of a stream, in order. The data of one can be read until the next is asked for."""

    def __init__(self, stream: Readable, what: str) -> None:
        """`what` names the archive in errors."""
        self._stream = stream
        self._what = what
        self._data = 0
        """Bytes of the current entry's stored data that are not read yet."""
        self._padding = 0
        self._entry: Entry | None = None
        self._global: dict[bytes, bytes] = {}
        self.position = 0
        """Bytes of the stream that were read."""

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            self._entry = entry
            yield entry

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """The current file's data: offset in the file and bytes, at most PIECE at once; holes are left out."""
        entry = self._entry
        assert entry is not None
        for offset, length in entry.fragments if entry.fragments is not None else ((0, self._data),):
            done = 0
            while done < length:
                piece = self._some(min(PIECE, length - done))
                self._data -= len(piece)
                yield offset + done, piece
                done += len(piece)

    def drain(self) -> None:
        """Read what follows the end of the archive: it counts for the stream's digest."""
        while piece := self._stream.read(PIECE):
            self.position += len(piece)

    # -- entries ------------------------------------------------------------------------------------------------------

    def _next(self) -> Entry | None:
        """The next entry, or None at the end of the archive."""
        pax: dict[bytes, bytes] = {}
        sparse: list[tuple[bytes, bytes]] = []
        long_name = long_link = b""
        while True:
            self._skip(self._data)
            # some programs leave the last entry's padding out, so the end may come there too
            header = self._header() if self._passed(self._padding) else None
            self._data = self._padding = 0
            if header is None:
                if pax or long_name or long_link:
                    raise self._corrupt("it ends between an entry's headers")
                return None
            size = self._number(header, 124, 12, "size")
            kind = header[156:157]
            if kind in b"xgXLK":
                body = self._special(size)
                if kind == b"g":
                    self._global.update(self._records(body, []))
                elif kind in b"xX":
                    pax = self._records(body, sparse)
                elif kind == b"L":
                    long_name = body.partition(b"\0")[0]
                else:
                    long_link = body.partition(b"\0")[0]
                continue
            if kind == b"V":  # a volume's label
                self._skip(size + -size % BLOCK)
                continue
            return self._made(header, kind, size, self._global | pax, sparse, long_name, long_link)

    def _made(
        self,
        header: bytes,
        kind: bytes,
        size: int,
        pax: dict[bytes, bytes],
        sparse: list[tuple[bytes, bytes]],
        long_name: bytes,
        long_link: bytes,
    ) -> Entry:
        name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or long_name or self._name(header)
        link = pax.get(b"linkpath") or long_link or _text(header, 157, 100)
        self._check_text(name, "name")
        self._check_text(link, "link")
        found = _KINDS.get(kind)
        if found is None:
            raise self._corrupt(f"entry {shown(name)} is of the unknown type {shown(kind)}")
        if found is Kind.FILE and kind != b"S" and name.endswith(b"/"):
            found = Kind.DIRECTORY  # as old archives mark them
        if b"size" in pax:
            size = self._decimal(pax[b"size"], "size")
        if _KINDS[kind] is not Kind.FILE:
            size = 0  # only files have data, whatever the header says
        entry = Entry(
            name=name,
            kind=found,
            mode=self._number(header, 100, 8, "mode") & 0o7777,
            uid=self._decimal(pax[b"uid"], "uid") if b"uid" in pax else self._number(header, 108, 8, "uid"),
            gid=self._decimal(pax[b"gid"], "gid") if b"gid" in pax else self._number(header, 116, 8, "gid"),
            mtime=self._time(pax[b"mtime"]) if b"mtime" in pax else self._signed(header, 136, 12, "mtime") * 10**9,
            size=size if found is Kind.FILE else 0,
            link=link,
            device=(self._number(header, 329, 8, "major"), self._number(header, 337, 8, "minor"))
            if found in (Kind.CHARACTER, Kind.BLOCK)
            else (0, 0),
            xattrs={key[len(_XATTR) :]: value for key, value in pax.items() if key.startswith(_XATTR)},
        )
        self._data, self._padding = size, -size % BLOCK
        if found is Kind.FILE:
            return self._sparse(entry, header, kind, pax, sparse)
        return entry

    def _header(self) -> bytes | None:
        """The next header block; None at the end."""
        block = self._exactly(BLOCK, at_end=True)
        if not block:
            return None
        if not block.strip(b"\0"):
            return None
        stored = self._number(block, 148, 8, "checksum")
        # old programs summed signed characters
        unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
        if stored != unsigned and stored != unsigned - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127):
            raise self._corrupt(f"no tar header at byte {self.position - BLOCK}")
        return block

    def _name(self, header: bytes) -> bytes:
        name = _text(header, 0, 100)
        if header[257:263] == b"ustar\0" and (prefix := _text(header, 345, 155)):
            return prefix + b"/" + name
        return name

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
            digits, space, _ = body[position : position + 21].partition(b" ")
            if not space or not digits.isdigit():
                break
            end = position + int(digits)
            key, equals, value = body[position + len(digits) + 1 : end - 1].partition(b"=")
            if end > len(body) or end <= position or body[end - 1 : end] != b"\n" or not equals or not key:
                break
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
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
    ) -> Entry:
        """The entry with its map where it is a sparse file, in one of GNU's four ways to store it."""
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
            return entry
        fragments = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        end = stored = 0
        for offset, length in fragments:
            if offset < end or offset + length > real:
                raise self._corrupt(f"entry {shown(entry.name)} has a sparse map that overlaps or exceeds its size")
            end, stored = offset + length, stored + length
        if len(numbers) % 2 or stored > self._data:
            raise self._corrupt(f"entry {shown(entry.name)} has a sparse map that does not fit its data")
        return replace(entry, size=real, fragments=fragments)

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
        text = b""
        wanted = -1
        while wanted < 0 or text.count(b"\n") <= wanted:
            if self._data < BLOCK or len(text) > 44 * MOST_FRAGMENTS:
                raise self._corrupt(f"entry {shown(entry.name)} has a damaged sparse map")
            text += self._exactly(BLOCK)
            self._data -= BLOCK
            if wanted < 0 and b"\n" in text:
                wanted = 2 * self._decimal(text.partition(b"\n")[0], "sparse map")
        return [self._decimal(line, "sparse map") for line in text.split(b"\n")[1 : wanted + 1]]

    # -- fields -------------------------------------------------------------------------------------------------------

    def _number(self, block: bytes, start: int, length: int, what: str) -> int:
        value = self._signed(block, start, length, what)
        if value < 0:
            raise self._corrupt(f"a header whose {what} is negative")
        return value

    def _signed(self, block: bytes, start: int, length: int, what: str) -> int:
        """Octal digits, or GNU's two's complement behind a set top bit."""
        raw = block[start : start + length]
        if raw[0] & 0x80:
            value = int.from_bytes(raw, "big", signed=False) & ((1 << (8 * length - 1)) - 1)
            return value - (1 << (8 * length - 1)) if raw[0] & 0x40 else value
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
        match = _TIME.fullmatch(text)
        if match is None:
            raise self._corrupt(f"a header whose mtime is {shown(text)}, expected seconds")
        value = int(match[2]) * 10**9 + int((match[3] or b"").ljust(9, b"0")[:9])
        return -value if match[1] else value

    def _check_text(self, text: bytes, what: str) -> None:
        if b"\0" in text:
            raise self._corrupt(f"a {what} with a NUL byte: {shown(text)}")

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _some(self, size: int) -> bytes:
        piece = self._stream.read(size)
        if not piece:
            raise self._corrupt(f"it ends early, after {self.position} bytes")
        self.position += len(piece)
        return piece

    def _exactly(self, size: int, *, at_end: bool = False) -> bytes:
        """That many bytes; with at_end also none at all."""
        if size == 0:
            return b""
        data = self._stream.read(size)
        self.position += len(data)
        if len(data) == size or (at_end and not data):
            return data
        parts = [data] if data else []
        missing = size - len(data)
        while missing:
            parts.append(self._some(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _passed(self, padding: int) -> bool:
        """Read over the padding; whether it was there."""
        return not padding or bool(self._exactly(padding, at_end=True))

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._some(min(PIECE, size)))

    def _corrupt(self, what: str) -> errors.CorruptData:
        return errors.CorruptData(f"{self._what}: damaged tar: {what}")


def shown(text: bytes) -> str:
    """Foreign bytes for a message: quoted, short, nothing unprintable."""
    short = text if len(text) <= 200 else text[:200] + b"..."
    printable = "".join(
        letter if letter.isprintable() else repr(letter)[1:-1] for letter in short.decode("utf-8", "backslashreplace")
    )
    return f'"{printable}"'


def _text(block: bytes, start: int, length: int) -> bytes:
    return block[start : start + length].partition(b"\0")[0]
