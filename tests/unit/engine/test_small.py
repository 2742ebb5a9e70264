"""Restart policies, events, attachments, notify messages, log tails, hook documents, the clock's words."""

import asyncio
import dataclasses
import socket

import pytest
from support import engine

from pouch.engine import attachments, boot, clock, events, hooks, restart, signals, tail
from pouch.engine import record as records
from pouch.spec import container


def policy(name, count=0, **state):
    host = container.HostConfig(restart_policy=container.RestartPolicy(name=name, maximum_retry_count=count))
    made = engine.record(host=host)
    return made.with_state(**state) if state else made


@pytest.mark.parametrize(
    ("record", "code", "expected"),
    [
        (policy("no"), 1, False),
        (policy("always"), 0, True),
        (policy("unless-stopped"), 0, True),
        (policy("on-failure"), 0, False),
        (policy("on-failure"), 3, True),
        (policy("on-failure", 2, restart_count=1), 3, True),
        (policy("on-failure", 2, restart_count=2), 3, False),
    ],
)
def test_the_policy_decides_by_exit_code_and_count(record, code, expected):
    assert restart.wanted(record, code) is expected


def test_a_container_stopped_by_its_user_stays_stopped():
    stopped = dataclasses.replace(policy("always"), stopped_by_user=True)
    assert not restart.wanted(stopped, 1)
    assert restart.after_boot(stopped)
    assert not restart.after_boot(dataclasses.replace(policy("unless-stopped"), stopped_by_user=True))


def test_waits_double_up_to_a_minute_and_begin_anew_after_a_steady_run():
    waits = [0.0]
    for _ in range(12):
        waits.append(restart.delay(waits[-1], 0.5))
    assert waits[1:4] == [0.1, 0.2, 0.4]
    assert waits[-1] == 60.0
    assert restart.delay(60.0, 11.0) == 0.1


async def take(stream, count):
    return [await anext(stream) for _ in range(count)]


def test_a_subscriber_gets_what_its_filters_want():
    async def scenario():
        bus = events.Events(engine.FakeClock())
        stream = await bus.subscribe(0, 0, {"type": ["container"], "event": ["die"], "label": ["a=1"]})
        bus.publish("image", "die", "x")
        bus.publish("container", "start", "x", {"a": "1"})
        bus.publish("container", "die", "x", {"a": "2"})
        bus.publish("container", "die", "y", {"a": "1"})
        (found,) = await take(stream, 1)
        await stream.aclose()
        return found

    assert asyncio.run(scenario()).actor == "y"


def test_times_of_events_are_unique_and_since_splits_cleanly():
    async def scenario():
        bus = events.Events(engine.FakeClock())
        for name in "abc":
            bus.publish("container", "start", name)
        everything = [one async for one in await bus.subscribe(1, bus._kept[-1].time_ns, {})]
        later = await bus.subscribe(everything[1].time_ns, 0, {})
        return everything, await take(later, 2)

    everything, later = asyncio.run(scenario())
    assert len({one.time_ns for one in everything}) == len(everything)
    assert [one.actor for one in later] == ["b", "c"]


def test_a_slow_listener_loses_the_oldest_and_not_the_daemons_memory():
    async def scenario():
        bus = events.Events(engine.FakeClock())
        stream = await bus.subscribe(0, 0, {})
        for number in range(events.WAITING + 10):
            bus.publish("container", "start", str(number))
        return (await take(stream, 1))[0].actor

    assert asyncio.run(scenario()) == "10"


def test_closing_the_bus_ends_every_subscription():
    async def scenario():
        bus = events.Events(engine.FakeClock())
        stream = await bus.subscribe(0, 0, {})
        bus.close()
        return [one async for one in stream]

    assert asyncio.run(scenario()) == []


class Stdio:
    def __init__(self):
        self.written, self.closed = b"", False

    async def read(self):
        return None

    async def write(self, data):
        self.written += data

    async def write_eof(self):
        self.written += b"<eof>"

    async def close(self):
        self.closed = True


def test_what_is_typed_before_the_start_reaches_the_process():
    async def scenario():
        waiting, stdio = attachments.Attachments(), Stdio()
        pending = waiting.add()
        writing = asyncio.create_task(pending.write(b"early"))
        await asyncio.sleep(0)

        async def connect():
            return stdio

        await waiting.connect(connect)
        await writing
        return stdio.written, await pending.read()

    assert asyncio.run(scenario()) == (b"early", None)


