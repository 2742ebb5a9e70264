"""Reading and following a log that this test writes as conmon would."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from pouch.runtime import k8slog, logs, watch
from pouch.spec import errors
from pouch.spec.log import LogQuery

START = 1_795_510_800 * 10**9


class Writer:
    """conmon's side: one record a call, a second apart; rotation by renaming a new file over the old one."""

    def __init__(self, path):
        self.path = str(path)
        self.seconds = 0
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115

    def write(self, data: bytes, stream="stdout"):
        self.seconds += 1
        time = k8slog.stamp(START + self.seconds * 10**9) + b"+00:00"
        pieces = data.splitlines(keepends=True)
        for piece in pieces:
            tag, text = (b"F", piece[:-1]) if piece.endswith(b"\n") else (b"P", piece)
            self.file.write(b"%s %s %s %s\n" % (time, stream.encode(), tag, text))

    def rotate(self):
        self.file.close()
        self.file = open(self.path + ".tmp", "wb", buffering=0)  # noqa: SIM115
        os.rename(self.path + ".tmp", self.path)


@pytest.fixture
def log(tmp_path):
    writer = Writer(tmp_path / "log")
    yield writer
    writer.file.close()


def at(second: int) -> int:
    return START + second * 10**9


def read(path, **query) -> list[tuple[int, bytes]]:
    async def story():
        return [(r.stream, r.data) async for r in await logs.open_log(str(path), LogQuery(**query))]

    return asyncio.run(asyncio.wait_for(story(), 20))


def joined(path, **query) -> bytes:
    return b"".join(data for _, data in read(path, **query))


class Following:
    """A follower with its end in the test's hand."""

    def __init__(self, path, **query):
        self.over = asyncio.Event()
        self.got = bytearray()
        self.changed = asyncio.Condition()
        self.task = asyncio.create_task(self.follow(path, LogQuery(follow=True, **query)))

    async def follow(self, path, query):
        stream = await logs.open_log(str(path), query, ended=self.over.is_set, changed=self.over, clock=lambda: at(0))
        async for record in stream:
            async with self.changed:
                self.got += record.data
                self.changed.notify_all()

    async def until(self, text: bytes):
        async with self.changed:
            await self.changed.wait_for(lambda: self.got.endswith(text))

    async def end(self) -> bytes:
        self.over.set()
        await self.task
        return bytes(self.got)


def follow(story):
    asyncio.run(asyncio.wait_for(story, 20))


def test_a_missing_log_is_empty(tmp_path):
    assert read(tmp_path / "none") == []
    assert read(tmp_path / "none", tail=3) == []


def test_streams_and_order_are_kept(log):
    log.write(b"a\n")
    log.write(b"b\n", "stderr")
    log.write(b"c\n")
    assert read(log.path) == [(1, b"a\n"), (2, b"b\n"), (1, b"c\n")]
    assert read(log.path, stdout=False) == [(2, b"b\n")]
    assert read(log.path, stderr=False) == [(1, b"a\n"), (1, b"c\n")]


@pytest.mark.parametrize("merge", [False, True])
def test_any_bytes_come_out_as_written(log, merge):
    data = random.Random(7).randbytes(300_000) + b"\n\n\nx" * 1000 + b"a" * 50_000
    for start in range(0, len(data), 8192):  # conmon's buffer
        log.write(data[start : start + 8192])
    assert joined(log.path, merge=merge) == data


def test_merging_is_for_bulk_a_few_lines_stay_lines(log):
    log.write(b"a\nb\n")
    assert read(log.path, merge=True) == [(1, b"a\n"), (1, b"b\n")]
    for _ in range(100):
        log.write(b"0123456789\n" * 700)
    assert len(read(log.path, merge=True)) < 100
    assert len(read(log.path)) == 70002


def test_a_torn_last_line_is_left_for_later(log):
    log.write(b"whole\n")
    log.file.write(b"2026-11-24T09:00:05.775364839+00:00 stdout F half of")
    assert joined(log.path) == b"whole\n"


def test_garbage_between_records_is_left_out(log):
    log.write(b"a\n")
    log.file.write(b"\0" * 5000 + b"\nnonsense\n\n")
    log.write(b"b\n")
    assert joined(log.path) == b"a\nb\n"


