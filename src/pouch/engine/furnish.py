"""What can only be done to a process that is created and has not begun: its network, its cgroup, its streams. Blocking."""

from __future__ import annotations

import contextlib
import os
import stat

from pouch.engine import equipment as tools
from pouch.engine import groups, prepare
from pouch.engine import record as records
from pouch.kernel import cgroup
from pouch.network import bridge


def furnish(
    equipment: tools.Equipment, record: records.Record, prepared: prepare.Prepared, base: int | None
) -> records.Record:
    """The record with what came of it. Raises KernelError, NotFound where the process has gone."""
    run = record.run
    assert run is not None
    host = record.config.host
    equipment.filters.learn(equipment.runtime(record.runtime), record.id, prepared.filter_digest)
    if host.network_mode == "bridge":
        endpoint = equipment.bridge.connect(record.id, run.pid, record.state.ip_address)
        record = record.with_state(mac_address=endpoint.mac_address)
    elif host.network_mode == "none":
        bridge.loopback_up(run.pid)
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