def test_an_attachment_ends_when_the_start_fails():
    async def scenario():
        waiting = attachments.Attachments()
        pending = waiting.add()
        reading = asyncio.create_task(pending.read())
        await asyncio.sleep(0)
        waiting.abandon()
        return await reading

    assert asyncio.run(scenario()) is None


def test_a_client_that_left_before_the_start_is_not_connected():
    async def scenario():
        waiting, calls = attachments.Attachments(), []
        await waiting.add().close()

        async def connect():
            calls.append(1)
            return Stdio()

        await waiting.connect(connect)
        return calls

    assert asyncio.run(scenario()) == []


def test_notify_messages_are_read_line_by_line_and_rubbish_is_dropped():
    assert boot.parse(b"READY=1\nSTATUS=up\n\xff\n=x\nno equals") == {"READY": "1", "STATUS": "up"}


def test_the_notify_socket_hears_a_process_through_a_path_longer_than_a_sockets_may_be(tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()

    async def scenario():
        heard = asyncio.get_running_loop().create_future()
        listener = boot.NotifySocket(str(deep / "notify"), 0, heard.set_result)
        try:
            import os

            descriptor = os.open(deep, os.O_PATH)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.sendto(b"READY=1", f"/proc/self/fd/{descriptor}/notify")
            os.close(descriptor)
            return await heard
        finally:
            listener.close()

    assert asyncio.run(scenario()) == {"READY": "1"}


def test_a_logs_tail_is_what_was_written_last(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"T stdout F one\nT stderr P tw\nT stderr F o\nT stdout F three\n")
    assert tail.of(str(log), 100) == "one\ntwo\nthree\n"
    assert tail.of(str(log), 6) == "three\n"
    assert tail.of(str(tmp_path / "none"), 10) == ""


def test_hooks_are_told_scalars_in_the_environment():
    document = hooks.state(engine.record(), "stopped", "/b", "/r", exitCode=7, oomKilled=False, logTail="x\n")
    found = hooks.environment(document)
    assert found["POUCH_EXIT_CODE"] == "7"
    assert found["POUCH_OOM_KILLED"] == "false"
    assert found["POUCH_NAME"] == "box"
    assert "POUCH_ANNOTATIONS" not in found


def test_times_have_nanoseconds():
    assert clock.rfc3339(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"


def stopped(monkeypatch, *, timeout, grace, ends_at):
    """What signals.stop did until the container ended at `ends_at`: numbers of signals, and "app" where it asked for the app's end."""
    done, told = [], []

    async def scenario():
        ended = asyncio.get_running_loop().create_future()

        def note(what):
            done.append(what)
            if what == ends_at:
                ended.set_result(None)

        async def end_app():
            note("app")

        monkeypatch.setattr(signals, "to_init", lambda run, number: note(number))
        run = records.Run(
            pid=1, pid_start=1, monitor_pid=1, monitor_start=1, runtime="crun", cgroups_path="/x", stop_grace=grace,
            stop=(records.StopStep(signal=37, share=0.5), records.StopStep(signal=15, share=0.5)),
        )  # fmt: skip
        return await signals.stop(run, timeout, ended, end_app, told.append)

    assert asyncio.run(scenario())
    assert told == [what for what in done if what != "app"]
    return done


def test_an_orderly_stop_takes_its_steps_and_kills_at_the_end(monkeypatch):
    assert stopped(monkeypatch, timeout=0.02, grace=0.0, ends_at=9) == [37, 15, 9]
    assert stopped(monkeypatch, timeout=0.02, grace=0.0, ends_at=15) == [37, 15]


def test_a_machine_outlives_its_apps_time_by_its_grace(monkeypatch):
    assert stopped(monkeypatch, timeout=0.01, grace=0.1, ends_at="app") == [37, "app"]
    assert stopped(monkeypatch, timeout=0.01, grace=0.1, ends_at=9) == [37, "app", 15, 9]
    assert stopped(monkeypatch, timeout=0.04, grace=0.02, ends_at="app") == [37, 15, "app"]
    assert stopped(monkeypatch, timeout=None, grace=0.02, ends_at=37) == [37]