def test_a_file_without_any_newline_costs_no_memory(tmp_path):
    path = tmp_path / "log"
    with open(path, "wb") as file:
        file.truncate(50 << 20)
    assert read(path) == []
    assert read(path, tail=5) == []


@pytest.mark.parametrize(
    ("tail", "expected"), [(0, b""), (1, b"5\n"), (3, b"3\n4\n5\n"), (5, b"1\n2\n3\n4\n5\n"), (99, b"1\n2\n3\n4\n5\n")]
)
def test_tail_counts_lines(log, tail, expected):
    for n in range(1, 6):
        log.write(b"%d\n" % n)
    assert joined(log.path, tail=tail) == expected


def test_tail_counts_a_line_in_pieces_once_and_an_unfinished_one_too(log):
    log.write(b"first\n")
    log.write(b"long ")
    log.write(b"line ")
    log.write(b"end\n")
    log.write(b"un")
    log.write(b"finished")
    assert joined(log.path, tail=1) == b"unfinished"
    assert joined(log.path, tail=2) == b"long line end\nunfinished"
    assert joined(log.path, tail=3) == b"first\nlong line end\nunfinished"


@pytest.mark.parametrize("chunk", [60, 100, 257, 1 << 18])
def test_tail_is_right_wherever_the_blocks_are_cut(log, monkeypatch, chunk):
    monkeypatch.setattr(logs, "CHUNK", chunk)
    lines = [b"%d %s\n" % (n, b"x" * (n % 90)) for n in range(120)]
    for line in lines:
        log.write(line)
    for tail in (0, 1, 2, 7, 60, 119, 120, 121):
        assert joined(log.path, tail=tail) == b"".join(lines[len(lines) - tail :] if tail < 120 else lines)
    assert joined(log.path) == b"".join(lines)


def test_the_tail_of_a_big_log_is_found_without_reading_it(log, monkeypatch):
    log.file.truncate(40 << 20)
    log.file.write(b"\n")
    for n in range(10):
        log.write(b"%d\n" % n)
    read_bytes = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: read_bytes.append(size) or pread(fd, size, offset))
    assert joined(log.path, tail=4) == b"6\n7\n8\n9\n"
    assert sum(read_bytes) < 2 << 20


@pytest.mark.parametrize("merge", [False, True])
def test_since_and_until_are_inclusive_nanoseconds(log, merge):
    for n in range(1, 10):
        log.write(b"%d\n" % n)
    assert joined(log.path, since=at(4), merge=merge) == b"4\n5\n6\n7\n8\n9\n"
    assert joined(log.path, since=at(4) + 1, merge=merge) == b"5\n6\n7\n8\n9\n"
    assert joined(log.path, until=at(3), merge=merge) == b"1\n2\n3\n"
    assert joined(log.path, since=at(3), until=at(5), merge=merge) == b"3\n4\n5\n"
    assert joined(log.path, since=at(100), merge=merge) == b""
    assert joined(log.path, until=at(0), merge=merge) == b""
    assert joined(log.path, tail=3, until=at(8), merge=merge) == b"7\n8\n"


@pytest.mark.parametrize("chunk", [50, 130, 4096])
def test_since_and_until_are_right_wherever_chunks_are_cut(log, monkeypatch, chunk):
    monkeypatch.setattr(logs, "CHUNK", chunk)
    for n in range(1, 200):
        log.write(b"%d\n" % n)
    assert joined(log.path, since=at(50), until=at(150)) == b"".join(b"%d\n" % n for n in range(50, 151))


def test_a_reader_that_does_not_follow_ends_though_the_writer_does_not(log):
    log.write(b"before\n")

    async def story():
        stream = await logs.open_log(log.path, LogQuery())
        log.write(b"after\n")
        return [record.data async for record in stream]

    assert asyncio.run(story()) == [b"before\n"]


def test_following_gives_what_is_there_and_what_comes(log):
    async def story():
        log.write(b"old\n")
        one = Following(log.path)
        await one.until(b"old\n")
        log.write(b"new ")
        await one.until(b"new ")
        log.write(b"end\n")
        assert await one.end() == b"old\nnew end\n"

    follow(story())


