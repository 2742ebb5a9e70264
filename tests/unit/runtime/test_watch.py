"""Watching files from the loop."""

from __future__ import annotations

import asyncio
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


def test_what_is_not_there_cannot_be_watched_and_nothing_is_left(tmp_path):
    async def story():
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with pytest.raises(errors.KernelError), watch.changes(str(tmp_path / "none"), asyncio.Event()):
                pass
        with watch.changes(str(tmp_path), asyncio.Event()):
            assert len(os.listdir("/proc/self/fd")) == before + 1
        assert len(os.listdir("/proc/self/fd")) == before

    run(story())


def test_a_hundred_watchers_need_one_instance(tmp_path):
    async def story():
        before = len(os.listdir("/proc/self/fd"))
        with watch.changes(str(tmp_path), asyncio.Event()):
            made = []
            for n in range(200):
                (tmp_path / str(n)).write_text("")
                made.append(watch.changes(str(tmp_path / str(n)), asyncio.Event()))
            for one in made:
                one.__enter__()
            assert len(os.listdir("/proc/self/fd")) == before + 1
            for one in made:
                one.__exit__(None, None, None)

    run(story())
