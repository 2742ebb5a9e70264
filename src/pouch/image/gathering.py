"""A container's files as a tar, from inside of it: runs only in the visiting process (`image.visitor`), behind whose root there are no devices.

There is no /proc to open a descriptor anew by, so a file is opened by its name a second time; that it is the file that was looked at is
compared afterwards, and nothing that took its place meanwhile can be a device that does something when it is opened.
"""

from __future__ import annotations

import os
import stat

from pouch.image import packing, tar, tarwriter
from pouch.spec import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DEEPEST = 900
"""Directories within each other that are packed: each holds a descriptor."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Gatherer(packing.Packer):
    """Packs what a path leads to and all below it."""

    def __init__(self, writer: tarwriter.Writer, warn: packing.Warn, hidden: Collection[int]) -> None:
        """hidden: devices (stat(2)) of file systems whose files are none; a directory of one is packed as an empty one."""
        super().__init__(writer, warn)
        self._hidden = frozenset(hidden)
        self._at: tuple[bytes, int | None] = (b"/", None)
        """By what name and from where the file that is packed was looked up."""

    def gather(self, path: bytes, base: bytes) -> None:
        """Pack what `path` leads to, under the name `base`. Raises KernelError; InvalidInput for what is too deep."""
        names: list[list[bytes]] = []
        prefix: list[bytes] = [base.rstrip(b"/")]
        held: list[int] = []
        try:
            self._enter(self._top(path, prefix[0]), held, names)
            while held:
                if not names[-1]:
                    os.close(held.pop())
                    names.pop()
                    prefix.pop()
                    continue
                name = names[-1].pop()
                inner = self.add(prefix[-1] + b"/" + name, name, held[-1])
                if inner >= 0:
                    prefix.append(prefix[-1] + b"/" + name)
                    self._enter(inner, held, names)
        finally:
            for fd in held:
                os.close(fd)

    def add(self, path: bytes, name: bytes, above: int | None = None) -> int:
        """See Packer.add."""
        self._at = name, above
        try:
            return super().add(path, name, above)
        except errors.KernelError as error:
            if error.errno in packing.GONE:  # since it was looked at
                return -1
            raise

    def _top(self, path: bytes, base: bytes) -> int:
        """The path as it stands: a slash at its end follows a link."""
        if not path.endswith((b"/", b"/.")):
            return self.add(base, path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise packing.failed("open", path, error) from error
        try:
            self._directory(base, fd, os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _enter(self, fd: int, held: list[int], names: list[list[bytes]]) -> None:
        if fd < 0:
            return
        held.append(fd)
        if len(held) > DEEPEST:
            raise errors.InvalidInput(f"its directories are nested more than {DEEPEST} deep")
        names.append(sorted(map(os.fsencode, os.listdir(fd)), reverse=True))

    def _opened(self, path: bytes, seen: int) -> int:
        status = os.fstat(seen)
        if self._at[1] is None or status.st_dev not in self._hidden:
            return super()._opened(path, seen)
        if stat.S_ISDIR(status.st_mode):
            self._writer.add(
                tarwriter.Entry(
                    name=path,
                    kind=tar.Kind.DIRECTORY,
                    mode=stat.S_IMODE(status.st_mode),
                    uid=status.st_uid,
                    gid=status.st_gid,
                    mtime=status.st_mtime_ns,
                )
            )
        return -1

    def _reopened(self, seen: int) -> int:
        """Raises FileNotFoundError where something else has the name by now."""
        name, above = self._at
        fd = os.open(name, _AGAIN, dir_fd=above)
        if not os.path.samestat(os.fstat(fd), os.fstat(seen)):
            os.close(fd)
            raise FileNotFoundError(2, "replaced while it was read", os.fsdecode(name))
        return fd

    def _node_xattrs(self, path: bytes, seen: int) -> Mapping[bytes, bytes]:
        return {}