def test_following_ends_only_when_everything_is_read(log):
    async def story():
        one = Following(log.path)
        await asyncio.sleep(0)
        for n in range(2000):
            log.write(b"%d\n" % n)
        assert await one.end() == b"".join(b"%d\n" % n for n in range(2000))

    follow(story())


def test_following_an_ended_container_ends_at_once(log):
    async def story():
        log.write(b"all\n")
        one = Following(log.path)
        assert await one.end() == b"all\n"

    follow(story())


def test_following_with_tail_begins_there(log):
    async def story():
        for n in range(5):
            log.write(b"%d\n" % n)
        one = Following(log.path, tail=1)
        await one.until(b"4\n")
        log.write(b"5\n")
        await one.until(b"5\n")
        assert await one.end() == b"4\n5\n"

    follow(story())


def test_following_survives_rotations_without_loss_or_repetition(log):
    async def story():
        one = Following(log.path)
        expected = b""
        for turn in range(6):
            for n in range(50):
                line = b"%d.%d\n" % (turn, n)
                log.write(line)
                expected += line
            await one.until(expected)
            log.write(b"unseen\n")  # written just before the rotation, not yet read
            expected += b"unseen\n"
            log.rotate()
        log.write(b"last\n")
        assert await one.end() == expected + b"last\n"

    follow(story())


def test_following_a_log_that_is_not_there_yet(tmp_path):
    async def story():
        one = Following(tmp_path / "log")
        await asyncio.sleep(0.01)
        writer = Writer(tmp_path / "log")
        writer.write(b"begun\n")
        await one.until(b"begun\n")
        writer.file.close()
        assert await one.end() == b"begun\n"

    follow(story())


def test_following_ends_when_until_has_passed(log):
    async def story():
        log.write(b"1\n")
        now = [at(1)]
        stream = await logs.open_log(
            log.path, LogQuery(follow=True, until=at(1) + 50_000_000), ended=lambda: False, clock=lambda: now[0]
        )
        assert (await anext(stream)).data == b"1\n"
        log.write(b"2\n")
        now[0] = at(2)
        assert [record async for record in stream] == []

    follow(story())


def test_an_end_that_was_told_before_does_not_make_the_follower_spin(log, monkeypatch):
    async def story():
        over, earlier = [False], asyncio.Event()
        earlier.set()
        asked = []
        stream = await logs.open_log(
            log.path, LogQuery(follow=True), ended=lambda: asked.append(1) or over[0], changed=earlier
        )
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.05)
        assert len(asked) < 5
        log.write(b"x\n")
        assert (await reading).data == b"x\n"
        over[0] = True
        assert [record async for record in stream] == []

    follow(story())


def test_following_goes_on_without_inotify(log, monkeypatch):
    def refuse(*_):
        raise errors.KernelError("inotify_add_watch", log.path, 28)

    async def story():
        monkeypatch.setattr(logs.watch, "changes", refuse)
        monkeypatch.setattr(logs, "_LOOK_AGAIN", 0.01)
        one = Following(log.path)
        await asyncio.sleep(0.02)
        log.write(b"seen\n")
        await one.until(b"seen\n")
        await one.end()

    follow(story())


def test_a_follower_that_leaves_gives_everything_back(log):
    async def story():
        with watch.changes(log.path, asyncio.Event()):  # the loop's instance is there to stay
            pass
        before, tasks = len(os.listdir("/proc/self/fd")), asyncio.all_tasks()
        log.write(b"x\n")
        stream = await logs.open_log(log.path, LogQuery(follow=True), ended=lambda: False, changed=asyncio.Event())
        await anext(stream)
        await stream.aclose()
        await logs.open_log(log.path, LogQuery(follow=True))  # one that nobody reads
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before
        assert asyncio.all_tasks() == tasks

    follow(story())


def test_a_big_log_leaves_the_loop_to_others(log):
    for _ in range(200):
        log.write(b"0123456789\n" * 700)

    async def story():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(other())
        async for _ in await logs.open_log(log.path, LogQuery(merge=True)):
            pass
        task.cancel()
        return turns

    assert asyncio.run(story()) >= os.path.getsize(log.path) // logs.CHUNK


def test_a_log_that_may_not_be_read_is_named(tmp_path):
    os.symlink("/etc/passwd", tmp_path / "log")
    with pytest.raises(errors.Unavailable, match="cannot read log"):
        read(tmp_path / "log")
