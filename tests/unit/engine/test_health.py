"""Asking containers whether they work, with probes that the test answers and a clock that it moves."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import types

from support import engine as values

from pouch.engine import events as buses
from pouch.engine import health as monitoring
from pouch.engine import health_state, shelf
from pouch.engine import record as records
from pouch.kernel import process
from pouch.spec import container, errors, health

SECOND = health.SECOND


class FakeExecs:
    """Exec processes whose ends the test says."""

    def __init__(self):
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.configs = {}
        self.streams = {}
        self.codes = {}
        self.abandoned = []
        self.refuse: Exception | None = None
        self.starting = asyncio.Event()
        self.starting.set()
        self.at_once = self.most = 0

    async def create(self, ref, config):
        if self.refuse is not None:
            raise self.refuse
        id_ = f"e{len(self.configs)}"
        self.configs[id_] = config
        return id_

    async def start(self, id_, detach, size):
        assert (detach, size) == (False, None)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.starting.wait()
        self.at_once -= 1
        self.streams[id_] = asyncio.Queue()
        self.begun.put_nowait(id_)
        queue = self.streams[id_]
        return types.SimpleNamespace(read=queue.get)

    async def get(self, id_):
        return types.SimpleNamespace(exit_code=self.codes.get(id_))

    async def abandon(self, id_):
        self.abandoned.append(id_)


class Setup:
    """A monitor with containers that the test makes up; this process stands for their first ones."""

    def __init__(self):
        self.clock = values.FakeClock()
        self.events = buses.Events(self.clock)
        self.equipment = types.SimpleNamespace(clock=self.clock, events=self.events)
        self.execs = FakeExecs()
        self.written = []
        self.monitor = monitoring.Monitor(self.equipment, self, self.execs)
        self.told = []
        self.events.publish = lambda kind, action, actor, attributes=None: self.told.append(action)

    async def note(self, one, record):
        one.record = record
        self.written.append(record.state.health)

    def container(self, check=None, *, boot=container.Boot.NONE, id=values.ID, shell=()):
        """One that has just been started."""
        check = check or health.Check(test=("CMD-SHELL", "ask"), interval=10 * SECOND, retries=2)
        run = records.Run(
            pid=os.getpid(), pid_start=process.start_time(os.getpid()), monitor_pid=1, monitor_start=1, runtime="crun",
            cgroups_path="/x", stop=(),
        )  # fmt: skip
        record = dataclasses.replace(values.record(id=id), run=run, healthcheck=check, shell=shell)
        record = health_state.begun(record).with_state(
            status=container.Status.RUNNING, boot=boot, started_at="1970-01-12T13:46:30.000000000Z"
        )
        one = shelf.Container(record)
        self.monitor.changed(one)
        return one

    async def settle(self):
        """Let everything happen that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_(self, seconds):
        await self.settle()
        self.clock.advance(seconds)
        await self.settle()

    async def answer(self, code, *pieces):
        """Wait for the next probe, let it say this and end."""
        id_ = await self.execs.begun.get()
        self.execs.codes[id_] = code
        for piece in (*pieces, None):
            self.execs.streams[id_].put_nowait(piece)
        await self.settle()
        return id_


@contextlib.asynccontextmanager
async def monitored():
    found = Setup()
    try:
        yield found
    finally:
        await found.monitor.close()


def known(one):
    return one.record.state.health.status.value, one.record.state.health.failing_streak


async def test_probes_come_each_interval_and_their_answers_make_the_status():
    async with monitored() as setup:
        one = setup.container()
        assert known(one) == ("starting", 0)
        await setup.pass_(9)
        assert setup.execs.configs == {}
        await setup.pass_(1)
        id_ = await setup.answer(0, (1, b"fine\n"), (2, b"quite\n"))
        assert setup.execs.configs[id_].cmd == ("/bin/sh", "-c", "ask")
        assert (known(one), setup.told) == (("healthy", 0), ["health_status: healthy"])
        for streak in (1, 2):
            await setup.pass_(10)
            await setup.answer(7)
            assert known(one)[1] == streak
        assert known(one)[0] == "unhealthy"
        assert setup.told == ["health_status: healthy", "health_status: unhealthy"]
        assert [(probe.exit_code, probe.output) for probe in one.record.state.health.log] == [
            (0, "fine\nquite\n"), (7, ""), (7, ""),
        ]  # fmt: skip


