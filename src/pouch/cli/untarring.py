"""A container's tar into a directory of this host. It is not believed: no name leads out of the directory, no link is followed.

What a container sends may name one path twice, first as a link and then as a directory, or go through `..`: each directory is
opened from the one above it, without following links. A file gets its name when it is whole.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator

from pouch.cli import session
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_PIECE = 1 << 18
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_XATTR = "SCHILY.xattr."
_LONGEST_EXTENSION = 1 << 20
"""Bytes of a header's extension (long names, pax): tarfile reads each whole."""
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Stream(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(target), len(self._rest))
        target[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _Member(tarfile.TarInfo):
    """A header that is looked at before what belongs to it is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See tarfile.TarInfo. Raises CliError."""
        made = super().frombuf(buf, encoding, errors)
        if made.type in _EXTENSIONS and made.size > _LONGEST_EXTENSION:
            raise CliError(f"pouch: the archive has an extended header of {made.size} bytes")
        return made


def unpack(pieces: Iterator[bytes], place: str, rename: tuple[str, str] | None) -> None:
    """Unpack in the directory `place`. rename: the first name of all paths, and what it is to be. Raises CliError."""
    with session.ending(), contextlib.ExitStack() as stack:
        try:
            top = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, top)
            stream = io.BufferedReader(_Stream(pieces), 1 << 20)
            archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r|", errorlevel=2, tarinfo=_Member))
            _Unpacking(top, place, rename).run(archive)
            while stream.read(_PIECE):  # the end of the answer says whether it is whole
                pass
        except OSError as error:
            where = f"{error.filename}: " if isinstance(error.filename, str) else f"{place}: "
            raise CliError(f"pouch: {where}{(error.strerror or str(error)).lower()}") from None
        except tarfile.TarError as error:
            raise CliError(f"pouch: what the daemon sent is no tar archive: {error}") from None
        except (ValueError, OverflowError) as error:  # names with null bytes, times that are none
            raise CliError(f"pouch: what the daemon sent cannot be unpacked: {error}") from None


