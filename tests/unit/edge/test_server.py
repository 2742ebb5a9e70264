"""The listener's life: what happens to clients when the daemon stops."""

from __future__ import annotations

import asyncio
import gc
import os
import socket

import pytest
from support import edge_client, fake_engine

from pouch.edge.http import server
from pouch.engine import views


async def test_idle_clients_and_streams_end_at_once():
    async with edge_client.running() as daemon:
        idle, listening, attached = [await daemon.client() for _ in range(3)]
        await idle.ask("GET", "/_ping")
        await idle.answer()
        await listening.ask("GET", "/events")
        await listening.head()
        await attached.ask("POST", "/containers/web/attach?stream=1&stdout=1")
        await attached.head()
        async with asyncio.timeout(5):
            await daemon.server.close(60.0)
        assert await idle.at_end()
        assert daemon.engine.events.stream.closed.is_set()
        assert daemon.engine.containers.stdio.closed.is_set()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await listening.chunk()


async def test_a_change_under_way_is_finished_and_answered():
    async with edge_client.running() as daemon:
        gate = daemon.engine.gate["containers.stop"] = asyncio.Event()
        client = await daemon.client()
        await client.ask("POST", "/containers/web/stop")
        await daemon.engine.reached("containers.stop")
        closing = asyncio.create_task(daemon.server.close(60.0))
        await asyncio.sleep(0)
        assert not closing.done()
        gate.set()
        answer = await client.answer()
        assert answer.status == 204
        assert answer.headers["connection"] == "close"
        await closing


async def test_a_change_that_takes_longer_than_the_grace_is_not_cut_in_two(caplog):
    async with edge_client.running() as daemon:
        gate = daemon.engine.gate["containers.stop"] = asyncio.Event()
        client = await daemon.client()
        await client.ask("POST", "/containers/web/stop")
        await daemon.engine.reached("containers.stop")
        await daemon.server.close(0.01)
        assert "1 changes were still under way" in caplog.text
        gate.set()
        await daemon.engine.reached("containers.stop finished")


async def test_an_attach_that_nobody_waits_for_any_more_lets_go_of_its_process():
    async with edge_client.running() as daemon:
        gate = daemon.engine.gate["execs.start"] = asyncio.Event()
        client = await daemon.client()
        await client.ask("POST", "/exec/" + "e" * 64 + "/start", {})
        await daemon.engine.reached("execs.start")
        await daemon.server.close(0.01)
        gate.set()
        await daemon.engine.execs.stdio.closed.wait()


async def test_nobody_is_accepted_after_the_end_and_the_sockets_file_stays_its_owners():
    async with edge_client.running() as daemon:
        await daemon.server.close(1.0)
        assert os.path.exists(daemon.path)
        with pytest.raises(ConnectionRefusedError):
            await daemon.client()


async def test_closing_twice_does_no_harm():
    async with edge_client.running() as daemon:
        await daemon.server.close(1.0)
        await daemon.server.close(1.0)


async def test_no_descriptor_and_no_task_is_left_of_many_clients():
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    async with edge_client.running() as daemon:
        await daemon.request("GET", "/_ping")
        before, tasks = descriptors(), len(asyncio.all_tasks())
        for _ in range(20):
            client = await daemon.client()
            await client.ask("GET", "/events")
            await client.head()
            await client.leave()
            daemon.engine.containers.stdio = fake_engine.FakeStdio()
            client = await daemon.client()
            await client.ask("POST", "/containers/web/attach?stream=1&stdout=1")
            await client.head()
            await client.leave()
            await daemon.engine.containers.stdio.closed.wait()
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > tasks or descriptors() > before:
                await asyncio.sleep(0.01)


async def test_tcp_is_served_as_well():
    engine = fake_engine.FakeEngine()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        http = await server.serve(engine, sock, version="0")
        client = edge_client.Client(*await asyncio.open_connection(*sock.getsockname()))
        await client.ask("POST", "/containers/web/wait?condition=next-exit")
        await client.head()
        engine.containers.ended.set_result(views.WaitResult(5))
        assert await client.chunk() == b'{"StatusCode":5}\n'
        await client.leave()
        await http.close(1.0)
