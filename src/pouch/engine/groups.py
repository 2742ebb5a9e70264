"""Who makes containers' cgroups, which part of one is the container's own, and where in it a further process may go. Blocking.

A runtime may put a container below the group it was told, where the limits are: crun with systemd makes `pouch-ID.scope/container`. That
inner group is the container's own tree; the init is given it, and what the runtime calls a sub-group (`exec --cgroup`) counts from there.
"""

from __future__ import annotations

import os

from pouch.engine import record as records
from pouch.engine import settings as engine_settings
from pouch.kernel import cgroup
from pouch.spec import errors

_SLICE = ".slice"
_RUNS_SYSTEMD = "/run/systemd/system"
"""There where systemd is PID 1 (sd_booted(3))."""
_BUS = "/run/dbus/system_bus_socket"
"""Where the runtimes ask it for scopes."""


def by_systemd(manager: engine_settings.CgroupManager, parent: str) -> bool:
    """Whether systemd makes them. AUTO: where it is PID 1 on v2, which has one owner for all groups, can be asked, and the parent is its.

    Raises InvalidInput where the daemon's own parent of all containers is none for the manager.
    """
    if manager is engine_settings.CgroupManager.AUTO:
        systemd = cgroup.mode() is cgroup.Mode.V2 and os.path.isdir(_RUNS_SYSTEMD) and os.path.exists(_BUS)
        systemd = systemd and (not parent or parent.endswith(_SLICE))
    else:
        systemd = manager is engine_settings.CgroupManager.SYSTEMD
    told(parent, "x", systemd=systemd)
    return systemd


def told(parent: str, container_id: str, *, systemd: bool) -> str:
    """linux.cgroupsPath of a container, in the form that the cgroup manager wants; parent "": the default one.

    Raises InvalidInput where the parent is none for it, or would lead out of the tree.
    """
    if systemd and parent and not parent.endswith(_SLICE):
        raise errors.InvalidInput(
            f'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice", not "{parent}"'
        )
    path = (
        f"{parent or 'system.slice'}:pouch:{container_id}"
        if systemd
        else f"/{(parent or 'pouch').strip('/')}/{container_id}"
    )
    cgroup.path_of(path)
    return path


def of_created(cgroups_path: str, pid: int) -> str:
    """Where below its group the runtime has put a container that is created and does not run yet; "" for the group itself."""
    try:
        return cgroup.below(cgroups_path, pid)
    except errors.NotFound:  # no hierarchy to find it by (v1 without name=systemd), or it has died: its start will tell
        return ""


def path(run: records.Run) -> str:
    """The container's own group, as an OCI cgroupsPath."""
    return f"{cgroup.path_of(run.cgroups_path)}/{run.inner_group}".rstrip("/")


def of_init(run: records.Run) -> str:
    """Where below the container's own group its init sits: on v2 a process may not join a group that has become a tree (EBUSY).

    "" is the container's own.
    """
    if cgroup.mode() is not cgroup.Mode.V2:
        return ""
    try:
        return cgroup.below(path(run), run.pid)
    except errors.NotFound:  # it ends just now
        return ""
