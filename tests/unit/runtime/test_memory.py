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
    assert not noted(group)


class Silent:
    """A kernel that says nothing."""

    def note(self):
        pass


def last_look(group, kernel=None):
    return memory.last_look("/box", str(group.parent.parent / "exits"), "box", kernel or Silent())


def test_the_last_look_notes_too_and_the_end_tells_it(group):
    assert not last_look(group)
    count(group, kills=1)
    assert last_look(group)
    (group.parent.parent / "exits/box/exit").write_text("137")
    assert exits.read(str(group.parent.parent / "exits"), "box").oom


def test_the_last_look_believes_what_was_noted_when_the_group_is_gone(group):
    exit_dir = str(group.parent.parent / "exits")
    group.unlink()
    assert not last_look(group)

    class Kernel:
        def note(self):
            exits.note_oom(exit_dir, "box")

    assert last_look(group, Kernel())


def test_a_run_that_is_gone_is_noted_nowhere(group):
    exits.forget(str(group.parent.parent / "exits"), "box")
    count(group, kills=1)
    assert last_look(group)
    assert not noted(group)


MINE, THEIRS, STRANGE = "a1" * 32, "b2" * 32, "c3" * 32
LINE = (
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={cpuset},mems_allowed=0,"
    "oom_memcg={path},task_memcg={path},task=dd,pid=639,uid=0"
)


class Log:
    """A kernel's log that the test writes."""

    def __init__(self, *messages):
        self.messages = list(messages)

    def read(self):
        said, self.messages = self.messages, []
        return said


def noted_by(tmp_path, *messages):
    """Which of the running containers MINE and THEIRS are noted after these messages."""
    for id_ in (MINE, THEIRS):
        exits.prepare(str(tmp_path), id_)
    memory.KernelWord(str(tmp_path), Log(*messages)).note()
    return [id_ for id_ in (MINE, THEIRS) if exits.oom_noted(str(tmp_path), id_)]


@pytest.mark.parametrize(
    "path",
    [
        f"/system.slice/pouch-{MINE}.scope/container",
        f"/pouch/{MINE}/system.slice/app.service",
        f"/docker/{STRANGE}/pouch/{MINE}",
    ],
)
def test_the_kernels_line_tells_whose_kill_it_was(tmp_path, path):
    assert noted_by(tmp_path, "dd invoked oom-killer", LINE.format(path=path, cpuset="container"), "x") == [MINE]


def test_a_kill_of_no_container_of_ours_is_nobodys(tmp_path):
    assert noted_by(tmp_path, LINE.format(path=f"/docker/{STRANGE}", cpuset="/"), f"pouch-{MINE} is mentioned") == []


def test_a_container_cannot_have_another_one_blamed_by_the_names_of_its_groups(tmp_path):
    path = f"/pouch/{MINE}/x,task_memcg=/pouch/{THEIRS}"
    assert noted_by(tmp_path, LINE.format(path=path, cpuset=f"x,oom_memcg=/pouch/{THEIRS}")) == []


def test_a_message_is_read_once(tmp_path):
    log = Log(LINE.format(path=f"/pouch/{MINE}", cpuset="/"))
    exits.prepare(str(tmp_path), MINE)
    kernel = memory.KernelWord(str(tmp_path), log)
    kernel.note()
    exits.prepare(str(tmp_path), MINE)  # its next run
    kernel.note()
    assert not exits.oom_noted(str(tmp_path), MINE)
