"""A tar that a client puts into a directory of a container: runs only in the visiting process, whose root directory that is by then.

Unlike a layer's tar it has no names that mean deletions, what it does not mention stays as it is, and directories get new times as
they do when anybody writes to them. What is in the way of an entry is replaced, as Docker does (`docker cp`).
"""

from __future__ import annotations

import os
import stat

from pouch.image import apply, tar
from pouch.spec import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

Owner = tuple[int, int]


class Putter(apply.Applier):
    """Writes a tar below the process's root directory."""

    def __init__(
        self,
        warn: Callable[[str], None],
        place: bytes,
        *,
        keep_kinds: bool = False,
        owner: Owner | None = None,
        known: Callable[[int, int], bool] = lambda uid, gid: True,
    ) -> None:
        """place: where the directory is, for messages. owner: of all that is written, instead of what the tar says.

        keep_kinds: a directory never takes the place of something else, nor something else that of one. known: whether this process's
        user namespace has these ids; what belongs to others becomes root's.
        """
        super().__init__(layered=False, warn=warn)
        self._place = place.rstrip(b"/")
        self._keep_kinds = keep_kinds
        self._forced = owner
        self._known = known
        self._times = apply.Times(keeps=False)

    def _entry(self, entry: tar.Entry, reader: tar.Reader) -> None:
        try:
            name = apply.clean(entry)
        except errors.CorruptData:
            raise errors.CorruptData(f"invalid entry name {tar.shown(entry.name)}") from None
        if not name and entry.kind is tar.Kind.DIRECTORY:
            return  # the directory itself is the container's
        if self._forced is not None:
            entry.uid, entry.gid = self._forced
        elif not self._known(entry.uid, entry.gid):
            entry.uid = entry.gid = 0
        if self._keep_kinds and name:
            self._refuse_other_kind(entry, b"/" + name)
        super()._entry(entry, reader)

    def _file(self, entry: tar.Entry, path: bytes, reader: tar.Reader, *, alone: bool) -> None:
        """Under another name until it is whole: what a copy that breaks off leaves of a file is what was there."""
        above = path.rpartition(b"/")[0]
        fresh = b"%s/.pouch-%s" % (above, os.urandom(8).hex().encode())
        fd = self._with_parents(entry, fresh, lambda: os.open(fresh, apply.NEW_FILE, 0o600))
        try:
            try:
                apply.write_content(fd, entry, reader)
                self._owner(entry)
                os.fchown(fd, entry.uid, entry.gid)
                os.fchmod(fd, entry.mode)
                if entry.xattrs:
                    self._xattrs(entry, fresh)
                os.utime(fd, ns=(entry.mtime, entry.mtime))
            finally:
                os.close(fd)
            _rename(fresh, path)
        except BaseException:
            os.unlink(fresh)
            raise

    def _is_mark(self, entry: tar.Entry, name: bytes) -> bool:
        return False

    def _drop_attributes(self, entry: tar.Entry, path: bytes) -> None:
        pass

    def _refuse_other_kind(self, entry: tar.Entry, path: bytes) -> None:
        """Raises CorruptData in Docker's sentences: its archive does not fit."""
        try:
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        except OSError:  # what is wrong, if anything, is found by writing
            return
        there, place = tar.shown(path[1:]), tar.shown(self._place or b"/")
        if is_directory and entry.kind is not tar.Kind.DIRECTORY:
            raise errors.CorruptData(f"cannot overwrite directory {there} with non-directory {place}")
        if not is_directory and entry.kind is tar.Kind.DIRECTORY:
            raise errors.CorruptData(f"cannot overwrite non-directory {there} with directory {place}")


def _rename(fresh: bytes, path: bytes) -> None:
    try:
        os.rename(fresh, path)
    except IsADirectoryError:
        apply.remove(path, os.lstat(path))
        os.rename(fresh, path)
