"""Noticing that the kernel has killed something of a container for want of memory, with files in place of a group."""

import asyncio

import pytest

from pouch.kernel import cgroup
from pouch.runtime import exits, memory


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A group at /box of a v2 host; its counter."""
    hierarchy = cgroup.Hierarchy(str(tmp_path), unified=True)
    monkeypatch.setattr(cgroup, "current", lambda: cgroup.Layout((hierarchy,)))
    (tmp_path / "box").mkdir()
    counter = tmp_path / "box/memory.events"
    count(counter)
    exits.prepare(str(tmp_path / "exits"), "box")
    return counter


def count(counter, *, touched=0, kills=0):
    with open(counter, "r+" if counter.exists() else "w") as file:
        file.write(f"low 0\nhigh 0\nmax {touched}\noom {kills}\noom_kill {kills}\n")


def noted(group):
    return (group.parent.parent / "exits/box/oom").exists()


def look_on(group):
    return memory.look_on("/box", str(group.parent.parent / "exits"), "box")


async def settled(task):
    """Let the loop read what the kernel told of files."""
    await asyncio.wait((task,), timeout=0.05)
    return task.done()


async def test_a_kill_is_noted_as_soon_as_it_is_counted(group):
    looking = asyncio.create_task(look_on(group))
    assert not await settled(looking)
    count(group, touched=7)  # the limit was touched without a kill: looking goes on
    assert not await settled(looking)
    assert not noted(group)
    count(group, touched=8, kills=1)
    await asyncio.wait_for(looking, 10)
    assert noted(group)


async def test_what_was_counted_before_is_noted_at_once(group):
    count(group, kills=2)
    await asyncio.wait_for(look_on(group), 10)
    assert noted(group)


async def test_a_group_that_goes_without_a_kill_ends_the_looking(group):
    looking = asyncio.create_task(look_on(group))
    assert not await settled(looking)
    group.unlink()
    await asyncio.wait_for(looking, 10)
    assert not noted(group)


async def test_where_nobody_counts_nobody_looks(group):
    group.unlink()
    await asyncio.wait_for(look_on(group), 10)
    assert not memory.look("/box", str(group.parent.parent / "exits"), "box")


def test_the_last_look_notes_too_and_the_end_tells_it(group):
    exit_dir = str(group.parent.parent / "exits")
    assert not memory.look("/box", exit_dir, "box")
    count(group, kills=1)
    assert memory.look("/box", exit_dir, "box")
    (group.parent.parent / "exits/box/exit").write_text("137")
    assert exits.read(exit_dir, "box").oom


def test_a_run_that_is_gone_is_noted_nowhere(group):
    exit_dir = str(group.parent.parent / "exits")
    exits.forget(exit_dir, "box")
    count(group, kills=1)
    assert memory.look("/box", exit_dir, "box")
    assert not noted(group)
