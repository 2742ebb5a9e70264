"""What is asked of a container's log, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What of a log is wanted. since/until: nanoseconds since 1970, 0 for open; tail: lines of both streams together, -1 for all."""

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    since: int = 0
    until: int = 0
    tail: int = -1
    merge: bool = False
    """Whether many lines in bulk may come as one record, with the first one's time: five times as fast where times are not shown."""


class LogRecord(NamedTuple):
    """A piece of output. stream: 1 stdout, 2 stderr. `time`: RFC 3339 with nanoseconds. `data` ends in a newline only if the app wrote one."""

    stream: int
    time: str
    data: bytes
