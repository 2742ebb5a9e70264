"""What the daemon does when it is asked to end: containers go on, unless the host ends too."""

import asyncio
import types

import pytest
from support import engine as values

from pouch.engine import containers, engine, lifecycle, shelf, shutdown
from pouch.runtime import child, job
from pouch.spec import container, errors


def answer(monkeypatch, said):
    """Let systemctl say this; an error is raised."""
    asked = []

    async def run(argv, data, *, timeout):
        asked.append(argv)
        if isinstance(said, Exception):
            raise said
        return child.Finished(1, said, b"")

    monkeypatch.setattr(job, "run", run)
    return asked


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"stopping\n", True),
        (b"running\n", False),
        (b"degraded\n", False),
        (b"", False),
        (errors.Unavailable("x"), False),
    ],
)
async def test_the_host_goes_down_when_systemd_says_so(monkeypatch, said, expected):
    asked = answer(monkeypatch, said)
    assert await shutdown.going_down() is expected
    assert asked == [("systemctl", "is-system-running")]


class Life:
    """Notes what is stopped; `stubborn` does not end."""

    def __init__(self):
        self.done = []

    def end_restarts(self):
        self.done.append("no restarts")

    async def stop(self, one, timeout, *, by_user):
        self.done.append((one.record.name, timeout, by_user))
        if one.record.name == "stubborn":
            raise errors.Unavailable("it did not end after SIGKILL")


def shelved(name, status=container.Status.RUNNING, **changes):
    record = values.record(name=name, id=name * 4, **changes).with_state(status=status)
    return shelf.Container(record)


async def test_all_that_run_are_stopped_with_their_own_timeout_and_not_as_their_user_s_wish(caplog):
    life = Life()
    boxes = [
        shelved("a"),
        shelved("stubborn"),
        shelved("b", stop_timeout=3),
        shelved("c", container.Status.EXITED),
        shelved("d", container.Status.PAUSED),
    ]
    equipment = types.SimpleNamespace(settings=types.SimpleNamespace(stop_timeout=10))
    await containers.Containers(equipment, boxes, life, None, None).stop_all()
    assert life.done[0] == "no restarts"
    assert sorted(life.done[1:]) == [
        ("a", 10.0, False),
        ("b", 3.0, False),
        ("d", 10.0, False),
        ("stubborn", 10.0, False),
    ]
    assert "did not end after SIGKILL" in caplog.text


@pytest.mark.parametrize("down", [True, False])
async def test_the_daemons_end_stops_them_only_with_the_host(monkeypatch, down):
    done = []

    async def going_down():
        return down

    async def stop_all():
        done.append("stopped")

    async def flush():
        done.append("flushed")

    monkeypatch.setattr(shutdown, "going_down", going_down)
    flusher = types.SimpleNamespace(flush=flush)
    one = types.SimpleNamespace(containers=types.SimpleNamespace(stop_all=stop_all), _flusher=flusher)
    await engine.Engine.farewell(one)
    assert done == (["stopped", "flushed"] if down else [])


async def test_a_restart_that_waits_is_left_to_the_next_daemon(monkeypatch):
    one = shelved("a", container.Status.RESTARTING)
    clock = values.FakeClock()
    life = lifecycle.Lifecycle(types.SimpleNamespace(clock=clock), None, None)
    started = []

    async def start(one):
        started.append(one)

    monkeypatch.setattr(life, "start", start)
    waiting = asyncio.create_task(life._restart_later(one, rebooted=False))
    await asyncio.sleep(0)
    life.end_restarts()
    clock.advance(100)
    await waiting
    assert not started
    assert one.record.state.status is container.Status.RESTARTING
