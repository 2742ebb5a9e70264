"""Snapshots without overlayfs: each container has a copy of its own of all that its layers show.

For hosts whose file system cannot hold an overlay's upper directory (an overlay itself, NFS, FUSE). The first mount copies, later
ones bind: `rw/tree` is the container's root, shown at the mount point, through an idmap where there is a user namespace.

::

    containers/<id>/rw/
    ├── tree/          the copy, with what the container changed in it
    ├── origins        inode numbers and times of what was copied, which spare most of a comparison
    ├── aside/         see `laid`
    └── fresh/         a copy that is not finished
"""

from __future__ import annotations

import array
import os
from collections.abc import Mapping, Sequence

from pouch.kernel import mount
from pouch.spec import errors
from pouch.store import erase, paths, snapshot
from pouch.store.snapshot import copying, difference, grounds, laid, skeleton

_FIELDS = 3
"""Numbers for each file in `origins`: its inode, that of its source, its change time."""


class Native:
    """The snapshotter that copies. Its directories are drawn in `store.paths.Paths`."""

    driver = "native"
    copies = True

    def __init__(self, places: paths.Paths) -> None:
        self._paths = places
        skeleton.ensure(places.skeleton)

    def __repr__(self) -> str:
        return f"Native({self._paths.root!r})"

    def prepare(self, id: str) -> None:
        """See Snapshotter.prepare. The copy comes with the first mount or view."""
        grounds.prepare(self._paths, id)

    def mount(
        self, id: str, layers: Sequence[str], target: str, *, userns_fd: int | None = None, seed: bool = False
    ) -> None:
        """See Snapshotter.mount. As with the overlay, device nodes are dead in a user namespace."""
        stack = self._stack(id, layers)
        if mount.is_mount_point(target):
            raise errors.Conflict(f"container {id}: {target} is mounted already")
        self._copy(id, stack)
        self._laid(id).lift()
        grounds.make(target)
        try:
            if seed:
                self._laid(id).lay(stack, difference.Comparison(self._origins(id)))
            if userns_fd is None:
                mount.bind(self.tree(id), target)
            else:
                mount.idmapped_clone(self.tree(id), target, userns_fd, nodev=True)
        except BaseException:
            self._laid(id).lift()
            raise

    def clear_seed(self, id: str) -> None:
        """See Snapshotter.clear_seed."""
        self._lift(id)
        erase.erase(self._paths.seed(id))
        self.prepare(id)

    def view(self, id: str, layers: Sequence[str]) -> None:
        """See Snapshotter.view."""
        target = self._paths.view(id)
        if mount.is_mount_point(target):
            raise errors.Conflict(f"container {id}: {target} is mounted already")
        self._copy(id, self._stack(id, layers))
        self._lift(id)
        grounds.make(target)
        mount.bind(self.tree(id), target, read_only=True)

    def unview(self, id: str) -> None:
        """See Snapshotter.unview."""
        mount.unmount(self._paths.view(id))
        grounds.forget(self._paths.view(id))

    def unmount(self, id: str) -> None:
        """See Snapshotter.unmount. The seed is lifted out of the copy."""
        for point in (self._paths.view(id), self._paths.rootfs(id)):
            mount.unmount(point)
        self._lift(id)

    def remove(self, id: str) -> None:
        """See Snapshotter.remove."""
        self.unmount(id)
        erase.erase(self._paths.rw(id))
        erase.erase(self._paths.seed(id))

    def changes(self, id: str, layers: Sequence[str]) -> list[snapshot.Change]:
        """See Snapshotter.changes."""
        stack = self._stack(id, layers)
        comparison = difference.Comparison(self._origins(id), self._paths.seed(id), self._laid(id).paths())
        return comparison.changes(self.tree(id), stack)

    def tree(self, id: str) -> str:
        """See Snapshotter.tree."""
        return self._paths.tree(id)

    def seed(self, id: str) -> str:
        """See Snapshotter.seed."""
        return self._paths.seed(id)

    def _stack(self, id: str, layers: Sequence[str]) -> list[str]:
        """All directories of a container's view, top first."""
        grounds.refuse_others(id, self._paths.upper(id), "overlay")
        return [*grounds.layers(self._paths, layers), self._paths.skeleton]

    def _laid(self, id: str) -> laid.Laid:
        return laid.Laid(self.tree(id), self._paths.seed(id), self._paths.rw(id))

    def _lift(self, id: str) -> None:
        if os.path.isdir(self.tree(id)):
            self._laid(id).lift()

    # -- the copy -----------------------------------------------------------------------------------------------------

    def _copy(self, id: str, stack: Sequence[str]) -> None:
        """Make the copy, if it is not there; under another name first, so that it is never there half."""
        if os.path.isdir(self.tree(id)):
            return
        fresh = f"{self._paths.rw(id)}/fresh"
        erase.erase(fresh)
        grounds.make(fresh)
        copy = copying.Copy()
        try:
            copy.tree(stack, fresh)
            self._note(id, copy.origins)
            os.rename(fresh, self.tree(id))
        except BaseException as error:
            erase.erase(fresh)
            if isinstance(error, OSError):
                raise grounds.unavailable(self.tree(id), error) from error
            raise

    def _origins_file(self, id: str) -> str:
        return f"{self._paths.rw(id)}/origins"

    def _note(self, id: str, origins: Mapping[int, copying.Origin]) -> None:
        numbers = array.array("Q")
        for inode, (source, changed) in origins.items():
            numbers.extend((inode, source, changed))
        with open(self._origins_file(id), "wb") as file:
            numbers.tofile(file)

    def _origins(self, id: str) -> dict[int, copying.Origin]:
        """What `_note` wrote; nothing where it is missing or cut: then all is compared."""
        numbers = array.array("Q")
        try:
            with open(self._origins_file(id), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return {}
        whole = _FIELDS * numbers.itemsize
        numbers.frombytes(content[: len(content) // whole * whole])
        return {numbers[at]: (numbers[at + 1], numbers[at + 2]) for at in range(0, len(numbers), _FIELDS)}