class _Unpacking:
    """One archive on its way into the directory that is open as `top`."""

    def __init__(self, top: int, place: str, rename: tuple[str, str] | None) -> None:
        self._top = top
        self._place = place
        self._rename = rename
        self._times: list[tuple[list[str], float]] = []

    def run(self, archive: tarfile.TarFile) -> None:
        for member in archive:
            parts = self._parts(member.name)
            if not parts:
                continue  # the directory itself is the user's
            try:
                self._entry(archive, member, parts)
            except OSError as error:
                raise OSError(error.errno, error.strerror, f"{self._place}/{'/'.join(parts)}") from None
        for parts, mtime in reversed(self._times):
            with contextlib.suppress(OSError), self._parent(parts) as above:
                os.utime(parts[-1], (mtime, mtime), dir_fd=above, follow_symlinks=False)

    def _parts(self, name: str) -> list[str]:
        """The names of a path of the archive. Raises CliError for one that leads out."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise CliError(f"pouch: the archive has a path that leads out of it: {name!r}")
        if self._rename is None:
            return parts
        before, after = self._rename
        if before in ("/", "."):
            return [after, *parts]
        if parts[:1] != [before]:
            raise CliError(f"pouch: the archive has a path that was not asked for: {name!r}")
        return [after, *parts[1:]]

    def _entry(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        with self._parent(parts) as above:
            name = parts[-1]
            self._refuse_other_kind(member, above, parts)
            if member.isdir():
                self._directory(member, above, parts)
            elif member.isreg():
                self._file(archive, member, above, name)
            elif member.islnk():
                _replace(above, name, lambda fresh: self._link(member, above, fresh))
            elif member.issym():
                _replace(above, name, lambda fresh: os.symlink(member.linkname, fresh, dir_fd=above))
                os.utime(name, (member.mtime, member.mtime), dir_fd=above, follow_symlinks=False)
            elif not member.isdev():
                raise CliError(f"pouch: the archive has an entry of an unknown kind: {member.name!r}")
            else:
                device = os.makedev(member.devmajor, member.devminor)
                kind = stat.S_IFIFO if member.isfifo() else stat.S_IFBLK if member.isblk() else stat.S_IFCHR
                _replace(above, name, lambda fresh: os.mknod(fresh, kind | member.mode & 0o777, device, dir_fd=above))

    def _refuse_other_kind(self, member: tarfile.TarInfo, above: int, parts: list[str]) -> None:
        try:
            there = stat.S_ISDIR(os.stat(parts[-1], dir_fd=above, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return
        path = f"{self._place.rstrip('/')}/{'/'.join(parts)}"
        if there and not member.isdir():
            raise CliError(f'pouch: cannot overwrite directory "{path}" with non-directory "{self._place}"')
        if not there and member.isdir():
            raise CliError(f'pouch: cannot overwrite non-directory "{path}" with directory "{self._place}"')

    def _directory(self, member: tarfile.TarInfo, above: int, parts: list[str]) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(parts[-1], 0o700, dir_fd=above)
        fd = os.open(parts[-1], _DIRECTORY, dir_fd=above)
        try:
            os.fchmod(fd, member.mode | (0 if os.geteuid() == 0 else stat.S_IRWXU))  # or we could not go on in it
        finally:
            os.close(fd)
        self._times.append((parts, member.mtime))

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo, above: int, name: str) -> None:
        def make(fresh: str) -> None:
            fd = os.open(fresh, _NEW, 0o600, dir_fd=above)
            with open(fd, "wb", buffering=0) as file:
                _copy(archive, member, file)
                os.fchmod(fd, member.mode)
                for key, value in member.pax_headers.items():
                    if key.startswith(_XATTR):
                        with contextlib.suppress(OSError):  # another file system, or another user
                            os.setxattr(fd, key.removeprefix(_XATTR), value.encode("utf-8", "surrogateescape"))
                os.utime(fd, (member.mtime, member.mtime))

        _replace(above, name, make)

    def _link(self, member: tarfile.TarInfo, above: int, fresh: str) -> None:
        target = self._parts(member.linkname)
        with self._parent(target) as beside:
            os.link(target[-1], fresh, src_dir_fd=beside, dst_dir_fd=above, follow_symlinks=False)

    @contextlib.contextmanager
    def _parent(self, parts: list[str]) -> Iterator[int]:
        """The directory that a path is in, made where it is missing."""
        here = os.dup(self._top)
        try:
            for name in parts[:-1]:
                try:
                    inner = os.open(name, _DIRECTORY, dir_fd=here)
                except FileNotFoundError:
                    os.mkdir(name, dir_fd=here)
                    inner = os.open(name, _DIRECTORY, dir_fd=here)
                os.close(here)
                here = inner
            yield here
        finally:
            os.close(here)


def _replace(above: int, name: str, make: Callable[[str], None]) -> None:
    """Make something under another name and give it its own: what a copy that is broken off leaves is what was there."""
    fresh = f".pouch-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        make(fresh)
        os.rename(fresh, name, src_dir_fd=above, dst_dir_fd=above)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=above)
        raise


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, file: io.RawIOBase) -> None:
    """Write a file's data; holes stay holes. The pieces of a sparse file stand in the archive one behind the other."""
    stored = archive.fileobj
    assert stored is not None
    stored.seek(member.offset_data)
    fragments: list[tuple[int, int]] | None = getattr(member, "sparse", None)
    for offset, length in fragments if fragments is not None else [(0, member.size)]:
        file.seek(offset)
        left = length
        while left:
            piece = stored.read(min(_PIECE, left))
            if not piece:
                raise tarfile.ReadError("it ends within a file")
            file.write(piece)
            left -= len(piece)
    file.truncate(member.size)
