"""Signals to a container's init, and stopping it step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pouch.engine import record as records
from pouch.kernel import process

KILL = 9
LAST_SECONDS = 10.0
"""How long the end may take after SIGKILL before it is said that it failed."""


def to_init(run: records.Run, number: int) -> None:
    """Send a signal to PID 1 of the container. The pid cannot mean another process: its start time is compared."""
    process.send_signal(run.pid, run.pid_start, number)


async def stop(run: records.Run, timeout: float | None, ended: Awaitable[object]) -> bool:
    """The steps of an orderly stop, each with its share of the timeout (None: without limit), then SIGKILL.

    True when the container has ended.
    """
    waiting = asyncio.ensure_future(ended)
    for step in run.stop:
        to_init(run, step.signal)
        patience = None if timeout is None else timeout * step.share
        if await _done_within(waiting, patience):
            return True
    to_init(run, KILL)
    return await _done_within(waiting, LAST_SECONDS)


async def _done_within(waiting: asyncio.Future[object], seconds: float | None) -> bool:
    done, _ = await asyncio.wait((waiting,), timeout=seconds)
    return bool(done)
