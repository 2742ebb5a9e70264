"""Where in a container's cgroup a further process may go. Blocking."""

from __future__ import annotations

from pouch.engine import record as records
from pouch.kernel import cgroup


def of_init(run: records.Run) -> str:
    """Where below the container's cgroup its init sits: on v2 a process may not join a group that has become a tree (EBUSY).

    "" is the container's own.
    """
    if cgroup.mode() is not cgroup.Mode.V2:
        return ""
    own = cgroup.path_of(run.cgroups_path)
    _, found, below = cgroup.process_cgroup(run.pid).partition(own)
    return below.strip("/") if found else ""
