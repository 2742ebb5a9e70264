"""What children of ended processes still write: read and thrown away, but for so many processes only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import pytest

from pouch.runtime import child, stdio

SCRIPT = "sleep 1000 & echo $!; exec true"


class Started:
    """A shell that left a child behind, which holds the pipe; ours is at its other end."""

    def __init__(self, streams: stdio.PipeStdio, fd: int, left: int) -> None:
        self.streams, self.fd, self.left = streams, fd, left

    @property
    def open(self) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/self/fd/{self.fd}") == self._pipe
        return False

    async def ended(self) -> Started:
        self._pipe = os.readlink(f"/proc/self/fd/{self.fd}")
        while await self.streams.read() is not None:
            pass
        await asyncio.sleep(0)  # what is called back at its end, in the next turn of the loop
        return self


@pytest.fixture
def start():
    """Starts them; their children are gone afterwards."""
    left = []

    async def started() -> Started:
        read_end, write_end = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        runner = child.spawn(["sh", "-c", SCRIPT], stdin=null, stdout=write_end, stderr=null)
        os.close(null)
        os.close(write_end)
        streams = stdio.PipeStdio({read_end: 1}, -1, runner, tty=False)
        _, line = await streams.read()
        left.append(int(line))
        return await Started(streams, read_end, left[-1]).ended()

    yield started
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_the_pipe_of_a_child_that_was_left_behind_stays_open(start):
    async def run():
        one = await start()
        assert one.open
        one.streams.hang_up()
        assert not one.open

    asyncio.run(run())


def test_of_too_many_the_one_that_ended_first_is_cut_off(start, monkeypatch):
    monkeypatch.setattr(stdio, "LEFT_OPEN", 2)

    async def run():
        ones = [await start() for _ in range(3)]
        assert [one.open for one in ones] == [False, True, True]
        ones[1].streams.hang_up()
        ones.append(await start())
        assert [one.open for one in ones] == [False, False, True, True]
        for one in ones:
            one.streams.hang_up()
        assert not any(one.open for one in ones)
        assert not stdio.PipeStdio._left_open

    asyncio.run(run())
