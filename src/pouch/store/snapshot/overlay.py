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
from pouch.store.snapshot import changes, lowerview, skeleton

_OPTIONS = ("index=off", "metacopy=off", "redirect_dir=off")
"""Upper holds whole files under their own names, whatever the kernel's defaults are: `changes` and `commit` read it."""


class Overlay:
    """The snapshotter on overlayfs. Its directories are drawn in `store.paths.Paths`."""

    def __init__(self, places: paths.Paths) -> None:
        self._paths = places
        skeleton.ensure(places.skeleton)

    def __repr__(self) -> str:
        return f"Overlay({self._paths.root!r})"

    def prepare(self, id: str) -> None:
        """Make rw/ and seed/. Upper itself comes with the first mount, with the attributes of the image's root directory."""
        for path, mode in (
            (self._paths.containers(id), 0o711),
            (self._paths.rw(id), 0o700),
            (self._paths.work(id), 0o700),
            (self._paths.seed(id), 0o755),
        ):
            try:
                os.mkdir(path)
                os.chmod(path, mode)
            except FileExistsError:
                continue
            except OSError as error:
                raise _unavailable(path, error) from error

    def mount(
        self, id: str, layers: Sequence[str], target: str, *, userns_fd: int | None = None, seed: bool = False
    ) -> None:
        """See Snapshotter.mount. In a user namespace device nodes of the image are dead (nodev): nobody can make new ones there either."""
        own = self._paths.containers(id)
        top_first = [self._layer(chain) for chain in reversed(layers)]
        if mount.is_mount_point(target):
            raise errors.Conflict(f"container {id}: {target} is mounted already")
        self._make_upper(id, top_first)
        if seed:
            _adopt(os.fsencode(self._paths.seed(id)), lowerview.root(top_first), "")
        _make_directory(target)
        lower = [*([self._paths.seed(id)] if seed else []), *top_first, self._paths.skeleton]
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
        _make_directory(target)
        lower = [*own, *(self._layer(chain) for chain in reversed(layers)), self._paths.skeleton]
        mount.overlay(lower, "", "", target)

    def unview(self, id: str) -> None:
        """See Snapshotter.unview."""
        mount.unmount(self._paths.view(id))
        _forget_directory(self._paths.view(id))

    def unmount(self, id: str) -> None:
        """Take off the overlay at `paths.rootfs(id)` and what a killed daemon may have left of a mount."""
        for point in (self._paths.view(id), self._paths.rootfs(id), *mount.mount_points(self._paths.lower(id))):
            mount.unmount(point)
        lower = self._paths.lower(id)
        for name in ("l", "c"):
            _forget_directory(f"{lower}/{name}")
        _forget_directory(lower)

    def remove(self, id: str) -> None:
        """See Snapshotter.remove."""
        self.unmount(id)
        erase.erase(self._paths.rw(id))
        erase.erase(self._paths.seed(id))

    def changes(self, id: str, layers: Sequence[str]) -> list[snapshot.Change]:
        """See Snapshotter.changes."""
        below = [*(self._layer(chain) for chain in reversed(layers)), self._paths.skeleton]
        return changes.compare(self._paths.upper(id), below)

    def tree(self, id: str) -> str:
        """See Snapshotter.tree. Upper: metacopy and redirects are off, so each changed file is there whole and under its own name."""
        return self._paths.upper(id)

    def seed(self, id: str) -> str:
        """See Snapshotter.seed."""
        return self._paths.seed(id)

    def _layer(self, chain_id: str) -> str:
        path = self._paths.layer(chain_id)
        if not os.path.isdir(path):
            raise errors.NotFound(
                f"No such layer: {chain_id}", hint="the image is damaged: remove it and load it again"
            )
        return path

    def _make_upper(self, id: str, top_first: Sequence[str]) -> None:
        """Upper as the image's root directory is; made under another name first, so that it is never there half."""
        upper = self._paths.upper(id)
        if os.path.isdir(upper):
            return
        fresh = f"{self._paths.rw(id)}/fresh"
        try:
            _make_directory(fresh)
            os.chmod(fresh, 0o755)
            if top_first:
                lowerview.copy_attributes(os.fsencode(top_first[0]), os.fsencode(fresh))
            os.rename(fresh, upper)
        except OSError as error:
            raise _unavailable(upper, error) from error

    def _clone(self, id: str, source: str, name: str, userns_fd: int, stack: contextlib.ExitStack) -> str:
        """An idmapped clone of a directory, which goes with the stack."""
        home = self._paths.lower(id)
        target = f"{home}/{name}"
        _make_directory(home)
        stack.callback(_forget_directory, home)
        _make_directory(target)
        stack.callback(_forget_directory, target)
        mount.idmapped_clone(source, target, userns_fd)
        stack.callback(mount.unmount, target)
        return target


def _below(path: str, shown: dict[str, str]) -> str:
    """The same path below the clone it is in."""
    for source, clone in shown.items():
        if path.startswith(source + "/"):
            return clone + path.removeprefix(source)
    raise AssertionError(f"{path} is in no clone")


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise _unavailable(path, error) from error


def _forget_directory(path: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _unavailable(path: str, error: OSError) -> errors.Unavailable:
    return errors.Unavailable(f"cannot create {path}: {error.strerror}")


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
