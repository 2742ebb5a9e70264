"""The visiting program stays for a while after the last visit, and a visit that is given up leaves no process."""

from __future__ import annotations

import asyncio
import threading
import types

import pytest
from support import engine as support

from pouch.engine import pools, visitors
from pouch.spec import errors


class Program:
    """In place of visiting.Visitors."""

    def __init__(self):
        self.said = []

    def close(self):
        self.said.append("closed")


class Visit:
    """In place of visiting.Visit."""

    def __init__(self):
        self.said = []

    def kill(self):
        self.said.append("killed")

    def end(self):
        self.said.append("ended")


def run(test):
    """A test with visitors, their program and the clock."""

    async def inner():
        clock, program, threads = support.FakeClock(), Program(), pools.Pools()
        try:
            made = visitors.Visitors(types.SimpleNamespace(pools=threads, clock=clock), program)
            await test(made, program, clock)
            await made.close()
        finally:
            threads.close()

    asyncio.run(asyncio.wait_for(inner(), 30))


async def settled(done=lambda: True):
    """The loop has come to rest and something is so."""
    for _ in range(1000):
        for _ in range(5):
            await asyncio.sleep(0)
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be so")


def test_the_program_ends_a_while_after_the_last_visit():
    async def test(made, program, clock):
        for _ in range(2):
            await made.start(lambda program: Visit())
        made.left()
        await settled()
        clock.advance(10 * visitors.IDLE_SECONDS)
        await settled()
        assert program.said == []  # one visit goes on
        made.left()
        await settled()
        clock.advance(visitors.IDLE_SECONDS - 1)
        await settled()
        assert program.said == []
        clock.advance(1)
        await settled(lambda: program.said == ["closed"])

    run(test)


def test_another_visit_keeps_the_program():
    async def test(made, program, clock):
        await made.start(lambda program: Visit())
        made.left()
        await settled()
        clock.advance(visitors.IDLE_SECONDS - 1)
        await made.start(lambda program: Visit())
        clock.advance(10 * visitors.IDLE_SECONDS)
        await settled()
        assert program.said == []
        made.left()

    run(test)


def test_a_visit_that_does_not_begin_is_none():
    async def test(made, program, clock):
        def fail(program):
            raise errors.Unavailable("no")

        with pytest.raises(errors.Unavailable):
            await made.start(fail)
        await settled()
        clock.advance(visitors.IDLE_SECONDS)
        await settled(lambda: program.said == ["closed"])

    run(test)


def test_a_visit_that_is_given_up_while_it_begins_is_ended():
    async def test(made, program, clock):
        visit, begins, may = Visit(), threading.Event(), threading.Event()

        def begin(program):
            begins.set()
            assert may.wait(30)
            return visit

        asking = asyncio.create_task(made.start(begin))
        await settled(begins.is_set)
        asking.cancel()
        await settled()
        assert not asking.done()  # what the visit needs is not taken away before it has ended
        may.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert visit.said == ["killed", "ended"]
        await settled()
        clock.advance(visitors.IDLE_SECONDS)
        await settled(lambda: program.said == ["closed"])

    run(test)


def test_the_end_of_the_daemon_ends_the_program_at_once():
    async def test(made, program, clock):
        await made.start(lambda program: Visit())
        made.left()
        await made.close()
        assert program.said == ["closed"]

    run(test)
