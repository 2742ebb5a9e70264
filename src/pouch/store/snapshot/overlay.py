"""Snapshots on overlayfs.

With a user namespace, two idmapped clones are made, one of the directory of all layers and one of the container's own, and the
overlay stands on paths below them: the cost does not grow with the number of layers. The overlay keeps private clones of both mounts, so
they are taken off at once and one mount per container is all that stays.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence

from pouch.kernel import mount
from pouch.spec import errors
from pouch.store import erase, paths, snapshot
from pouch.store.snapshot import changes, grounds, lowerview, skeleton

_OPTIONS = ("index=off", "metacopy=off", "redirect_dir=off")
"""Upper holds whole files under their own names, whatever the kernel's defaults are: `changes` and `commit` read it."""
MOST_LAYERS = mount.MOST_LAYERS - 2
"""Of an image: the seed or upper, and the skeleton, are two more."""


class Overlay:
    """The snapshotter on overlayfs. Its directories are drawn in `store.paths.Paths`."""

    driver = "overlay2"
    copies = False

    def __init__(self, places: paths.Paths) -> None:
        self._paths = places
        skeleton.ensure(places.skeleton)

    def __repr__(self) -> str:
        return f"Overlay({self._paths.root!r})"

    def prepare(self, id: str) -> None:
        """Make rw/ and seed/. Upper itself comes with the first mount, with the attributes of the image's root directory."""
        grounds.prepare(self._paths, id, self._paths.work(id))

    def mount(
        self, id: str, layers: Sequence[str], target: str, *, userns_fd: int | None = None, seed: bool = False
    ) -> None:
        """See Snapshotter.mount. In a user namespace device nodes of the image are dead (nodev): nobody can make new ones there either."""
        own = self._paths.containers(id)
        below = self._layers(id, layers)
        if mount.is_mount_point(target):
            raise errors.Conflict(f"container {id}: {target} is mounted already")
        self._make_upper(id, below)
        if seed:
            _adopt(os.fsencode(self._paths.seed(id)), lowerview.root(below[:-1]), "")
        grounds.make(target)
        lower = [*([self._paths.seed(id)] if seed else []), *below]
        upper, work = self._paths.upper(id), self._paths.work(id)
        if userns_fd is None:
            mount.overlay(lower, upper, work, target, options=_OPTIONS)
            return
        with contextlib.ExitStack() as stack:
            shown = {
                self._paths.layers: self._clone(id, self._paths.layers, "l", userns_fd, stack),
                own: self._clone(id, own, "c", userns_fd, stack),
            }
            parts = [_below(path, shown) for path in (*lower, upper, work)]
            mount.overlay(parts[:-2], parts[-2], parts[-1], target, options=(*_OPTIONS, "nodev"))

    def clear_seed(self, id: str) -> None:
        """See Snapshotter.clear_seed."""
        erase.erase(self._paths.seed(id))
        self.prepare(id)

    def view(self, id: str, layers: Sequence[str]) -> None:
        """See Snapshotter.view."""
        upper, target = self._paths.upper(id), self._paths.view(id)
        own = [upper] if os.path.isdir(upper) else []
        if mount.is_mount_point(target):
            raise errors.Conflict(f"container {id}: {target} is mounted already")
        grounds.make(target)
        mount.overlay([*own, *self._layers(id, layers)], "", "", target)

    def unview(self, id: str) -> None:
        """See Snapshotter.unview."""
        mount.unmount(self._paths.view(id))
        grounds.forget(self._paths.view(id))

    def unmount(self, id: str) -> None:
        """Take off the overlay at `paths.rootfs(id)` and what a killed daemon may have left of a mount."""
        for point in (self._paths.view(id), self._paths.rootfs(id), *mount.mount_points(self._paths.lower(id))):
            mount.unmount(point)
        lower = self._paths.lower(id)
        for name in ("l", "c"):
            grounds.forget(f"{lower}/{name}")
        grounds.forget(lower)

    def remove(self, id: str) -> None:
        """See Snapshotter.remove."""
        self.unmount(id)
        erase.erase(self._paths.rw(id))
        erase.erase(self._paths.seed(id))

    def changes(self, id: str, layers: Sequence[str]) -> list[snapshot.Change]:
        """See Snapshotter.changes."""
        return changes.compare(self._paths.upper(id), self._layers(id, layers))

    def tree(self, id: str) -> str:
        """See Snapshotter.tree. Upper: metacopy and redirects are off, so each changed file is there whole and under its own name."""
        return self._paths.upper(id)

    def seed(self, id: str) -> str:
        """See Snapshotter.seed."""
        return self._paths.seed(id)

    def _layers(self, id: str, layers: Sequence[str]) -> list[str]:
        """Directories of the layers and the skeleton, top first. Raises Unsupported for more than an overlay takes."""
        grounds.refuse_others(id, self._paths.tree(id), "native")
        if len(layers) > MOST_LAYERS:
            raise errors.Unsupported(
                f"container {id}: its image has {len(layers)} layers, expected at most {MOST_LAYERS}, the limit of the kernel's overlay",
                hint="make one layer of them (export and import), or set snapshotter to native in pouchd.toml",
            )
        return [*grounds.layers(self._paths, layers), self._paths.skeleton]

    def _make_upper(self, id: str, below: Sequence[str]) -> None:
        """Upper as the image's root directory is; made under another name first, so that it is never there half."""
        upper = self._paths.upper(id)
        if os.path.isdir(upper):
            return
        fresh = f"{self._paths.rw(id)}/fresh"
        try:
            grounds.make(fresh)
            os.chmod(fresh, 0o755)
            if len(below) > 1:
                lowerview.copy_attributes(os.fsencode(below[0]), os.fsencode(fresh))
            os.rename(fresh, upper)
        except OSError as error:
            raise grounds.unavailable(upper, error) from error

    def _clone(self, id: str, source: str, name: str, userns_fd: int, stack: contextlib.ExitStack) -> str:
        """An idmapped clone of a directory, which goes with the stack."""
        home = self._paths.lower(id)
        target = f"{home}/{name}"
        grounds.make(home)
        stack.callback(grounds.forget, home)
        grounds.make(target)
        stack.callback(grounds.forget, target)
        mount.idmapped_clone(source, target, userns_fd)
        stack.callback(mount.unmount, target)
        return target


def _below(path: str, shown: dict[str, str]) -> str:
    """The same path below the clone it is in."""
    for source, clone in shown.items():
        if path.startswith(source + "/"):
            return clone + path.removeprefix(source)
    raise AssertionError(f"{path} is in no clone")


def _adopt(seed: bytes, merged: Sequence[bytes], above: str) -> None:
    """Give the seed's directories the attributes of the image's, which they would otherwise change by lying over them.

    Raises Conflict where a seed directory would hide something of the image that is none (a link, say).
    """
    if merged:
        lowerview.copy_attributes(merged[0], seed)
    with os.scandir(seed) as entries:
        directories = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    for entry in directories:
        path = f"{above}/{os.fsdecode(entry.name)}"
        found = lowerview.find(merged, entry.name)
        if found is None:
            continue
        if not stat.S_ISDIR(found.status.st_mode):
            raise errors.Conflict(f"seed directory {path} would hide a file of the image, expected a directory there")
        _adopt(entry.path, found.merged, path)
