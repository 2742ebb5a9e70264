"""Control groups: which hierarchies there are, whether groups can be made in them, and the hybrid case that crun refuses."""

from __future__ import annotations

import os

from pouch.kernel import cgroup, libc
from pouch.kernel.host.finding import Finding, Level, Place, Probe
from pouch.spec import errors

_PLACE = "/sys/fs/cgroup"
_LIMITS = {
    "memory": "memory",
    "cpu": "cpu shares and quota",
    "cpuset": "which cpus",
    "pids": "number of processes",
}
"""Controllers whose absence users notice, and what then is not limited. io (v2) is blkio in v1."""


def look_at_hierarchies(_place: Place) -> Finding:
    """Mode and controllers, by making a group in each hierarchy."""
    layout = cgroup.current()
    mode = cgroup.mode(layout=layout)
    controllers = cgroup.available_controllers(layout=layout)
    found = f"mode {mode}, controllers {', '.join(sorted(controllers)) or 'none'}"
    refused = [f"{hierarchy.point} ({why})" for hierarchy in layout.hierarchies if (why := _refusal(hierarchy.point))]
    if refused:
        advice = (
            "pouchd needs cgroup hierarchies it can write: inside a container, give that one a private writable cgroup"
        )
        return Finding("cgroup", Level.ERROR, f"{found}; no group can be made in {', '.join(refused)}", advice)
    if mode is cgroup.Mode.V1:
        advice = f"mount one beside the others: mkdir {_PLACE}/unified && mount -t cgroup2 cgroup2 {_PLACE}/unified"
        return Finding(
            "cgroup", Level.WARNING, f"{found}; no cgroup2, which systemd in rich containers works with", advice
        )
    missing = [meaning for name, meaning in _LIMITS.items() if name not in controllers]
    if missing:
        advice = "check the kernel's command line (cgroup_disable=, cgroup_enable=memory) and configuration"
        return Finding("cgroup", Level.WARNING, f"{found}; cannot be limited: {', '.join(missing)}", advice)
    if mode is cgroup.Mode.V2 and not layout.hierarchies[0].guarded:
        advice = f"mount -o remount,nsdelegate {layout.hierarchies[0].point}, and for the next boot in /etc/fstab"
        found += "; mounted without nsdelegate: a machine without a user namespace (--userns host) can lift its limits"
        return Finding("cgroup", Level.WARNING, found, advice)
    return Finding("cgroup", Level.OK, found)


def _refusal(point: str) -> str:
    """Why no group can be made there; "" where it can. A cpuset v1 group needs nothing set as long as nobody enters it."""
    path = f"{point}/pouch-probe-{os.getpid()}"
    try:
        os.mkdir(path)
        os.rmdir(path)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def stray_controllers() -> list[str]:
    """Controllers in the v2 tree of a hybrid host, that crun wants to see in v1."""
    layout = cgroup.current()
    if cgroup.mode(layout=layout) is not cgroup.Mode.HYBRID:
        return []
    with open(f"{cgroup.unified_root(layout=layout)}/cgroup.controllers", encoding="ascii") as file:
        return file.read().split()


def look_at_hybrid(_place: Place) -> Finding:
    """crun refuses a second container while any controller of a hybrid host is in the v2 tree (crun, cgroup-utils.c)."""
    stray = stray_controllers()
    if not stray:
        return Finding("hybrid", Level.OK, "no controller is in the v2 tree of a hybrid host")
    commands = "; ".join(
        f"mkdir -p {_PLACE}/{name} && mount -t cgroup -o {name} cgroup {_PLACE}/{name}" for name in stray
    )
    found = f"{', '.join(stray)} in the v2 tree of a hybrid host: crun refuses to run a second container, runc does not"
    return Finding("hybrid", Level.ERROR, found, f"pouch doctor --fix, or by hand: {commands}", fixable=True)


def mend_hybrid() -> None:
    """Mount each such controller as a v1 hierarchy, as all the others of this host are. Raises KernelError."""
    for name in stray_controllers():
        point = f"{_PLACE}/{name}"
        hint = (
            f"who uses it? it must not be in any cgroup.subtree_control of the v2 tree, and {_PLACE} must be writable"
        )
        try:
            os.makedirs(point, mode=0o755, exist_ok=True)
            libc.mount("cgroup", point, "cgroup", 0, name)
        except OSError as error:
            raise errors.KernelError("mkdir", point, error.errno or 0, hint=hint) from error
        except errors.KernelError as error:
            error.hint = hint
            raise
    cgroup.forget()


PROBES = (
    Probe("cgroup", Level.ERROR, look_at_hierarchies),
    Probe("hybrid", Level.WARNING, look_at_hybrid, mend_hybrid),
)
