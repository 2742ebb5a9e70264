"""At the daemon's start: what the records say, compared with what is there.

| record                          | what is done                                                                   |
|---------------------------------|--------------------------------------------------------------------------------|
| runs, and its monitor lives     | adopted: watched again, its log and streams were the monitor's all the while   |
| runs, and its monitor is gone   | finished as if the end had happened now, with the code and time it left behind |
| its volumes were being made     | removed, with those that nobody named: nobody knows its id yet                 |
| a start was begun               | taken back: nothing of it is left, the container is as before                  |
| a commit had frozen it          | it goes on                                                                     |
| an end was begun                | carried on: hooks that are not known to have run, then the taking away         |
| a removal was begun             | carried on                                                                     |
| an upgrade was begun            | see `upgrading`, after all this                                                |
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging

from pouch.engine import cleanup, lifecycle, restart, shelf, upgrading, volumes
from pouch.engine import equipment as tools
from pouch.engine import networks as network_service
from pouch.engine import record as records
from pouch.kernel import process
from pouch.runtime import exits, monitor
from pouch.spec import container, errors

log = logging.getLogger(__name__)


async def recover(
    equipment: tools.Equipment,
    containers: shelf.Shelf,
    life: lifecycle.Lifecycle,
    networks: network_service.Networks,
    upgrades: upgrading.Upgrades,
) -> None:
    """Put every container right; one that cannot be is logged and does not hold up the others."""
    monitor.take_null_back()
    found = await containers.load()
    await networks.restore()
    await volumes.restore(equipment, containers)
    await asyncio.gather(*(_recover_one(equipment, containers, life, upgrades, one) for one in found))


async def _recover_one(
    equipment: tools.Equipment,
    containers: shelf.Shelf,
    life: lifecycle.Lifecycle,
    upgrades: upgrading.Upgrades,
    one: shelf.Container,
) -> None:
    try:
        await _put_right(equipment, containers, life, one)
        if not one.removed:
            async with one.lock:
                await upgrades.resume(one)
    except (errors.PouchError, OSError):
        log.exception("container %s (%s) could not be recovered", one.id[:12], one.record.name)


async def _put_right(
    equipment: tools.Equipment, containers: shelf.Shelf, life: lifecycle.Lifecycle, one: shelf.Container
) -> None:
    record = one.record
    if record.intent is records.Intent.CREATE:
        await life.remove(one, volumes=True)
    elif record.intent is records.Intent.REMOVE:
        await cleanup.run(equipment, record)
        await life.remove(one)
    elif record.intent is records.Intent.START:
        log.warning("container %s: its start was interrupted and is taken back", record.id[:12])
        await _take_back(equipment, containers, one)
    elif one.running and record.run is not None:
        if record.intent is records.Intent.COMMIT:
            await _thaw(equipment, containers, one, record.run)
        await _adopt_or_finish(life, one, record.run)
    elif record.run is not None:
        await life.finish(one, _past(equipment, record))
    elif record.upgrade is None and (record.state.status is container.Status.RESTARTING or restart.after_boot(record)):
        await _start_again(life, one)


async def _take_back(equipment: tools.Equipment, containers: shelf.Shelf, one: shelf.Container) -> None:
    record = one.record
    await cleanup.run(equipment, record)
    state = record.state
    if state.status is not container.Status.CREATED:
        state = dataclasses.replace(state, status=container.Status.EXITED, pid=0, monitor_pid=0)
    await containers.save(one, dataclasses.replace(record, intent=records.Intent.NONE, run=None, state=state))


async def _thaw(equipment: tools.Equipment, containers: shelf.Shelf, one: shelf.Container, run: records.Run) -> None:
    """Let it go on: the commit that had it frozen ended with its daemon. One that is not frozen, or has ended, is fine."""
    try:
        await equipment.runtime(run.runtime).resume(one.id)
    except (errors.Conflict, errors.NotFound):
        log.debug("container %s was not frozen", one.id[:12])
    record = dataclasses.replace(one.record, intent=records.Intent.NONE)
    await containers.note(one, record.with_state(status=container.Status.RUNNING))


async def _adopt_or_finish(life: lifecycle.Lifecycle, one: shelf.Container, run: records.Run) -> None:
    if process.is_alive(run.monitor_pid, run.monitor_start):
        one.adopted = True
        life.supervise(one, life.resume_boot(one))
        life.changed(one)
        if one.record.state.boot is container.Boot.STARTING:
            life.learn_boot(one)
        return
    exit_ = await life.end_of(one, run)
    log.info("container %s ended with code %d while no daemon ran", one.id[:12], exit_.code)
    await life.finish(one, exit_)


def _past(equipment: tools.Equipment, record: records.Record) -> exits.Exit:
    """An end that the record knows already."""
    found = exits.read(equipment.paths.exit_dir, record.id)
    return found or exits.Exit(code=record.state.exit_code, finished_ns=equipment.clock.now_ns())


async def _start_again(life: lifecycle.Lifecycle, one: shelf.Container) -> None:
    async with one.lock:
        try:
            await life.start(one)
        except errors.PouchError as error:
            log.warning("container %s: %s", one.id[:12], error)
