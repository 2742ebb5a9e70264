"""Images are flushed soon after they were kept, by nobody's waiting."""

import asyncio
import contextlib
import types

import pytest
from support import engine as values

from pouch.engine import durability
from pouch.spec import errors


class Images:
    """Counts its flushes; `wrong` is raised by the next."""

    def __init__(self):
        self.kept = lambda: None
        self.flushed = 0
        self.wrong = None

    def flush(self):
        self.flushed += 1
        if self.wrong:
            raise self.wrong


class Pools:
    """Threads that are none."""

    async def background(self, work):
        return work()


@contextlib.asynccontextmanager
async def running():
    equipment = types.SimpleNamespace(images=Images(), pools=Pools(), clock=values.FakeClock())
    flusher = durability.Flusher(equipment)
    flusher.start()
    try:
        yield equipment
    finally:
        await flusher.close()


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_was_left_is_flushed_and_then_what_is_kept_all_that_comes_together_once():
    async with running() as equipment:
        images, clock = equipment.images, equipment.clock
        await settle()
        assert images.flushed == 0
        clock.advance(durability.SOON)
        await settle()
        assert images.flushed == 1
        images.kept()
        await settle()
        images.kept()
        clock.advance(durability.SOON)
        await settle()
        assert images.flushed == 2
        clock.advance(1000)
        await settle()
        assert images.flushed == 2


async def test_what_is_kept_during_a_flush_has_the_next_one():
    async with running() as equipment:
        images, clock = equipment.images, equipment.clock
        real = images.flush

        def flush():
            real()
            if images.flushed == 1:
                images.kept()

        images.flush = flush
        await settle()
        for expected in (1, 2):
            clock.advance(durability.SOON)
            await settle()
            assert images.flushed == expected


@pytest.mark.parametrize("wrong", [errors.KernelError("syncfs", "/x", 5), OSError(5, "x")])
async def test_a_flush_that_fails_is_said_and_tried_again(caplog, wrong):
    async with running() as equipment:
        images, clock = equipment.images, equipment.clock
        images.wrong = wrong
        await settle()
        clock.advance(durability.SOON)
        await settle()
        assert "images could not be flushed to the disk" in caplog.text
        images.wrong = None
        for wait in (durability.AGAIN, durability.SOON):
            clock.advance(wait)
            await settle()
        assert images.flushed == 2
