"""What can only be done to a process that is created and has not begun: its network, its cgroup, its streams. Blocking."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence

from pouch.engine import endpoints, groups, prepare, wiring
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.kernel import cgroup
from pouch.spec import network


def furnish(
    equipment: tools.Equipment,
    record: records.Record,
    prepared: prepare.Prepared,
    base: int | None,
    members: Sequence[endpoints.Member],
) -> records.Record:
    """The record with what came of it. Raises KernelError, Conflict, NotFound where the process has gone."""
    run = record.run
    assert run is not None
    equipment.filters.learn(equipment.runtime(record.runtime), record.id, prepared.filter_digest)
    kind, _ = network.mode(record.config.host.network_mode)
    if kind not in (network.Mode.HOST, network.Mode.CONTAINER, network.Mode.NAMESPACE):
        record = wiring.plug(equipment, record, members)
    if base is not None or prepared.plan is not None:
        cgroup.delegate(groups.path(run), base or 0, base or 0)
    if prepared.stdio_owner != (0, 0):
        _own_streams(run.pid, prepared.stdio_owner)
    return record


def _own_streams(pid: int, owner: tuple[int, int]) -> None:
    """The app's user must be able to open /dev/stdout anew: pipes are given to it, as Docker does. A terminal is crun's matter."""
    for number in range(3):
        with contextlib.suppress(OSError):
            path = f"/proc/{pid}/fd/{number}"
            if stat.S_ISFIFO(os.stat(path).st_mode):
                os.chown(path, *owner)
