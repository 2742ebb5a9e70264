"""Signals to a container's init, and stopping it step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pouch.engine import record as records
from pouch.kernel import process

KILL = 9
TERM = 15
LAST_SECONDS = 10.0
"""How long the end may take after SIGKILL before it is said that it failed."""


def to_init(run: records.Run, number: int) -> None:
    """Send a signal to PID 1 of the container. The pid cannot mean another process: its start time is compared."""
    process.send_signal(run.pid, run.pid_start, number)


async def stop(
    run: records.Run,
    timeout: float | None,
    ended: Awaitable[object],
    end_app: Callable[[], Awaitable[None]],
    sent: Callable[[int], None],
    *,
    first: int | None = None,
) -> bool:
    """The steps of an orderly stop, each with its share of the timeout (None: without limit), then SIGKILL; `sent` is told each.

    A machine gets its grace besides, for its services; what is left of the app when the timeout is over is ended by `end_app`.
    first: the signal of the first step, instead of the container's own. True when the container has ended.
    """
    waiting = asyncio.ensure_future(ended)
    limit = None if timeout is None else timeout + run.stop_grace
    left = timeout if run.stop_grace else None
    """Seconds until the app's own time is up; None where it has none or is over."""
    for place, step in enumerate(run.stop):
        number = step.signal if first is None or place else first
        to_init(run, number)
        sent(number)
        patience = None if limit is None else limit * step.share
        if patience is not None and left is not None and left < patience:
            if await _done_within(waiting, left):
                return True
            await end_app()
            patience, left = patience - left, None
        if await _done_within(waiting, patience):
            return True
        left = None if left is None or patience is None else left - patience
    to_init(run, KILL)
    sent(KILL)
    return await _done_within(waiting, LAST_SECONDS)


async def _done_within(waiting: asyncio.Future[object], seconds: float | None) -> bool:
    done, _ = await asyncio.wait((waiting,), timeout=seconds)
    return bool(done)
