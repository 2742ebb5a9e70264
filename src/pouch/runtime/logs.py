"""Reading a container's log while its monitor writes it. What comes out is, joined, what the container wrote, byte for byte.

Rotation: at its size limit conmon renames a new file over the old one; the old content is gone. Who follows keeps the old
file open, reads it to its end (conmon has flushed it before) and goes on with the new one.
A quarter of a megabyte is read and decoded at a time, then others have their turn; the loop is never held for more than a few ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable

from pouch.runtime import k8slog, watch
from pouch.spec import errors
from pouch.spec.log import LogQuery, LogRecord

CHUNK = 256 << 10
_LONGEST = 1 << 20
"""No line of conmon's is longer than 8 KiB and its prefix; what is without a newline for so long is no record."""
_LOOK_AGAIN = 1.0
_BULK = 64 << 10
"""Chunks smaller than this come line by line, also merged: clients show or handle them as lines, and speed is no matter."""


async def open_log(
    path: str,
    query: LogQuery,
    *,
    ended: Callable[[], bool] = lambda: True,
    changed: asyncio.Event | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> AsyncIterator[LogRecord]:
    """The wanted records; with follow, all to come until `ended()` holds and everything is read (or `until` has passed).

    changed: an event that is set when `ended()` may have come to hold. A log that is not there (yet) is empty.
    Raises Unavailable where the file cannot be read.
    """
    reader = _Reader(path, query)
    try:
        reader.open()
        reader.seek_tail()
    except BaseException:
        reader.close()
        raise
    return _stream(reader, ended, changed, clock)


async def _stream(
    reader: _Reader, ended: Callable[[], bool], changed: asyncio.Event | None, clock: Callable[[], int]
) -> AsyncIterator[LogRecord]:
    query = reader.query
    bell = asyncio.Event()
    with contextlib.closing(reader), contextlib.ExitStack() as asking, contextlib.ExitStack() as watching:
        blind = _ring_at(changed, bell, asking) if query.follow else False
        generation, unwatched = -1, False
        while True:
            bell.clear()
            if query.follow and generation != reader.generation:
                watching.close()
                generation, unwatched = reader.generation, not _watch(reader, bell, watching)
            # Asked before reading: what the container wrote before its end is in the file by then.
            late = 0 < query.until <= clock()
            last = ended()
            while (records := reader.next()) is not None:
                for record in records:
                    yield record
                await asyncio.sleep(0)
            if not query.follow or late:
                return
            if reader.advance():
                continue
            if last:
                return
            limits = [(query.until - clock()) / 1e9] if query.until else []
            limits += [_LOOK_AGAIN] if blind or unwatched else []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(limits)) if limits else None):
                    await bell.wait()


def _ring_at(changed: asyncio.Event | None, bell: asyncio.Event, undo: contextlib.ExitStack) -> bool:
    """Ring when `changed` is set; whether it is no help, being set already by an earlier end."""
    if changed is None or changed.is_set():
        return changed is not None

    async def ring() -> None:
        await changed.wait()
        bell.set()

    task = asyncio.create_task(ring(), name="log's end")
    undo.callback(task.cancel)
    return False


def _watch(reader: _Reader, bell: asyncio.Event, undo: contextlib.ExitStack) -> bool:
    """Ring at each change of the open file; whether that could be arranged (the user may have no watches left)."""
    try:
        undo.enter_context(watch.changes(reader.watched, bell))
    except errors.KernelError:
        return False
    return True


class _Reader:
    """A position in the log, over rotations. Blocking, a chunk at a time."""

    def __init__(self, path: str, query: LogQuery) -> None:
        self.path = path
        self.query = query
        self.generation = 0
        self._past_until = False
        self._limit = sys.maxsize
        self._fd = -1
        self._offset = 0
        self._rest = b""
        self._streams = {number for number, wanted in ((1, query.stdout), (2, query.stderr)) if wanted}
        self._since = k8slog.stamp(query.since) if query.since else b""
        self._until = k8slog.stamp(query.until) if query.until else b""

    @property
    def watched(self) -> str:
        """What to watch for more: the open file itself, or the directory where it will appear."""
        return f"/proc/self/fd/{self._fd}" if self._fd >= 0 else os.path.dirname(self.path) or "."

    def open(self) -> bool:
        """Open the log as it is now, at its beginning; whether it is there."""
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise errors.Unavailable(f"cannot read log {self.path}: {error.strerror}") from error
        self._offset, self._rest = 0, b""
        self.generation += 1
        if not self.query.follow:  # a fast writer must not keep a reader for ever
            self._limit = os.fstat(self._fd).st_size
        return True

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()  # of a stream that nobody began to read

    def advance(self) -> bool:
        """At the end of the file: whether there is more by now, in it or in the file that was put in its place."""
        if self._fd < 0:
            return self.open()
        moved = self._moved()  # asked first: what was flushed into the old file before the new one came is seen below
        if os.fstat(self._fd).st_size > self._offset:
            return True
        if not moved:
            return False
        self.close()
        return self.open()

    def next(self) -> list[LogRecord] | None:
        """The wanted records of the next chunk; None at the end of the file."""
        if self._fd < 0 or self._past_until:
            return None
        data = os.pread(self._fd, min(CHUNK, self._limit - self._offset), self._offset)
        if not data:
            if os.fstat(self._fd).st_size < self._offset:  # truncated by somebody: begin anew
                self._offset, self._rest = 0, b""
            return None
        self._offset += len(data)
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST:
            self._rest = b""
        return list(self._records(lines))

    def _records(self, lines: list[bytes]) -> list[LogRecord]:
        if not lines:
            return []
        digits = k8slog.TIME_DIGITS
        if self._since and max(lines[0][:digits], lines[-1][:digits]) < self._since:
            return []
        if self._until and min(lines[0][:digits], lines[-1][:digits]) > self._until:
            self._past_until = not self.query.follow
            return []
        merge = self.query.merge and sum(map(len, lines)) >= _BULK
        return list(k8slog.records(lines, self._streams, self._timely(lines), merge=merge))

    def _timely(self, lines: list[bytes]) -> Callable[[bytes], bool] | None:
        """What is to be asked of each line's time; nothing where the chunk's ends say it of all."""
        since, until, digits = self._since, self._until, k8slog.TIME_DIGITS
        first, last = lines[0][:digits], lines[-1][:digits]
        if min(first, last) >= since and (not until or max(first, last) <= until):
            return None
        return lambda at: at[:digits] >= since and (not until or at[:digits] <= until)

    def seek_tail(self) -> None:
        """Go to where the last `tail` lines begin, reading backwards. A line without end counts as one.

        Where pieces of unfinished lines of both streams interleave just there, the first line may lack its beginning.
        """
        if self._fd < 0 or self.query.tail < 0:
            return
        position, rest, last = os.fstat(self._fd).st_size, b"", True
        missing = self.query.tail
        while position > 0:
            start = max(0, position - CHUNK)
            block = os.pread(self._fd, position - start, start) + rest
            position = start
            newline = block.rfind(b"\n")
            if newline < 0:
                rest = block if len(block) <= _LONGEST else b""
                continue
            end = start + newline + 1
            lines = block[:newline].split(b"\n")
            rest = lines.pop(0) + b"\n" if start else b""
            for line in reversed(lines):
                if last or k8slog.ends_line(line):
                    last = False
                    if missing == 0:
                        self._offset = end
                        return
                    missing -= 1
                end -= len(line) + 1

    def _moved(self) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        here = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)
