r"""The log format conmon writes (`k8s-file`, the CRI log format): pure.

One record a line: ``2026-11-24T09:00:05.775364839+00:00 stdout F text``. F: the app ended the line; P: it did not (yet, or
the piece is conmon's 8 KiB buffer). All lines of one piece bear the same time. The monitor runs with TZ=UTC, so the prefix
has a fixed width, and times compare as text.
"""

from __future__ import annotations

import datetime as dt
import itertools
import operator
from collections.abc import Callable, Container, Iterator, Sequence

from pouch.spec.log import LogRecord

TIME_DIGITS = 29
"""Up to the nanoseconds, without the zone."""
_TIME = 35
_DATA = 45
_HEADS = {b" stdout F ": (1, b"\n"), b" stdout P ": (1, b""), b" stderr F ": (2, b"\n"), b" stderr P ": (2, b"")}
_head_of = operator.itemgetter(slice(_TIME, _DATA))
_STREAMS = {b"stdout": 1, b"stderr": 2}
_PIECE = 32 << 10

Line = tuple[bytes, int, bytes]
"""time (as written), stream, data with the newline the app wrote, if it did."""


def stamp(nanoseconds: int) -> bytes:
    """A time as the log has it, without zone: for comparisons."""
    seconds, rest = divmod(nanoseconds, 10**9)
    whole = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest:09d}".encode()


def parse(line: bytes) -> Line | None:
    """One line without its newline; None where it is no record (a torn write, another program's text)."""
    known = _HEADS.get(line[_TIME:_DATA])
    if known is not None:
        return line[:_TIME], known[0], line[_DATA:] + known[1]
    fields = line.split(b" ", 3)  # another zone's width
    if len(fields) == 4 and fields[1] in _STREAMS and fields[2] in (b"F", b"P") and fields[0][:4].isdigit():
        return fields[0], _STREAMS[fields[1]], fields[3] + (b"\n" if fields[2] == b"F" else b"")
    return None


def ends_line(line: bytes) -> bool:
    """Whether this line of the log ends a line of the app."""
    head = line[_TIME:_DATA]
    return head.endswith(b"F ") if head in _HEADS else (parse(line) or (b"", 0, b""))[2].endswith(b"\n")


def records(
    lines: Sequence[bytes], streams: Container[int], timely: Callable[[bytes], bool] | None, *, merge: bool
) -> Iterator[LogRecord]:
    """Records of some lines: those of `streams`, and where `timely` is given, of times that it likes.

    merge: neighbours of one stream as one record.
    """
    if merge and timely is None:
        yield from _merged(item for item in _runs(lines) if item[1] in streams)
        return
    found = (item for item in map(parse, lines) if item is not None and item[1] in streams)
    chosen = found if timely is None else (item for item in found if timely(item[0]))
    if merge:
        yield from _merged(chosen)
        return
    before, shown = b"", ""
    for time, stream, data in chosen:
        if time != before:
            before, shown = time, text(time)
        yield LogRecord(stream, shown, data)


def _runs(lines: Sequence[bytes]) -> Iterator[Line]:
    """Neighbours with the same head as one line, put together by loops in C: the bulk of a big log."""
    for head, run in itertools.groupby(lines, _head_of):
        known = _HEADS.get(head)
        if known is None:
            yield from (item for item in map(parse, run) if item is not None)
            continue
        stream, end = known
        alike = list(run)
        yield alike[0][:_TIME], stream, end.join([line[_DATA:] for line in alike]) + end


def _merged(lines: Iterator[Line]) -> Iterator[LogRecord]:
    first, current, size = b"", 0, 0
    pieces: list[bytes] = []
    for time, stream, data in lines:
        if pieces and (stream != current or size >= _PIECE):
            yield LogRecord(current, text(first), b"".join(pieces))
            pieces, size = [], 0
        if not pieces:
            first, current = time, stream
        pieces.append(data)
        size += len(data)
    if pieces:
        yield LogRecord(current, text(first), b"".join(pieces))


def text(time: bytes) -> str:
    """A time as Docker shows it: Z for UTC."""
    return time.decode("ascii", "replace").replace("+00:00", "Z")
