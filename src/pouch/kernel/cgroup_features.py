"""Which limits this host's control groups know: controllers alone do not tell, as kernels are built, and booted, with parts of them.

v1 shows it by the files at a hierarchy's root; v2's root has most of them not, so there the first group below it is asked.
"""

from __future__ import annotations

import contextlib
import enum
import os

from pouch.kernel import cgroup


class Limit(enum.StrEnum):
    """What a group can be limited in."""

    SWAP = "swap"
    SWAPPINESS = "swappiness"
    OOM_KILL_DISABLE = "oom-kill-disable"
    REALTIME = "realtime"
    WEIGHT = "weight"
    WEIGHT_DEVICE = "weight-device"
    READ_BPS = "read-bps"
    WRITE_BPS = "write-bps"
    READ_IOPS = "read-iops"
    WRITE_IOPS = "write-iops"


# In v1 crun writes no file of BFQ.
_V1 = {
    Limit.SWAP: ("memory", ("memory.memsw.limit_in_bytes",)),
    Limit.SWAPPINESS: ("memory", ("memory.swappiness",)),
    Limit.OOM_KILL_DISABLE: ("memory", ("memory.oom_control",)),
    Limit.REALTIME: ("cpu", ("cpu.rt_runtime_us",)),
    Limit.WEIGHT: ("blkio", ("blkio.weight",)),
    Limit.WEIGHT_DEVICE: ("blkio", ("blkio.weight_device",)),
    Limit.READ_BPS: ("blkio", ("blkio.throttle.read_bps_device",)),
    Limit.WRITE_BPS: ("blkio", ("blkio.throttle.write_bps_device",)),
    Limit.READ_IOPS: ("blkio", ("blkio.throttle.read_iops_device",)),
    Limit.WRITE_IOPS: ("blkio", ("blkio.throttle.write_iops_device",)),
}
_V2 = {
    Limit.SWAP: ("memory", ("memory.swap.max",)),
    Limit.WEIGHT: ("io", ("io.weight", "io.bfq.weight")),
    Limit.WEIGHT_DEVICE: ("io", ("io.bfq.weight",)),
    Limit.READ_BPS: ("io", ("io.max",)),
    Limit.WRITE_BPS: ("io", ("io.max",)),
    Limit.READ_IOPS: ("io", ("io.max",)),
    Limit.WRITE_IOPS: ("io", ("io.max",)),
}
_TO_BE_SEEN = frozenset({Limit.WEIGHT_DEVICE})
"""Known only where its file is there: runtimes write a device's weight for BFQ alone, which may not be loaded; crun 1.8 fails then."""


def lacking(*, layout: cgroup.Layout | None = None) -> frozenset[Limit]:
    """Limits that no hierarchy has."""
    return frozenset(Limit) - known(layout=layout)


def known(*, layout: cgroup.Layout | None = None) -> frozenset[Limit]:
    """Limits that some hierarchy has."""
    found: set[Limit] = set()
    for hierarchy in (layout or cgroup.current()).hierarchies:
        if hierarchy.unified:
            found |= _unified(hierarchy.point)
        else:
            files = _names(hierarchy.point)
            found |= {
                limit
                for limit, (controller, names) in _V1.items()
                if controller in hierarchy.controllers and not files.isdisjoint(names)
            }
    return frozenset(found)


def _unified(point: str) -> set[Limit]:
    """By the files of a group that has the controller; where none has it yet, a controller is taken to be whole."""
    with contextlib.suppress(OSError), open(f"{point}/cgroup.controllers", encoding="ascii") as file:
        controllers = file.read().split()
        seen: dict[str, frozenset[str]] = {}
        for group in _groups(point):
            files = _names(group)
            for name in controllers:
                if any(file.startswith(f"{name}.") and file != f"{name}.pressure" for file in files):
                    seen.setdefault(name, files)
        return {
            limit
            for limit, (controller, names) in _V2.items()
            if controller in controllers
            and (limit not in _TO_BE_SEEN if controller not in seen else not seen[controller].isdisjoint(names))
        }
    return set()


def _groups(point: str) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(point) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _names(directory: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))
    except OSError:
        return frozenset()
