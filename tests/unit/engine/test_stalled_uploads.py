"""Clients that stall in the middle of an archive keep its thread, but not from others that wait for one."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pouch.engine import pools, progress


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.02)


async def stalling(first, go_on):
    """A body that pauses after its first piece."""
    yield first
    await go_on.wait()
    yield b"rest"


async def test_a_silent_client_is_waited_for_while_nobody_else_waits():
    looked, go_on = threading.Event(), asyncio.Event()
    count = 0

    def crowded():
        nonlocal count
        count += 1
        if count == 20:  # silent for twice as long as it may otherwise be
            looked.set()
        return False

    upload = progress.Upload(crowded)
    feeding = asyncio.create_task(upload.feed(stalling(b"first ", go_on)))
    reading = asyncio.create_task(asyncio.to_thread(lambda: upload.read(6) + upload.read(4)))
    await asyncio.to_thread(looked.wait, 30)
    go_on.set()
    assert await reading == b"first rest"
    await feeding


async def test_of_a_crowd_a_silent_client_is_broken_off():
    threads = pools.Pools()
    stalled, never = [], asyncio.Event()
    try:
        for _ in range(pools.UPLOADS):
            upload = progress.Upload(threads.uploads_crowded)
            feeding = asyncio.create_task(upload.feed(stalling(b"x", never)))
            stalled.append((asyncio.create_task(threads.uploads(work_of(upload))), feeding))
        await asyncio.sleep(0)
        assert not threads.uploads_crowded()
        assert await threads.uploads(lambda: "a thread of its own") == "a thread of its own"
        done = [one for one, _ in stalled if one.done()]
        assert done
        for one in done:
            with pytest.raises(TimeoutError, match="others wait"):
                await one
    finally:
        never.set()
        await asyncio.gather(*(one for pair in stalled for one in pair), return_exceptions=True)
        threads.close()


def work_of(upload):
    """Read two pieces."""
    return lambda: (upload.read(1), upload.read(1))
