"""Asks containers whether they work, as their healthchecks say (Docker's semantics; `spec.health` has the rules).

A probe is an exec process, with its events. Between probes a container costs a timer. What probes find is in the record that is in
memory; it is written when the status changes, so a daemon that starts again knows the status, and counts failures anew.

A rich container's machine is not asked before it is up: its start period begins there.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Coroutine

from pouch.engine import clock as clocks
from pouch.engine import equipment as tools
from pouch.engine import events, execs, shelf, views
from pouch.engine import record as records
from pouch.engine import tasks as beside
from pouch.kernel import process
from pouch.spec import container, errors, health

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Probes that are being started; one that waits for its turn is late, its timeout does not run yet."""
START_SECONDS = 30.0
"""A probe that has not begun by then failed."""
BOOT_SECONDS = 300.0
"""A machine that is not up by then is asked nevertheless: it will be found unhealthy."""
COMMIT_SECONDS = 1.0
"""After so long it is looked again whether a commit is over."""
_NANO = 10**9


class Monitor:
    """Watches the containers that have a healthcheck."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, processes: execs.Execs) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._execs = processes
        self._tasks = beside.Tasks()
        self._starting = asyncio.Semaphore(AT_ONCE)

    def changed(self, one: shelf.Container) -> None:
        """Begin or end to ask a container, as its state now says. Idempotent."""
        check, status = one.record.healthcheck, one.record.state.status
        wanted = check is not None and check.probes and status is container.Status.RUNNING
        if not wanted:
            one.stop_watching_health()
        elif check is not None and (one.health_watch is None or one.health_watch.done()):
            one.health_watch = self._tasks.spawn(self._watch(one, check), f"health {one.id[:12]}")

    async def close(self) -> None:
        """Ask nobody any more; probes that run are killed."""
        await self._tasks.close()

    async def _watch(self, one: shelf.Container, check: health.Check) -> None:
        run, clock = one.record.run, self._equipment.clock
        adopted = one.adopted
        known = one.record.state.health or health.Health()
        began = clock.monotonic() - (self._age(one) if adopted else 0.0)
        if not one.booted.is_set():
            await _either(one.booted.wait(), clock.sleep(BOOT_SECONDS))
            began = clock.monotonic()
        pause = _pause(known, check, clock.monotonic() - began)
        # Of many that a new daemon has found running, each gets its own moment.
        await clock.sleep(pause * int(one.id[:8], 16) / 2**32 if adopted else pause)
        while run is not None:
            while one.record.intent is records.Intent.COMMIT:  # it is frozen for as long as its files are read
                await clock.sleep(COMMIT_SECONDS)
            begin_ns, begin = clock.now_ns(), clock.monotonic()
            code, output = await self._probe(one, check)
            if not one.running or (code != 0 and not process.is_alive(run.pid, run.pid_start)):
                return  # it was the container's end that the probe has seen
            probe = health.Probe(
                start=clocks.rfc3339(begin_ns), end=clocks.rfc3339(clock.now_ns()), exit_code=code, output=output
            )
            in_start_period = begin - began < check.start_period / _NANO
            before, known = known.status, health.after(known, probe, check, in_start_period=in_start_period)
            await self._note(one, known, told=known.status is not before)
            await clock.sleep(_pause(known, check, clock.monotonic() - began))

    def _age(self, one: shelf.Container) -> float:
        """Seconds since its start, by the wall clock."""
        started = dt.datetime.fromisoformat(one.record.state.started_at).timestamp()
        return max(0.0, self._equipment.clock.now_ns() / _NANO - started)

    async def _note(self, one: shelf.Container, known: health.Health, *, told: bool) -> None:
        record = one.record.with_state(health=known)
        if not told:
            one.record = record
            return
        events.of_container(self._equipment.events, record, f"health_status: {known.status.value}")
        await self._shelf.note(one, record)

    async def _probe(self, one: shelf.Container, check: health.Check) -> tuple[int, str]:
        """Its exit code and what it wrote."""
        nanoseconds = check.timeout or health.TIMEOUT
        words = health.argv(check, one.record.shell)
        try:
            id_ = await self._execs.create(one.id, container.ExecConfig(cmd=words))
        except errors.PouchError as error:
            return -1, str(error)
        kept = bytearray()
        try:
            async with self._starting, asyncio.timeout(START_SECONDS):
                streams = await self._execs.start(id_, False, None)
            assert streams is not None
            if not await _either(_read(streams, kept), self._equipment.clock.sleep(nanoseconds / _NANO)):
                said = f": {_text(kept)}" if kept else ""
                return -1, f"Health check exceeded timeout ({health.duration(nanoseconds)}){said}"
            code = (await self._execs.get(id_)).exit_code
            return (-1, "the probe has no exit code") if code is None else (code, _text(kept))
        except TimeoutError:
            return -1, f"timed out starting health check for container {one.id}"
        except errors.PouchError as error:
            return -1, str(error)
        finally:
            await self._execs.abandon(id_)


def _pause(known: health.Health, check: health.Check, age: float) -> float:
    """Seconds until the next probe; age: seconds since the start period began."""
    if known.status is health.Status.STARTING and age < check.start_period / _NANO:
        return (check.start_interval or health.START_INTERVAL) / _NANO
    return (check.interval or health.INTERVAL) / _NANO


async def _read(streams: views.Stdio, kept: bytearray) -> None:
    """Both streams until the end; one byte more than what is shown is kept, to know that there was more."""
    while (piece := await streams.read()) is not None:
        kept += piece[1][: health.OUTPUT_BYTES + 1 - len(kept)]


def _text(kept: bytearray) -> str:
    text = kept[: health.OUTPUT_BYTES].decode(errors="replace")
    return text + "..." if len(kept) > health.OUTPUT_BYTES else text


async def _either(first: Coroutine[object, object, object], second: Coroutine[object, object, object]) -> bool:
    """Whether the first one ended, and not the second; the other is cancelled. What the first raises is raised."""
    one, other = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.wait((one, other), return_when=asyncio.FIRST_COMPLETED)
    finally:
        one.cancel()
        other.cancel()
    if one.done() and not one.cancelled():
        one.result()
        return True
    return False
