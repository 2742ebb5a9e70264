"""What a run leaves on the host, taken away: after an end, after a start that failed, and at the daemon's start. Idempotent."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import AsyncIterator

from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine import sharing, volumes, wiring
from pouch.kernel import cgroup, mount, process
from pouch.runtime import exits
from pouch.spec import errors

log = logging.getLogger(__name__)


async def run(equipment: tools.Equipment, record: records.Record, *, ended: bool = False) -> None:
    """Processes, cgroup, mounts, files below /run, addresses: each step is tried whatever became of the one before.

    ended: its monitor has told the end of its first process, and with it of the whole pid namespace. The links to bridges are not
    among the steps: the kernel takes them away with the network namespace, and waiting for that costs 12 ms.
    """
    if not (ended and await _gone(equipment, record)):
        async with _going_on(record, "remove the runtime's container"):
            await equipment.runtime(record.runtime).delete(record.id, force=True)
    if record.run is not None:
        async with _going_on(record, "end the monitor"):
            process.send_signal(record.run.monitor_pid, record.run.monitor_start, 9)
    if record.networks:
        async with _going_on(record, "take it from its networks"):
            await equipment.pools.fs(wiring.take_away, equipment, record)
        if record.upgrade is None:  # else they are for the next run
            async with _going_on(record, "give its addresses back"):
                await equipment.pools.db(equipment.database.release_addresses, record.id)
    async with _going_on(record, "remove its cgroup"):
        await equipment.pools.fs(cgroup.remove, _group(equipment, record))
    async with _going_on(record, "take its mounts away"):
        await equipment.pools.fs(_take_away, equipment, record)
    async with _going_on(record, "let go of its volumes"):
        await volumes.unmount(equipment, record)


async def _gone(equipment: tools.Equipment, record: records.Record) -> bool:
    """Do the runtime's part of an orderly end ourselves, without a process: 1 ms for 5. False where it has to be asked after all."""
    runtime = equipment.runtime(record.runtime)
    if not runtime.forgets or sharing.among_others(record.config.host):
        return False
    try:
        await equipment.pools.fs(cgroup.remove, _group(equipment, record))
        await equipment.pools.fs(runtime.forget, record.id)
    except errors.PouchError:
        return False
    return True


def _group(equipment: tools.Equipment, record: records.Record) -> str:
    """Where the run was put: the daemon may have come back with another cgroup manager."""
    return record.run.cgroups_path if record.run is not None else equipment.cgroups_path(record)


def _take_away(equipment: tools.Equipment, record: records.Record) -> None:
    equipment.snapshots.unmount(record.id)
    directory = equipment.paths.container_run(record.id)
    mount.unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)
    exits.forget(equipment.paths.exit_dir, record.id)


@contextlib.asynccontextmanager
async def _going_on(record: records.Record, step: str) -> AsyncIterator[None]:
    try:
        yield
    except errors.PouchError as error:
        log.warning("container %s: could not %s: %s", record.id[:12], step, error)
    except OSError as error:
        log.warning("container %s: could not %s: %s", record.id[:12], step, error)
