"""Watching files from the loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os

import pytest

from pouch.runtime import watch
from pouch.spec import errors


def run(story):
    asyncio.run(asyncio.wait_for(story, 10))


def test_two_watchers_of_one_file_are_both_told_and_each_may_leave(tmp_path):
    path = tmp_path / "file"
    path.write_text("")

    async def story():
        first, second = asyncio.Event(), asyncio.Event()
        with watch.changes(str(path), second):
            with watch.changes(str(path), first):
                path.write_text("x")
                await first.wait()
                await second.wait()
            second.clear()
            first.clear()
            path.write_text("y")
            await second.wait()
            assert not first.is_set()

    run(story())


def test_a_directory_tells_of_new_files(tmp_path):
    async def story():
        event = asyncio.Event()
        with watch.changes(str(tmp_path), event):
            (tmp_path / "new").write_text("")
            await event.wait()

    run(story())


def test_a_file_that_is_replaced_rings(tmp_path):
    path = tmp_path / "file"
    path.write_text("")

    async def story():
        event = asyncio.Event()
        with watch.changes(str(path), event):
            (tmp_path / "other").write_text("")
            os.rename(tmp_path / "other", path)
            await event.wait()

    run(story())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def watches() -> int:
    """How many watches our process has, by its descriptors' own words."""
    found = 0
    for fd in os.listdir("/proc/self/fdinfo"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/fdinfo/{fd}") as file:
            found += sum(line.startswith("inotify") for line in file)
    return found


def test_what_is_not_there_cannot_be_watched_and_nothing_is_left(tmp_path):
    async def story():
        with watch.changes(str(tmp_path), asyncio.Event()):
            before = descriptors(), watches()
        for _ in range(3):
            with pytest.raises(errors.KernelError), watch.changes(str(tmp_path / "none"), asyncio.Event()):
                pass
        assert (descriptors(), watches()) == (before[0], before[1] - 1)

    run(story())


def test_a_hundred_watchers_need_one_instance_and_leave_no_watch(tmp_path):
    async def story():
        with watch.changes(str(tmp_path), asyncio.Event()), contextlib.ExitStack() as stack:
            before = descriptors(), watches()
            for n in range(100):
                (tmp_path / str(n)).write_text("")
                stack.enter_context(watch.changes(str(tmp_path / str(n)), asyncio.Event()))
            assert (descriptors(), watches()) == (before[0], before[1] + 100)
            stack.close()
            assert watches() == before[1]

    run(story())


def test_an_instance_ends_with_its_loop(tmp_path):
    async def story():
        with watch.changes(str(tmp_path), asyncio.Event()):
            pass

    gc.collect()
    before = descriptors()
    for _ in range(3):
        asyncio.run(story())
    gc.collect()
    assert descriptors() == before
