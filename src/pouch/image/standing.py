"""The files of a container that does not run, as they would be if it did: mounted in the visiting process's own mount namespace.

Nothing of it is seen by anybody else, and all of it goes with the process, however that ends. What the engine puts into a running
container besides (files in /etc, a machine's units) is not there, as for `commit` and `export`.
"""

from __future__ import annotations

import contextlib
import os

from pouch.kernel import inroot, mount
from pouch.spec import errors
from pouch.store import paths
from pouch.store.snapshot import native, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

Mount = dict[str, object]
"""source, inside (the part of the source, "" for all), target, read_only, recursive."""


def lay(request: dict[str, Any]) -> str:
    """Mount what `visiting.Standing` says; the directory where it is. For a process without other threads."""
    mount.leave_namespace()
    places = paths.Paths(request["root"], request["run"])
    mount.tmpfs(places.run, mode=0o700)  # mount points of ours, and what stands there is hidden
    with contextlib.ExitStack() as stack:
        return _lay(request, places, _found(request["mounts"], stack))


def _found(mounts: Sequence[Mount], stack: contextlib.ExitStack) -> list[Mount]:
    """With parts of volumes as what they lead to now, below the volume's root.

    Those that lead nowhere are left out: so would their container start.
    """
    found = []
    for one in mounts:
        source = str(one["source"])
        if one["inside"]:
            try:
                descriptor = inroot.open_path(source, str(one["inside"]))
            except (errors.NotFound, errors.KernelError):
                continue
            stack.callback(os.close, descriptor)
            source = f"/proc/self/fd/{descriptor}"
        found.append({**one, "source": source})
    return found


def _lay(request: dict[str, Any], places: paths.Paths, mounts: Sequence[Mount]) -> str:
    id, layers = request["id"], request["layers"]
    rootfs = places.rootfs(id)
    if request["driver"] == overlay.Overlay.driver:
        snapshots = overlay.Overlay(places)
        snapshots.prepare(id)
        mount.tmpfs(places.seed(id))
        snapshots.mount(id, layers, rootfs)
        missing = [one for one in mounts if not inroot.exists(rootfs, str(one["target"]))]
        if missing:
            mount.unmount(rootfs, detach=False)
            _make_points(places.seed(id), missing)
            snapshots.mount(id, layers, rootfs, seed=True)
    else:
        copies = native.Native(places)
        copies.prepare(id)
        copies.mount(id, layers, rootfs)
    for one in mounts:
        _bind(rootfs, one)
    return rootfs


def _make_points(seed: str, missing: Sequence[Mount]) -> None:
    """Mount points in a layer of their own, so that they are no change of the container's."""
    for one in missing:
        path = f"{seed}/{str(one['target']).strip('/')}"
        if os.path.isdir(str(one["source"])):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "ab"):
                pass


def _bind(rootfs: str, one: Mount) -> None:
    """A mount whose place is missing still, or is of another kind than what is mounted there, is left out: so would its container start."""
    source, target = str(one["source"]), str(one["target"])
    try:
        place = rootfs + inroot.resolve(rootfs, target)
    except errors.NotFound:
        return
    if os.path.isdir(source) is os.path.isdir(place):
        mount.bind(source, place, recursive=bool(one["recursive"]), read_only=bool(one["read_only"]))
