"""Where blocking work runs: named, bounded thread pools, so that one kind of work cannot starve another."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

log = logging.getLogger(__name__)

UPLOADS = 16
"""Archives from clients that are worked on at a time."""

P = ParamSpec("P")
R = TypeVar("R")


class Pools:
    """The engine's threads. `db` has one, so that one thread owns the database's connection."""

    def __init__(self) -> None:
        self._db = ThreadPoolExecutor(1, "db")
        self._fs = ThreadPoolExecutor(4, "fs")
        self._long = ThreadPoolExecutor(4, "long")
        self._streams = ThreadPoolExecutor(64, "stream")
        self._pulls = ThreadPoolExecutor(16, "pull")
        self._uploads = ThreadPoolExecutor(UPLOADS, "upload")
        self._uploading = 0
        self._background = ThreadPoolExecutor(2, "background")

    async def db(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Database."""
        return await _run(self._db, fn, *args, **kwargs)

    async def fs(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Mounts, files, netlink: milliseconds."""
        return await _run(self._fs, fn, *args, **kwargs)

    async def long(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Unpacking, bootstrapping, walking trees: seconds and more."""
        return await _run(self._long, fn, *args, **kwargs)

    async def streams(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What waits for a client or a registry most of its time: a slow one of these must not hold up the other pools."""
        return await _run(self._streams, fn, *args, **kwargs)

    async def background(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What nobody waits for: seconds and more."""
        return await _run(self._background, fn, *args, **kwargs)

    def later(self, work: Callable[[], None]) -> None:
        """Have this done in the background, before the daemon ends; from any thread."""
        self._background.submit(_logged, work)

    async def pulls(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Images from registries: minutes, of which some are spent unpacking."""
        return await _run(self._pulls, fn, *args, **kwargs)

    async def uploads(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Archives that clients send, as slowly as they like while nobody waits for a thread (see `uploads_crowded`)."""
        self._uploading += 1
        try:
            return await _run(self._uploads, fn, *args, **kwargs)
        finally:
            self._uploading -= 1

    def uploads_crowded(self) -> bool:
        """Whether one of them waits for a thread; from any thread."""
        return self._uploading > UPLOADS

    def close(self) -> None:
        """Wait for what is running and for what was put off, take no more."""
        for pool in (self._pulls, self._uploads, self._streams, self._long, self._fs, self._db):
            pool.shutdown(wait=True, cancel_futures=True)
        self._background.shutdown(wait=True)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("work in the background failed")


async def _run(pool: ThreadPoolExecutor, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(pool, functools.partial(fn, *args, **kwargs))