async def test_only_a_change_of_the_status_is_written_to_the_disk():
    async with monitored() as setup:
        setup.container()
        for code in (0, 0, 1, 0, 1, 1, 1):
            await setup.pass_(10)
            await setup.answer(code)
        assert [one.status.value for one in setup.written] == ["healthy", "unhealthy"]


async def test_a_probe_that_takes_too_long_is_killed_and_failed():
    async with monitored() as setup:
        one = setup.container(health.Check(test=("CMD", "x"), interval=SECOND, timeout=3 * SECOND, retries=1))
        await setup.pass_(1)
        id_ = await setup.execs.begun.get()
        setup.execs.streams[id_].put_nowait((1, b"so far"))
        await setup.pass_(2.9)
        assert setup.execs.abandoned == []
        await setup.pass_(0.1)
        (probe,) = one.record.state.health.log
        assert (probe.exit_code, probe.output) == (-1, "Health check exceeded timeout (3s): so far")
        assert (known(one), setup.execs.abandoned) == (("unhealthy", 1), [id_])


async def test_the_interval_begins_when_a_probe_has_ended():
    async with monitored() as setup:
        setup.container()
        await setup.pass_(10)
        id_ = await setup.execs.begun.get()
        await setup.pass_(15)
        setup.execs.codes[id_] = 0
        setup.execs.streams[id_].put_nowait(None)
        await setup.pass_(9)
        assert len(setup.execs.configs) == 1
        await setup.pass_(1)
        assert len(setup.execs.configs) == 2


async def test_output_is_cut_and_a_container_cannot_fill_the_daemon_with_it():
    async with monitored() as setup:
        one = setup.container()
        await setup.pass_(10)
        await setup.answer(0, (1, b"x" * 4000), (1, b"y" * 100_000), (2, b"z"))
        output = one.record.state.health.log[0].output
        assert output == "x" * 4000 + "y" * 96 + "..."
        await setup.pass_(10)
        await setup.answer(0, (1, b"\xff" + b"x" * 4095))
        assert one.record.state.health.log[1].output == "\ufffd" + "x" * 4095


async def test_in_the_start_period_it_is_asked_more_often_and_failures_do_not_count():
    check = health.Check(
        test=("CMD", "x"), interval=30 * SECOND, start_period=60 * SECOND, start_interval=2 * SECOND, retries=1
    )
    async with monitored() as setup:
        one = setup.container(check)
        for number in range(1, 4):
            await setup.pass_(2)
            await setup.answer(1)
            assert (known(one), len(one.record.state.health.log)) == (("starting", 0), number)
        await setup.pass_(2)
        await setup.answer(0)
        assert known(one) == ("healthy", 0)
        await setup.pass_(29)  # the first success ends it
        assert len(setup.execs.configs) == 4
        await setup.pass_(1)
        await setup.answer(1)
        assert known(one) == ("unhealthy", 1)


async def test_a_machine_is_asked_from_when_it_is_up():
    check = health.Check(test=("CMD", "x"), interval=10 * SECOND, start_period=15 * SECOND, start_interval=10 * SECOND)
    async with monitored() as setup:
        one = setup.container(check, boot=container.Boot.STARTING)
        await setup.pass_(60)
        assert (setup.execs.configs, known(one)) == ({}, ("starting", 0))
        one.booted.set()
        await setup.pass_(10)
        await setup.answer(1)
        assert known(one) == ("starting", 0)  # ten seconds after it was up: within the start period
        await setup.pass_(10)
        await setup.answer(1)
        assert known(one) == ("starting", 1)


async def test_a_machine_that_does_not_come_up_is_asked_at_last():
    async with monitored() as setup:
        one = setup.container(boot=container.Boot.STARTING)
        await setup.pass_(monitoring.BOOT_SECONDS)
        await setup.pass_(10)
        await setup.answer(1)
        assert known(one) == ("starting", 1)


