"""A program run to its end on the host, with input and a time limit: hooks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from pouch.runtime import child

TIMED_OUT = -1000
"""`child.Finished.status` of a program that was killed because it took too long; no signal has this number."""


async def run(
    argv: Sequence[str],
    data: bytes,
    *,
    environment: Mapping[str, str] = child.ENVIRONMENT,
    directory: str | None = None,
    timeout: float,
    limit: int = 1 << 20,
) -> child.Finished:
    """Run a program in a session of its own with `data` on stdin; after `timeout` seconds its whole session group is killed."""
    source = _memory_file(data)
    out, err = child.Collector(limit), child.Collector(limit)
    try:
        process = child.spawn(
            argv,
            stdin=source,
            stdout=out.write_end,
            stderr=err.write_end,
            environment=environment,
            directory=directory,
            new_session=True,
        )
        out.begin()
        err.begin()
        try:
            async with asyncio.timeout(timeout):
                status = await process.wait()
        except TimeoutError:
            _kill_group(process)
            await process.wait()
            status = TIMED_OUT
        except BaseException:
            _kill_group(process)
            raise
        return child.Finished(status, out.finish(), err.finish())
    finally:
        os.close(source)
        out.close()
        err.close()


def _memory_file(data: bytes) -> int:
    """A descriptor to read `data` from: no pipe, so a program that never reads holds nobody up."""
    descriptor = os.memfd_create("stdin")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _kill_group(process: child.Child) -> None:
    if not process.ended:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
