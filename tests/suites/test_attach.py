"""Attaching to real containers through conmon."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest
from support import bundles, running

from pouch.runtime import attach, oci
from pouch.spec import errors

pytestmark = pytest.mark.skipif(bool(why := bundles.missing()), reason=why)
run = running.run


@pytest.fixture
def make():
    """Creates containers of crun."""
    with bundles.workshop() as shop:
        yield lambda args, **fields: running.create(shop, oci.Runtime("crun", shop.state_root), args, **fields)


def test_a_client_that_attaches_before_the_start_misses_nothing_and_streams_are_apart(make):
    async def story():
        container = await make(["sh", "-c", "echo out; echo err >&2; exit 7"])
        client = await container.attach()
        await container.start()
        assert await running.everything(client) == {1: b"out\n", 2: b"err\n"}
        assert (await container.ended()).code == 7

    run(story())


def test_stdin_arrives_and_its_end_ends_it_when_it_is_meant_for_one_client(make):
    async def story():
        container = await make(["cat"], stdin=True, stdin_once=True)
        client = await container.attach()
        await container.start()
        await client.write(b"hello\n")
        await client.write(b"no newline")
        await client.write_eof()
        assert (await running.everything(client))[1] == b"hello\nno newline"
        assert (await container.ended()).code == 0

    run(story())


def test_much_input_comes_back_whole(make):
    async def story():
        container = await make(["cat"], stdin=True, stdin_once=True, log_path="")
        client = await container.attach()
        await container.start()
        data = os.urandom(3 << 20)

        async def feed():
            await client.write(data)
            await client.write_eof()

        feeding = asyncio.create_task(feed())
        found = (await running.everything(client))[1]
        await feeding
        assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()

    run(story())


def test_stdin_stays_open_for_the_next_client_unless_it_is_for_one(make):
    async def story():
        container = await make(["cat"], stdin=True)
        await container.start()
        for word in (b"one\n", b"two\n"):
            client = await container.attach()
            await client.write(word)
            assert await running.until(client, word) == word
            await client.write_eof()
            await client.close()
        assert (await container.kill()).code == 137

    run(story())


def test_all_clients_see_the_same_output(make):
    async def story():
        container = await make(["sh", "-c", "yes abc | head -c 2000000"])
        clients = [await container.attach() for _ in range(3)]
        await container.start()
        found = await asyncio.gather(*map(running.everything, clients))
        assert {len(one[1]) for one in found} == {2000000}

    run(story())


def test_leaving_does_not_stop_the_container(make):
    async def story():
        container = await make(["sh", "-c", "yes | head -c 3000000; exit 9"])
        client = await container.attach()
        await container.start()
        await client.read()
        await client.close()
        assert await client.read() is None
        await client.write(b"ignored")
        assert (await container.ended()).code == 9

    run(story())


def test_a_client_that_reads_nothing_is_cut_off_and_the_container_goes_on(make, monkeypatch):
    async def story():
        monkeypatch.setattr(attach, "PATIENCE", 0.2)
        container = await make(["sh", "-c", "yes | head -c 20000000; exit 4"])
        idle = await container.attach()
        busy = await container.attach()
        await container.start()
        assert len((await running.everything(busy))[1]) == 20000000
        assert (await container.ended()).code == 4
        found = await running.everything(idle)
        assert found[2].endswith(b"output is missing\r\n")
        assert attach.BUFFER <= len(found[1]) < attach.BUFFER + (1 << 20)

    run(story())


def test_a_slow_client_gets_everything(make, monkeypatch):
    async def story():
        monkeypatch.setattr(attach, "PATIENCE", 1)
        monkeypatch.setattr(attach, "BUFFER", 100_000)
        container = await make(["sh", "-c", "yes | head -c 5000000"], log_path="")
        client = await container.attach()
        await container.start()
        size = 0
        while (piece := await client.read()) is not None:
            size += len(piece[1])
            await asyncio.sleep(0.001)
        assert size == 5000000

    run(story())


def test_a_terminal_is_typed_at_resized_and_outlives_its_client(make):
    async def story():
        script = "trap 'stty size' 28; echo ready; while :; do read x && echo got $x; done"
        container = await make(["sh", "-c", script], tty=True, stdin=True, stdin_once=True)
        client = await container.attach(tty=True)
        await container.start()
        await running.until(client, b"ready")
        await attach.resize(f"{container.bundle.path}/ctl", 50, 60)
        await running.until(client, b"50 60")
        await client.write(b"one\n")
        await running.until(client, b"got one")
        await client.close()
        again = await container.attach(tty=True)
        await again.write(b"two\n")
        await running.until(again, b"got two")
        await attach.resize(f"{container.bundle.path}/ctl", 5000, 6000)
        await running.until(again, b"1000 1000")
        await again.close()
        await container.kill()

    run(story())


def test_who_attaches_to_nothing_is_told(make):
    async def story():
        container = await make(["true"])
        path = container.bundle.path
        await container.start()
        await container.ended()
        with pytest.raises(errors.Conflict):
            await container.attach()
        with pytest.raises(errors.Conflict):
            await attach.resize(f"{path}/ctl", 1, 1)
        with pytest.raises(errors.Conflict):
            await attach.connect("/nonexistent/attach", tty=False)

    run(story())


def test_the_path_may_be_longer_than_a_sockets_name(make):
    async def story():
        container = await make(["sh", "-c", "echo deep"])
        deep = container.shop.path
        for _ in range(3):
            deep += "/" + "d" * 60
            os.mkdir(deep)
        os.symlink(container.bundle.path, f"{deep}/bundle")
        client = await attach.connect(f"{deep}/bundle/attach", tty=False)
        await container.start()
        assert (await running.everything(client))[1] == b"deep\n"

    run(story())


def test_100_megabytes_come_whole_and_in_order(make):
    size = 100 << 20

    async def story():
        container = await make(["sh", "-c", f"yes 0123456789abcdef | head -c {size}"], log_path="")
        client = await container.attach()
        await container.start()
        digest = hashlib.sha256()
        while (piece := await client.read()) is not None:
            digest.update(piece[1])
        return digest.hexdigest()

    line = b"0123456789abcdef\n"
    assert run(story()) == hashlib.sha256((line * (size // len(line) + 1))[:size]).hexdigest()


def test_connections_are_given_back(make):
    async def story():
        container = await make(["sleep", "1000"])
        await container.start()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            client = await container.attach()
            await client.close()
            await client.close()
        assert len(os.listdir("/proc/self/fd")) == before
        await container.kill()

    run(story())
