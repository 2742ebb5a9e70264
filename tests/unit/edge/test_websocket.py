"""Attaching by a WebSocket, by a client of another library; and what a client may not do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import os
import struct

import pytest
import websockets
from support import edge_client, fake_engine
from websockets.asyncio.client import unix_connect

from pouch.spec import errors
from pouch.spec.log import LogRecord

KEY = base64.b64encode(b"sixteen bytes ok").decode()
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": KEY}


def give(engine, **config):
    """Let the only container have this config."""
    view = engine.containers.views[0]
    engine.containers.views[0] = dataclasses.replace(view, config=dataclasses.replace(view.config, **config))


@contextlib.asynccontextmanager
async def attached(daemon, query="stream=1&stdin=1&stdout=1&stderr=1", version="1.43", **options):
    """A WebSocket to the container `web`, and its process's streams."""
    uri = f"ws://pouch/v{version}/containers/web/attach/ws?{query}"
    async with unix_connect(daemon.path, uri, compression=None, **options) as socket:
        yield socket, daemon.engine.containers.stdio


async def test_both_directions_and_an_orderly_end():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True)
        async with attached(daemon) as (socket, stdio):
            await socket.send(b"typed")
            await stdio.typed_is(b"typed")
            stdio.say(b"out")
            stdio.say(b"err", 2)
            assert (await socket.recv(), await socket.recv()) == (b"out", b"err")
            stdio.end()
            with pytest.raises(websockets.ConnectionClosedOK):
                await socket.recv()
            assert socket.close_code == 1000
        await stdio.closed.wait()


async def test_text_fragments_and_large_messages_arrive_whole():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True)
        async with attached(daemon, max_size=None) as (socket, stdio):
            large = os.urandom(1 << 20)
            await socket.send("täxt ")
            await socket.send([b"in ", b"three ", b"fragments "])
            await socket.send(large)
            await stdio.typed_is("täxt in three fragments ".encode() + large)
            stdio.say(large)
            assert await socket.recv() == large
            stdio.end()


async def test_pings_are_answered_while_output_comes():
    async with edge_client.running() as daemon, attached(daemon) as (socket, stdio):
        stdio.say(b"before")
        answered = await socket.ping(b"there?")
        await answered
        assert await socket.recv() == b"before"
        stdio.end()


async def test_before_1_28_messages_are_text():
    async with edge_client.running() as daemon, attached(daemon, version="1.27") as (socket, stdio):
        stdio.say("ä".encode()[:1])
        stdio.say("ä".encode()[1:] + b"\xff.")
        assert await socket.recv() == ""
        assert await socket.recv() == "ä\ufffd."
        stdio.end()


@pytest.mark.parametrize(("version", "expected"), [("1.41", [b"out", b"err"]), ("1.42", [b"err"])])
async def test_the_streams_that_were_asked_for_come_since_1_42(version, expected):
    async with edge_client.running() as daemon, attached(daemon, "stream=1&stderr=1", version) as (socket, stdio):
        stdio.say(b"out")
        stdio.say(b"err", 2)
        stdio.end()
        assert [message async for message in socket] == expected


async def test_what_was_said_before_comes_bare():
    async with edge_client.running() as daemon:
        daemon.engine.containers.records = fake_engine.FakeStream(LogRecord(2, "t", b"earlier\n"))
        async with attached(daemon, "logs=1&stdout=1&stderr=1") as (socket, _):
            assert [message async for message in socket] == [b"earlier\n"]


async def test_the_detach_keys_end_the_session_and_not_the_process():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True, tty=True)
        async with attached(daemon) as (socket, stdio):
            await socket.send(b"last\x10")
            await socket.send(b"\x11never")
            with pytest.raises(websockets.ConnectionClosedOK):
                await socket.recv()
            assert bytes(stdio.typed) == b"last"
            assert not stdio.eof.is_set()


async def test_a_goodbye_ends_the_input_and_the_session():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True, stdin_once=True)
        async with attached(daemon) as (socket, stdio):
            await socket.send(b"x")
            await socket.close()
            assert socket.close_code == 1000
            await stdio.eof.wait()
            await stdio.closed.wait()
        await daemon.forgotten()


