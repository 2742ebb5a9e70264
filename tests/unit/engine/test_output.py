"""What threads write for clients: they end when the client goes, however they clear up after themselves."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from pouch.engine import pools, progress
from pouch.spec import errors


@pytest.fixture
def threads():
    made = pools.Pools()
    yield made
    made.close()


async def test_who_writes_once_more_after_the_client_has_gone_is_not_kept_waiting(threads):
    jobs = progress.Jobs(threads)
    failures = []
    ended = threading.Event()

    def work(sink):
        try:
            while True:
                sink.write(b"piece")
        except errors.Unavailable as error:
            for _ in range(50):  # as a compressor that writes what it holds when it is closed
                with contextlib.suppress(errors.Unavailable):
                    sink.write(b"rest")
            failures.append(error)
            raise
        finally:
            ended.set()

    stream = jobs.output(work)
    assert await anext(stream) == b"piece"
    await stream.aclose()
    assert await asyncio.to_thread(ended.wait, 20)
    assert [error.message for error in failures] == ["the client has gone"]
    await jobs.close()
