"""What conmon really writes, read by our reader."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest
from support import bundles, running

from pouch.runtime import logs, oci
from pouch.spec.log import LogQuery

pytestmark = pytest.mark.skipif(bool(why := bundles.missing()), reason=why)
run = running.run
A, B = "0123456789" * 9, "abcdefghij" * 7


@pytest.fixture
def make():
    with bundles.workshop() as shop:
        yield lambda args, **fields: running.create(shop, oci.Runtime("crun", shop.state_root), args, **fields)


async def follow(container, over: asyncio.Event, **query) -> dict[int, bytes]:
    found = {1: bytearray(), 2: bytearray()}
    stream = await logs.open_log(container.bundle.log, LogQuery(follow=True, **query), ended=over.is_set, changed=over)
    async for record in stream:
        found[record.stream] += record.data
    return {stream: bytes(data) for stream, data in found.items()}


def test_100_megabytes_on_both_streams_are_followed_whole(make):
    size = 50 << 20

    async def story():
        script = f"(yes {A} | head -c {size}) & (yes {B} | head -c {size} >&2); wait"
        container = await make(["sh", "-c", script])
        over = asyncio.Event()
        following = asyncio.create_task(follow(container, over, merge=True))
        await container.start()
        await container.ended()
        over.set()
        return await following

    found = run(story())
    for stream, line in ((1, A.encode() + b"\n"), (2, B.encode() + b"\n")):
        expected = (line * (size // len(line) + 1))[:size]
        assert hashlib.sha256(found[stream]).digest() == hashlib.sha256(expected).digest()


def test_binary_and_unfinished_lines_come_out_as_written(make):
    async def story():
        container = await make(["sh", "-c", "head -c 200000 /dev/urandom | tee /data; printf end >&2"])
        await container.start()
        await container.ended()
        over = asyncio.Event()
        over.set()
        return await follow(container, over), running.content(f"{container.bundle.path}/rootfs/data")

    found, data = run(story())
    assert found == {1: data, 2: b"end"}


def test_a_log_is_begun_anew_at_its_size_limit_and_a_follower_goes_on(make):
    async def story():
        script = "for n in $(seq 1 3000); do echo line $n; usleep 200; done"
        container = await make(["sh", "-c", script], log_max_size=20_000)
        over = asyncio.Event()
        following = asyncio.create_task(follow(container, over))
        await container.start()
        await container.ended()
        over.set()
        assert len(running.content(container.bundle.log)) <= 20_000 + 8192
        return await following

    found = run(story())[1]
    assert found == b"".join(b"line %d\n" % n for n in range(1, 3001))


def test_without_a_log_nothing_is_written(make):
    async def story():
        container = await make(["sh", "-c", "echo x"], log_path="")
        await container.start()
        assert (await container.ended()).code == 0
        assert "log" not in os.listdir(container.bundle.path)

    run(story())