async def test_a_client_that_vanishes_is_forgotten():
    async with edge_client.running() as daemon:
        async with attached(daemon) as (socket, stdio):
            socket.transport.abort()
            await stdio.closed.wait()
        await daemon.forgotten()


async def test_a_protocol_that_is_offered_alone_is_spoken():
    async with edge_client.running() as daemon, attached(daemon, subprotocols=["raw"]) as (socket, stdio):
        assert socket.subprotocol == "raw"
        stdio.end()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82\x01x", 1002),  # not masked
        (b"\x83\x80\0\0\0\0", 1002),  # no such kind of frame
        (b"\xc2\x80\0\0\0\0", 1002),  # an extension that was not agreed on
        (b"\x09\x80\0\0\0\0", 1002),  # a ping in fragments
        (b"\x89\xfe\x00\x7e\0\0\0\0" + bytes(126), 1002),  # a ping that is too long
        (b"\x80\x80\0\0\0\0", 1002),  # a continuation of nothing
        (b"\x81\x81\0\0\0\0\xff", 1007),  # a text that is none
    ],
)
async def test_a_broken_frame_ends_the_session_with_its_reason(frame, code):
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True)
        client = await daemon.client()
        await client.ask("GET", "/containers/web/attach/ws?stream=1&stdin=1&stdout=1", **UPGRADE)
        assert (await client.head()).status == 101
        await client.send(frame)
        answer = await client.reader.read()
        assert answer[0] == 0x88
        assert struct.unpack(">H", answer[2:4]) == (code,)
        await daemon.engine.containers.stdio.closed.wait()
        assert bytes(daemon.engine.containers.stdio.typed) == b""


async def test_frames_sent_with_the_request_are_not_lost():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True)
        client = await daemon.client()
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in UPGRADE.items()]
        head = "\r\n".join(["GET /containers/web/attach/ws?stream=1&stdin=1 HTTP/1.1", "Host: p", *lines, "", ""])
        await client.send(head.encode() + b"\x82\x85\0\0\0\0early")
        await daemon.engine.containers.stdio.typed_is(b"early")
        daemon.engine.containers.stdio.end()


async def test_a_slow_reader_holds_up_the_process_only_beyond_what_fits():
    """Output waits for the client, in the process's own pipe and not in the daemon's memory."""
    async with edge_client.running() as daemon, attached(daemon, max_queue=1, max_size=None) as (socket, stdio):
        for _ in range(200):
            stdio.say(bytes(65536))
        for _ in range(50):
            await asyncio.sleep(0)
        assert stdio.output.qsize() > 100
        for _ in range(200):
            assert len(await socket.recv()) == 65536
        stdio.end()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"Upgrade": "tcp"}, 400, "Upgrade: websocket"),
        ({"Connection": "close"}, 400, "Connection: Upgrade"),
        ({"Sec_WebSocket_Version": "8"}, 426, "only 13"),
        ({"Sec_WebSocket_Key": "short"}, 400, "16 bytes in base64"),
        ({"Sec_WebSocket_Key": "*" * 24}, 400, "16 bytes in base64"),
        ({"Origin": "https://evil.example"}, 403, "https://evil.example"),
        ({"Origin": "null"}, 403, "may not attach"),
        ({"Origin": "http://["}, 403, "may not attach"),
    ],
)
async def test_a_handshake_that_is_none_is_refused(change, status, words):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/containers/web/attach/ws?stream=1", **{**UPGRADE, **change})
        assert answer.status == status
        assert words in answer.json()["message"]
        assert daemon.engine.calls == []


async def test_a_page_of_the_daemon_itself_may_attach():
    async with edge_client.running() as daemon, attached(daemon, origin="http://pouch") as (_, stdio):
        stdio.end()


async def test_an_unknown_container_has_its_status():
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.get"] = errors.NotFound("No such container: web")
        answer = await daemon.request("GET", "/containers/web/attach/ws?stream=1", **UPGRADE)
        assert answer.status == 404