async def test_nobody_asks_one_without_a_check():
    async with monitored() as setup:
        for test in ((), ("NONE",), ("CMD",), ("OTHER", "x")):
            one = setup.container(health.Check(test=test))
            assert (one.health_watch, one.record.state.health) == (None, None)


async def test_one_that_stands_still_is_not_asked_and_one_that_goes_on_is():
    async with monitored() as setup:
        one = setup.container()
        await setup.pass_(10)
        id_ = await setup.execs.begun.get()
        one.record = health_state.ended(one.record.with_state(status=container.Status.PAUSED))
        setup.monitor.changed(one)
        await setup.settle()
        assert (setup.execs.abandoned, known(one)) == ([id_], ("unhealthy", 0))
        await setup.pass_(100)
        assert len(setup.execs.configs) == 1
        one.record = one.record.with_state(status=container.Status.RUNNING)
        setup.monitor.changed(one)
        setup.monitor.changed(one)
        await setup.pass_(10)
        await setup.answer(0)
        assert (known(one), len(setup.execs.configs)) == (("healthy", 0), 2)


async def test_the_end_of_the_container_is_no_failure():
    async with monitored() as setup:
        one = setup.container()
        await setup.pass_(10)
        one.record = dataclasses.replace(one.record, run=dataclasses.replace(one.record.run, pid_start=1))
        one.health_watch.cancel()
        one.health_watch = None
        setup.monitor.changed(one)  # its first process is another one's by now
        await setup.pass_(10)
        await setup.execs.begun.get()
        await setup.answer(137)
        assert (known(one), one.record.state.health.log, setup.told) == (("starting", 0), (), [])


async def test_one_that_is_frozen_for_a_commit_is_asked_afterwards():
    async with monitored() as setup:
        one = setup.container()
        one.record = dataclasses.replace(one.record, intent=records.Intent.COMMIT)
        await setup.pass_(10)
        await setup.pass_(1)
        assert setup.execs.configs == {}
        one.record = dataclasses.replace(one.record, intent=records.Intent.NONE)
        await setup.pass_(1)
        await setup.answer(0)
        assert known(one) == ("healthy", 0)


async def test_what_cannot_be_run_is_a_failure_that_says_why():
    async with monitored() as setup:
        one = setup.container()
        setup.execs.refuse = errors.StartFailed("exec: x: not found", exit_code=127)
        await setup.pass_(10)
        (probe,) = one.record.state.health.log
        assert (probe.exit_code, probe.output, known(one)) == (-1, "exec: x: not found", ("starting", 1))


async def test_one_that_a_new_daemon_finds_keeps_its_status_and_its_moment():
    async with monitored() as setup:
        one = setup.container(id="80000000" + "0" * 56)
        one.stop_watching_health()
        one.adopted = True
        one.record = one.record.with_state(health=health.Health(status=health.Status.HEALTHY, failing_streak=1))
        setup.monitor.changed(one)
        await setup.pass_(4.9)
        assert (setup.execs.configs, known(one)) == ({}, ("healthy", 1))
        await setup.pass_(0.1)  # half of its interval, by its id
        await setup.answer(1)
        assert (known(one), setup.told) == (("unhealthy", 2), ["health_status: unhealthy"])


async def test_no_more_than_some_are_started_at_a_time():
    async with monitored() as setup:
        setup.execs.starting.clear()
        for number in range(30):
            setup.container(id=f"{number:064x}")
        await setup.pass_(10)
        assert setup.execs.most == monitoring.AT_ONCE
        setup.execs.starting.set()
        for _ in range(30):
            await setup.answer(0)
        assert setup.told == ["health_status: healthy"] * 30


def test_what_a_start_knows():
    check = health.Check(test=("CMD", "x"))
    probe = health.Probe(start="a", end="b", exit_code=1, output="")
    before = dataclasses.replace(values.record(), healthcheck=check).with_state(
        health=health.Health(status=health.Status.UNHEALTHY, failing_streak=9, log=(probe,))
    )
    assert health_state.begun(before).state.health == health.Health(log=(probe,))
    assert health_state.begun(dataclasses.replace(before, healthcheck=None)).state.health is None
    assert health_state.ended(values.record()).state.health is None
