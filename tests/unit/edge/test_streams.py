"""Attach, exec, logs, wait: raw streams in both directions, and clients that go away."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest
from support import edge_client, fake_engine

from pouch.edge.http import hijack, message
from pouch.engine import views
from pouch.spec import container, errors

EXEC = "/exec/" + "e" * 64 + "/start"
ATTACH = "/containers/web/attach?stream=1&stdin=1&stdout=1&stderr=1"


def give(engine: fake_engine.FakeEngine, **config) -> None:
    """Let the only container have this config."""
    view = engine.containers.views[0]
    engine.containers.views[0] = dataclasses.replace(view, config=dataclasses.replace(view.config, **config))


async def attached(daemon, target: str = ATTACH, **headers: str):
    """A client whose connection has become a stream."""
    client = await daemon.client()
    await client.ask("POST", target, **headers)
    return client, await client.head()


async def test_attach_with_upgrade_is_answered_101():
    async with edge_client.running() as daemon:
        _, head = await attached(daemon, Connection="Upgrade", Upgrade="tcp")
        assert (head.status, head.reason) == (101, "UPGRADED")
        assert (head.headers["connection"], head.headers["upgrade"]) == ("Upgrade", "tcp")
        assert head.headers["content-type"] == message.MULTIPLEXED_STREAM
        daemon.engine.containers.stdio.end()


async def test_attach_without_upgrade_is_answered_200_without_a_length():
    async with edge_client.running() as daemon:
        _, head = await attached(daemon)
        assert head.status == 200
        assert not {"content-length", "transfer-encoding"} & head.headers.keys()
        daemon.engine.containers.stdio.end()


@pytest.mark.parametrize(
    ("version", "tty", "content_type"),
    [
        ("1.41", False, message.RAW_STREAM),
        ("1.42", False, message.MULTIPLEXED_STREAM),
        ("1.43", True, message.RAW_STREAM),
    ],
)
async def test_the_content_type_says_multiplexed_from_1_42_on(version, tty, content_type):
    async with edge_client.running() as daemon:
        give(daemon.engine, tty=tty)
        _, head = await attached(daemon, f"/v{version}{ATTACH}")
        assert head.headers["content-type"] == content_type
        daemon.engine.containers.stdio.end()


async def test_both_streams_come_apart_and_the_end_of_output_ends_the_connection():
    async with edge_client.running() as daemon:
        client, _ = await attached(daemon)
        stdio = daemon.engine.containers.stdio
        stdio.say(b"out")
        stdio.say(b"err", 2)
        assert await client.frame() == (1, b"out")
        assert await client.frame() == (2, b"err")
        stdio.end()
        assert await client.at_end()
        await stdio.closed.wait()


async def test_with_a_terminal_bytes_are_bare():
    async with edge_client.running() as daemon:
        give(daemon.engine, tty=True)
        client, _ = await attached(daemon)
        daemon.engine.containers.stdio.say(b"bare\r\n")
        assert await client.reader.readexactly(6) == b"bare\r\n"
        daemon.engine.containers.stdio.end()
        assert await client.at_end()


async def test_a_stream_that_was_not_asked_for_does_not_come():
    async with edge_client.running() as daemon:
        client, _ = await attached(daemon, "/containers/web/attach?stream=1&stderr=1")
        stdio = daemon.engine.containers.stdio
        stdio.say(b"out")
        stdio.say(b"err", 2)
        stdio.end()
        assert await client.frame() == (2, b"err")
        assert await client.at_end()


async def test_bytes_sent_together_with_the_request_reach_the_process():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True)
        client = await daemon.client()
        await client.send(
            f"POST {ATTACH} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ".encode()
        )
        await client.head()
        await client.send(b"late")
        await daemon.engine.containers.stdio.typed_is(b"early late")
        daemon.engine.containers.stdio.end()


async def test_a_half_closed_client_still_gets_all_output():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True, stdin_once=True)
        client, _ = await attached(daemon)
        stdio = daemon.engine.containers.stdio
        await client.send(b"input")
        client.end_input()
        await stdio.eof.wait()
        assert bytes(stdio.typed) == b"input"
        for number in range(100):
            stdio.say(b"%d" % number)
            assert await client.frame() == (1, b"%d" % number)
        stdio.end()
        assert await client.at_end()


async def test_the_end_of_input_of_one_client_leaves_stdin_open_for_the_next():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True, stdin_once=False)
        client, _ = await attached(daemon)
        client.end_input()
        stdio = daemon.engine.containers.stdio
        stdio.say(b"still here")
        assert await client.frame() == (1, b"still here")
        assert not stdio.eof.is_set()
        stdio.end()


async def test_a_container_without_open_stdin_is_sent_nothing():
    async with edge_client.running() as daemon:
        client, _ = await attached(daemon)
        await client.send(b"typed in vain")
        stdio = daemon.engine.containers.stdio
        stdio.say(b"x")
        await client.frame()
        stdio.end()
        assert await client.at_end()
        assert bytes(stdio.typed) == b""


async def test_a_client_that_leaves_detaches_and_does_not_stop_the_process():
    async with edge_client.running() as daemon:
        client, _ = await attached(daemon)
        await client.leave()
        await daemon.engine.containers.stdio.closed.wait()
        assert not daemon.engine.containers.stdio.eof.is_set()
        assert "containers.stop" not in daemon.engine.called
        assert "containers.detached" not in [call[0] for call in daemon.engine.calls]  # the keys only, as with Docker


async def test_the_detach_keys_end_the_session_and_are_not_typed():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True, tty=True)
        client, _ = await attached(daemon)
        await client.send(b"ls\r\x10")
        await client.send(b"\x11never")
        assert await client.at_end()
        stdio = daemon.engine.containers.stdio
        await stdio.closed.wait()
        assert bytes(stdio.typed) == b"ls\r"
        assert len(daemon.engine.call("containers.detached")[0]) == 64


async def test_detach_keys_can_be_chosen():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True, tty=True)
        client, _ = await attached(daemon, ATTACH + "&detachKeys=ctrl-a,d")
        await client.send(b"\x10\x11\x01d")
        assert await client.at_end()
        assert bytes(daemon.engine.containers.stdio.typed) == b"\x10\x11"


async def test_without_a_terminal_the_detach_keys_are_bytes_like_others():
    async with edge_client.running() as daemon:
        give(daemon.engine, open_stdin=True)
        client, _ = await attached(daemon)
        await client.send(b"\x10\x11")
        await daemon.engine.containers.stdio.typed_is(b"\x10\x11")
        daemon.engine.containers.stdio.end()
        assert await client.at_end()


async def test_attach_with_logs_sends_the_past_before_the_present():
    async with edge_client.running() as daemon:
        daemon.engine.containers.records = fake_engine.FakeStream(views.LogRecord(2, "t", b"past\n"))
        client, _ = await attached(daemon, "/containers/web/attach?logs=1&stream=1&stdout=1&stderr=1")
        daemon.engine.containers.stdio.say(b"present\n")
        assert await client.frame() == (2, b"past\n")
        assert await client.frame() == (1, b"present\n")
        daemon.engine.containers.stdio.end()


async def test_attach_with_logs_only_ends_after_them():
    async with edge_client.running() as daemon:
        daemon.engine.containers.records = fake_engine.FakeStream(views.LogRecord(1, "t", b"past\n"))
        client, _ = await attached(daemon, "/containers/web/attach?logs=1&stdout=1")
        assert await client.frame() == (1, b"past\n")
        assert await client.at_end()
        assert "containers.attach" not in daemon.engine.called


async def test_an_attach_whose_log_fails_lets_go_of_the_process():
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.logs"] = errors.CorruptData("log of web: line 3")
        answer = await daemon.request("POST", "/containers/web/attach?logs=1&stream=1&stdout=1")
        assert (answer.status, answer.json()) == (500, {"message": "log of web: line 3"})
        assert daemon.engine.containers.stdio.closed.is_set()


async def test_attach_to_nothing_is_an_ordinary_404_also_with_upgrade():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("POST", "/containers/none/attach?stream=1&stdout=1", Connection="Upgrade", Upgrade="tcp")
        assert (await client.answer()).json() == {"message": "No such container: none"}
        await client.ask("GET", "/_ping")
        assert (await client.answer()).status == 200


async def test_exec_carries_both_directions():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("POST", EXEC, {"Detach": False, "Tty": False}, Connection="Upgrade", Upgrade="tcp")
        assert (await client.head()).status == 101
        assert daemon.engine.call("execs.start") == ("e" * 64, False, None)
        await client.send(b"in")
        client.end_input()
        stdio = daemon.engine.execs.stdio
        await stdio.eof.wait()
        stdio.say(b"out")
        stdio.say(b"err", 2)
        stdio.end()
        assert [await client.frame(), await client.frame()] == [(1, b"out"), (2, b"err")]
        assert await client.at_end()


async def test_exec_with_a_terminal_has_its_size_and_keys():
    async with edge_client.running() as daemon:
        daemon.engine.execs.config = container.ExecConfig(
            cmd=("sh",), tty=True, attach_stdin=True, detach_keys="ctrl-x"
        )
        client = await daemon.client()
        await client.ask("POST", EXEC, {"Tty": True, "ConsoleSize": [24, 80]})
        await client.head()
        assert daemon.engine.call("execs.start") == ("e" * 64, False, (24, 80))
        await client.send(b"a\x18")
        assert await client.at_end()
        assert bytes(daemon.engine.execs.stdio.typed) == b"a"
        assert daemon.engine.call("execs.detached") == ("e" * 64,)


async def test_a_detached_exec_is_answered_at_once():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", EXEC, {"Detach": True})
        assert (answer.status, answer.body) == (200, b"")
        assert daemon.engine.call("execs.start") == ("e" * 64, True, None)


@pytest.mark.parametrize("size", [[-1, 80], [24, 70000]])
async def test_an_exec_with_an_impossible_terminal_is_refused(size):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", EXEC, {"Tty": True, "ConsoleSize": size})
        assert answer.status == 400
        assert "execs.start" not in daemon.engine.called


async def test_an_exec_that_cannot_start_says_so_on_its_stream():
    async with edge_client.running() as daemon:
        daemon.engine.fail["execs.start"] = errors.StartFailed('exec: "x": not found', exit_code=127)
        client = await daemon.client()
        await client.ask("POST", EXEC, {}, Connection="Upgrade", Upgrade="tcp")
        assert (await client.head()).status == 101
        assert await client.frame() == (1, b'exec: "x": not found\r\n')
        assert await client.at_end()


async def test_a_detached_exec_that_cannot_start_has_its_status_and_exit_code():
    async with edge_client.running() as daemon:
        daemon.engine.fail["execs.start"] = errors.StartFailed('exec: "x": not found', exit_code=127)
        answer = await daemon.request("POST", EXEC, {"Detach": True})
        assert (answer.status, answer.json()["exitCode"]) == (400, 127)


async def test_no_output_travels_together_with_the_head():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        stdio = daemon.engine.execs.stdio
        stdio.say(b"out")
        stdio.end()
        await client.ask("POST", EXEC, {}, Connection="Upgrade", Upgrade="tcp")
        first = await client.reader.read(65536)
        assert first.endswith(b"\r\n\r\n")
        assert await client.reader.read(65536) == hijack.frame(1, b"out")


async def test_logs_come_in_frames_with_times_at_the_beginning_of_lines():
    async with edge_client.running() as daemon:
        daemon.engine.containers.records = fake_engine.FakeStream(
            views.LogRecord(1, "T1", b"begin "),
            views.LogRecord(2, "T2", b"other\n"),
            views.LogRecord(1, "T3", b"end\n"),
            views.LogRecord(1, "T4", b"next"),
        )
        target = "/v1.43/containers/web/logs?stdout=1&stderr=1&timestamps=1&tail=5&since=1&until=2.5"
        answer = await daemon.request("GET", target)
        assert answer.headers["content-type"] == message.MULTIPLEXED_STREAM
        assert answer.body == b"".join(
            [
                hijack.frame(1, b"T1 begin "),
                hijack.frame(2, b"T2 other\n"),
                hijack.frame(1, b"end\n"),
                hijack.frame(1, b"T4 next"),
            ]
        )
        assert daemon.engine.call("containers.logs") == (
            "web",
            views.LogQuery(since=10**9, until=2_500_000_000, tail=5),
        )


async def test_logs_of_a_terminal_are_bare():
    async with edge_client.running() as daemon:
        give(daemon.engine, tty=True)
        daemon.engine.containers.records = fake_engine.FakeStream(views.LogRecord(1, "T", b"bare\r\n"))
        answer = await daemon.request("GET", "/containers/web/logs?stdout=1")
        assert (answer.headers["content-type"], answer.body) == (message.RAW_STREAM, b"bare\r\n")


@pytest.mark.parametrize(("text", "tail"), [("all", -1), ("0", 0), ("7", 7), ("-3", -1), ("x", -1), ("9" * 5000, -1)])
async def test_a_tail_that_is_no_number_is_all(text, tail):
    async with edge_client.running() as daemon:
        assert (await daemon.request("GET", f"/containers/web/logs?stdout=1&tail={text}")).status == 200
        assert daemon.engine.call("containers.logs")[1].tail == tail


async def test_logs_of_no_stream_are_refused_in_dockers_words():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/containers/web/logs")
        assert answer.json() == {"message": "Bad parameters: you must choose at least one stream"}
        assert answer.status == 400


async def test_followed_logs_come_as_they_are_written_and_end_with_the_client():
    async with edge_client.running() as daemon:
        records = daemon.engine.containers.records = fake_engine.FakeStream(open_end=True)
        client = await daemon.client()
        await client.ask("GET", "/containers/web/logs?stdout=1&follow=1")
        await client.head()
        for word in (b"one\n", b"two\n"):
            records.queue.put_nowait(views.LogRecord(1, "T", word))
            assert await client.chunk() == hijack.frame(1, word)
        await client.leave()
        await records.closed.wait()


async def test_small_pieces_that_come_together_go_out_in_few_chunks_and_whole():
    async with edge_client.running() as daemon:
        words = [b"%d\n" % number for number in range(10_000)]
        daemon.engine.containers.records = fake_engine.FakeStream(*(views.LogRecord(1, "T", word) for word in words))
        answer = await daemon.request("GET", "/containers/web/logs?stdout=1")
        assert answer.body == b"".join(hijack.frame(1, word) for word in words)
        assert len(answer.chunks) < 100


async def test_a_log_that_breaks_off_is_not_taken_for_whole(caplog):
    async with edge_client.running() as daemon:
        daemon.engine.containers.records = fake_engine.FakeStream(
            views.LogRecord(1, "T", b"part\n"), errors.CorruptData("rest unreadable")
        )
        client = await daemon.client()
        await client.ask("GET", "/containers/web/logs?stdout=1")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()
        assert "rest unreadable" in caplog.text


async def test_the_head_of_wait_goes_out_when_waiting_has_begun():
    async with edge_client.running() as daemon:
        daemon.engine.gate["containers.wait"] = asyncio.Event()
        client = await daemon.client()
        await client.ask("POST", "/containers/web/wait?condition=next-exit")
        await daemon.engine.reached("containers.wait")
        head = asyncio.create_task(client.head())
        _, waiting = await asyncio.wait([head], timeout=0.1)
        assert waiting, "the head must not go out before the engine has begun to wait"
        daemon.engine.gate["containers.wait"].set()
        assert (await head).status == 200
        daemon.engine.containers.ended.set_result(views.WaitResult(3))
        assert json.loads(await client.chunk()) == {"StatusCode": 3}


async def test_wait_for_a_stopped_container_answers_at_once():
    async with edge_client.running() as daemon:
        daemon.engine.containers.ended.set_result(views.WaitResult(0, "cannot reap"))
        answer = await daemon.request("POST", "/containers/web/wait")
        assert answer.json() == {"StatusCode": 0, "Error": {"Message": "cannot reap"}}
        assert daemon.engine.call("containers.wait") == ("web", "not-running")


async def test_wait_for_an_unknown_container_is_404():
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.wait"] = errors.NotFound("No such container: x")
        assert (await daemon.request("POST", "/containers/x/wait?condition=next-exit")).status == 404


async def test_an_error_of_a_wait_that_has_begun_stands_in_its_document():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("POST", "/containers/web/wait?condition=removed")
        await client.head()
        daemon.engine.containers.ended.set_exception(errors.Unavailable("the daemon stops"))
        assert json.loads(await client.chunk()) == {"StatusCode": 125, "Error": {"Message": "the daemon stops"}}


async def test_a_client_that_leaves_ends_its_wait():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("POST", "/containers/web/wait?condition=next-exit")
        await client.head()
        await client.leave()
        await daemon.engine.reached("containers.wait cancelled")


async def test_a_change_goes_on_when_its_client_leaves():
    async with edge_client.running() as daemon:
        gate = daemon.engine.gate["containers.start"] = asyncio.Event()
        client = await daemon.client()
        await client.ask("POST", "/containers/web/start")
        await daemon.engine.reached("containers.start")
        await client.leave()
        gate.set()
        await daemon.engine.reached("containers.start finished")


async def test_an_image_is_finished_when_its_client_leaves_midway():
    async with edge_client.running() as daemon:
        steps = daemon.engine.archives.steps = fake_engine.FakeStream(views.Progress("Begun"), open_end=True)
        client = await daemon.client()
        await client.ask("POST", "/images/load", body=b"archive")
        await client.head()
        await client.chunk()
        await client.leave()
        await daemon.forgotten()
        steps.queue.put_nowait(views.Progress("Unseen"))
        steps.queue.put_nowait(StopAsyncIteration())
        await daemon.engine.reached("archives.load whole")


async def test_bootstrapping_ends_with_its_client():
    async with edge_client.running() as daemon:
        daemon.engine.archives.steps = fake_engine.FakeStream(views.Progress("Begun"), open_end=True)
        client = await daemon.client()
        await client.ask("POST", "/images/bootstrap?name=debian:bookworm")
        await client.head()
        await client.chunk()
        await client.leave()
        await daemon.engine.reached("archives.bootstrap ended")
        assert "archives.bootstrap whole" not in daemon.engine.finished


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("a,ctrl-z,DEL", b"a\x1a\x7f"), ("ctrl-@,ctrl-\\", b"\x00\x1c")],
)
def test_detach_keys_are_read(text, keys):
    assert hijack.parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-1", "ab", ",", "é"])
def test_wrong_detach_keys_are_refused(text):
    with pytest.raises(errors.InvalidInput, match="Invalid detach keys"):
        hijack.parse_detach_keys(text)


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        ([b"plain"], b"plain", False),
        ([b"a\x10\x11b"], b"a", True),
        ([b"\x10", b"\x11"], b"", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10", True),
        ([b"\x10", b"\x10", b"x"], b"\x10\x10x", False),
        ([b"\x11\x10"], b"\x11", False),
    ],
)
def test_detach_keys_are_found_across_pieces_and_what_is_not_them_is_passed(typed, passed, detached):
    keys = hijack.DetachKeys(hijack.DETACH_KEYS)
    whole, left = b"", False
    for piece in typed:
        part, left = keys.feed(piece)
        whole += part
    assert (whole, left) == (passed, detached)


def test_keys_held_back_at_the_end_of_input_are_not_lost():
    keys = hijack.DetachKeys(hijack.DETACH_KEYS)
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.rest() == b"\x10"


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("details=1", [b"B=2+3,role=a%26b first", b" half\n", b"B=2+3,role=a%26b last\n"]),
        ("details=1&timestamps=1", [b"T B=2+3,role=a%26b first", b" half\n", b"T B=2+3,role=a%26b last\n"]),
    ],
)
async def test_details_are_the_labels_and_variables_that_the_logs_options_name(query, lines):
    async with edge_client.running() as daemon:
        options = {"labels": "role,none", "env": "B,C", "max-size": "1m"}
        host = dataclasses.replace(container.HostConfig(), log_options=options)
        give(daemon.engine, tty=True, host=host, labels={"role": "a&b", "other": "x"}, env=("A=1", "B=2 3"))
        words = (b"first", b" half\n", b"last\n")
        daemon.engine.containers.records = fake_engine.FakeStream(*(views.LogRecord(1, "T", word) for word in words))
        answer = await daemon.request("GET", f"/containers/web/logs?stdout=1&{query}")
        assert answer.body == b"".join(lines)


async def test_without_any_details_are_a_blank_as_dockerds():
    async with edge_client.running() as daemon:
        give(daemon.engine, tty=True)
        daemon.engine.containers.records = fake_engine.FakeStream(views.LogRecord(1, "T", b"line\n"))
        answer = await daemon.request("GET", "/containers/web/logs?stdout=1&details=1")
        assert answer.body == b" line\n"
        _, query = daemon.engine.call("containers.logs")
        assert not query.merge  # each line has its own


async def test_the_start_of_an_exec_says_whether_its_terminal_comes_in_frames():
    """As with dockerd: what was said at its creation gives it a terminal, what is said at its start wraps the output."""
    async with edge_client.running() as daemon:
        daemon.engine.execs.config = container.ExecConfig(cmd=("x",), tty=True, attach_stdout=True)
        client = await daemon.client()
        await client.ask("POST", EXEC, {"Tty": False})
        assert (await client.head()).headers["content-type"] == message.MULTIPLEXED_STREAM
        daemon.engine.execs.stdio.say(b"out")
        assert await client.frame() == (1, b"out")
        daemon.engine.execs.stdio.end()
