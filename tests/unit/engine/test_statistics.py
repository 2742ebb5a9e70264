"""Samples: one look a second however many watch, what a stopped container answers, and the end."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from support import engine

from pouch.engine import equipment, shelf, statistics
from pouch.engine import pools as thread_pools
from pouch.engine import record as records
from pouch.spec import container, errors, sample

ID = "c0ffee" * 10 + "c0ff"


class Clock:
    """Goes on when the test says so."""

    def __init__(self):
        self.now = 10**18
        self.sleeping = asyncio.Queue()

    def now_ns(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds == 1.0
        woken = asyncio.Event()
        self.sleeping.put_nowait(woken)
        await woken.wait()

    async def tick(self):
        woken = await self.sleeping.get()
        self.now += 10**9
        woken.set()


class Looks:
    """Instead of the kernel: counts how often it is asked."""

    def __init__(self):
        self.count = 0
        self.gone = False

    def __call__(self, run, time, *, with_network):
        self.count += 1
        if self.gone:
            raise errors.NotFound("gone")
        return sample.Reading(time=time, cpu=sample.Cpu(total=self.count * 1000))


@pytest.fixture
def looks(monkeypatch):
    found = Looks()
    monkeypatch.setattr(statistics, "read", found)
    return found


@pytest.fixture
def pools():
    found = thread_pools.Pools()
    yield found
    found.close()


class Containers:
    """A shelf of one."""

    def __init__(self, one):
        self.one = one

    def get(self, ref):
        return self.one


def one_container(*, running=True):
    run = records.Run(pid=1, pid_start=1, monitor_pid=1, monitor_start=1, runtime="crun", cgroups_path="/p/x", stop=())
    record = engine.record(id=ID, name="web", run=run if running else None)
    status = container.Status.RUNNING if running else container.Status.EXITED
    return shelf.Container(record.with_state(status=status))


def bench(pools, *, running=True):
    tools = equipment.Equipment.__new__(equipment.Equipment)
    tools.pools, tools.clock = pools, Clock()
    one = one_container(running=running)
    return statistics.Statistics(tools, Containers(one)), one, tools.clock


async def test_many_clients_make_one_look_a_second(looks, pools):
    numbers, _, clock = bench(pools)
    streams = [await numbers.watch("web") for _ in range(20)]
    first = await asyncio.gather(*(anext(stream) for stream in streams))
    assert {one.now.cpu.total for one in first} == {1000}
    assert {one.before for one in first} == {None}
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await clock.tick()
    second = await asyncio.gather(*waiting)
    assert looks.count == 2
    assert {(one.before.cpu.total, one.now.cpu.total) for one in second} == {(1000, 2000)}
    for stream in streams:
        await stream.aclose()


async def test_nobody_watching_means_no_looks(looks, pools):
    numbers, _, clock = bench(pools)
    stream = await numbers.watch("web")
    await anext(stream)
    await stream.aclose()
    await asyncio.sleep(0)
    assert numbers._meters == {}
    assert looks.count == 1
    assert clock.sleeping.qsize() <= 1


async def test_a_single_sample_has_the_look_before_it(looks, pools):
    numbers, _, clock = bench(pools)
    stream = await numbers.watch("web", stream=False)
    asked = asyncio.ensure_future(anext(stream))
    await clock.tick()
    one = await asked
    assert (one.before.cpu.total, one.now.cpu.total) == (1000, 2000)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_one_shot_does_not_wait(looks, pools):
    numbers, _, _ = bench(pools)
    stream = await numbers.watch("web", stream=False, one_shot=True)
    one = await anext(stream)
    assert (one.before, one.now.cpu.total, looks.count) == (None, 1000, 1)
    await stream.aclose()


async def test_a_stopped_container_answers_at_once_and_empty(looks, pools):
    numbers, _, _ = bench(pools, running=False)
    found = [one async for one in await numbers.watch("web", stream=False)]
    assert found == [sample.Sample(id=ID, name="web")]
    assert looks.count == 0


async def test_a_container_that_stops_and_starts_is_followed(looks, pools):
    numbers, one, clock = bench(pools)
    stream = await numbers.watch("web")
    assert (await anext(stream)).now is not None
    run = one.record.run
    one.record = dataclasses.replace(one.record, run=None).with_state(status=container.Status.EXITED)
    asked = asyncio.ensure_future(anext(stream))
    await clock.tick()
    assert (await asked).now is None
    one.record = dataclasses.replace(one.record, run=run).with_state(status=container.Status.RUNNING)
    asked = asyncio.ensure_future(anext(stream))
    await clock.tick()
    again = await asked
    assert (again.before, again.now.cpu.total) == (None, 2000)
    await stream.aclose()


async def test_the_stream_ends_with_the_container(looks, pools):
    numbers, one, clock = bench(pools)
    stream = await numbers.watch("web")
    await anext(stream)
    asked = asyncio.ensure_future(anext(stream, None))
    one.removed = True
    await clock.tick()
    assert await asked is None
    assert numbers._meters == {}


async def test_one_that_ends_while_it_is_looked_at_is_no_failure(looks, pools):
    numbers, _, _ = bench(pools)
    looks.gone = True
    stream = await numbers.watch("web")
    assert (await anext(stream)).now is None
    await stream.aclose()


async def test_what_fails_is_told_to_who_watches(monkeypatch, pools):
    def read(run, time, *, with_network):
        raise errors.KernelError("read", "x", 5)

    monkeypatch.setattr(statistics, "read", read)
    numbers, _, _ = bench(pools)
    stream = await numbers.watch("web")
    with pytest.raises(errors.KernelError):
        await anext(stream)
    assert numbers._meters == {}
