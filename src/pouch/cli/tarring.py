"""Files of this host as a tar, piece by piece."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator

from pouch.cli import command
from pouch.cli.errors import CliError

PIECE = 1 << 18
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
_NODES = (tarfile.CHRTYPE, tarfile.BLKTYPE)
_CAPABILITY = "security.capability"


def pack(path: str, base: str) -> Iterator[bytes]:
    """A path and all below it, under the name `base`; a slash or `/.` at its end follows a link. Raises CliError naming the file.

    Sockets are left out; a file that is cut while it is read is filled up with zeros.
    """
    first: dict[tuple[int, int], str] = {}
    waiting = [(path, base)]
    while waiting:
        place, name = waiting.pop()
        try:
            status = os.lstat(place)
            header = _header(place, name, status, first)
            if header is None:
                continue
            yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            if header.type == tarfile.REGTYPE:
                yield from _content(place, header.size)
            elif header.type == tarfile.DIRTYPE:
                inner = sorted(os.listdir(place), reverse=True)
                waiting += [(f"{place.rstrip('/')}/{each}", f"{name.rstrip('/')}/{each}") for each in inner]
        except OSError as error:
            raise CliError(f"pouch: {place}: {(error.strerror or str(error)).lower()}") from None
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(place: str, name: str, status: os.stat_result, first: dict[tuple[int, int], str]) -> tarfile.TarInfo | None:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    header = tarfile.TarInfo(name)
    header.type = kind
    header.mode = stat.S_IMODE(status.st_mode)
    header.uid, header.gid = status.st_uid, status.st_gid
    header.mtime = status.st_mtime_ns // 10**9
    if kind == tarfile.SYMTYPE:
        header.linkname = os.readlink(place)
    elif kind in _NODES:
        header.devmajor, header.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    elif kind == tarfile.REGTYPE:
        earlier = first.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 else name
        if earlier != name:
            header.type, header.linkname = tarfile.LNKTYPE, earlier
            return header
        header.size = status.st_size
        _capability(place, header)
    return header


def _capability(place: str, header: tarfile.TarInfo) -> None:
    """What makes a program more than its mode says comes along; it cannot be set by a user, nor by us for the container's."""
    try:
        value = os.getxattr(place, _CAPABILITY, follow_symlinks=False)
    except OSError:
        return
    header.pax_headers = {f"SCHILY.xattr.{_CAPABILITY}": value.decode("utf-8", "surrogateescape")}


def _content(place: str, size: int) -> Iterator[bytes]:
    left = size
    with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        while left and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
    if left:
        command.warn(f"pouch: {place} was cut while it was read: its last {left} bytes are zeros")
    while left:
        piece = bytes(min(PIECE, left))
        left -= len(piece)
        yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)
