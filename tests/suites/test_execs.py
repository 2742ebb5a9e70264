"""Exec processes in a running container, with crun and with runc."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal

import pytest
from support import bundles, running

from pouch.runtime import execs, oci
from pouch.spec import errors

pytestmark = pytest.mark.skipif(bool(why := bundles.missing()), reason=why)
run = running.run


@pytest.fixture(params=["crun", "runc"], scope="module")
def place(request):
    """A container that sleeps: (runtime, id)."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    with bundles.workshop() as shop:
        runtime = oci.Runtime(request.param, shop.state_root)

        async def begin():
            container = await running.create(shop, runtime, ["sh", "-c", "trap : 15; while :; do sleep 1000; done"])
            await container.start()
            return container

        # its monitor stays our child: only the loop that would have reaped it is gone
        container = run(begin())
        yield runtime, container.id


def sh(script: str, **fields):
    return bundles.process(["sh", "-c", script], **fields)


async def spawn(place, document, **options):
    return await execs.spawn(*place, document, **options)


async def whole(place, document, **options):
    """Run one to its end: (code, stdout, stderr)."""
    started = await spawn(place, document, **options)
    found = await running.everything(started.stdio)
    return await started.wait(), found[1], found[2]


def test_streams_are_apart_and_the_code_is_the_processs_own(place):
    assert run(whole(place, sh("echo out; echo err >&2; exit 7"))) == (7, b"out\n", b"err\n")


def test_the_code_255_is_no_failure_of_the_runtime(place):
    assert run(whole(place, sh("echo x; exit 255"))) == (255, b"x\n", b"")


@pytest.mark.parametrize("number", [9, 15])
def test_a_signal_is_128_and_its_number(place, number):
    assert run(whole(place, sh(f"kill -{number} $$")))[0] == 128 + number


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["nope"], 127, 'exec: "nope": executable file not found in $PATH'),
        (["/nope/x"], 127, 'exec: "/nope/x": executable file not found in $PATH'),
        (["/not-executable"], 126, 'exec: "/not-executable": permission denied'),
        (["/directory"], 126, 'exec: "/directory": permission denied'),
    ],
)
def test_what_cannot_be_executed_is_told_in_dockers_words(place, args, code, text, tty):
    with pytest.raises(errors.StartFailed) as caught:
        run(spawn(place, bundles.process(args), tty=tty))
    assert (caught.value.exit_code, caught.value.message) == (code, text)


def test_a_working_directory_that_is_missing_is_named(place):
    with pytest.raises(errors.StartFailed, match="/no/such/place") as caught:
        run(spawn(place, bundles.process(["true"], cwd="/no/such/place")))
    assert caught.value.exit_code in (125, 126, 127)


def test_a_container_that_does_not_run_is_a_conflict(place):
    with pytest.raises(errors.Conflict, match="container nobody is not running"):
        run(execs.spawn(place[0], "nobody", bundles.process(["true"])))


def test_a_stopped_container_is_a_conflict(place):
    async def story():
        with bundles.workshop() as shop:
            runtime = oci.Runtime(place[0].name, shop.state_root)
            container = await running.create(shop, runtime, ["true"])
            await container.start()
            await container.ended()
            with pytest.raises(errors.Conflict, match="is not running"):
                await execs.spawn(runtime, container.id, bundles.process(["true"]))

    run(story())


def test_stdin_arrives_and_ends(place):
    async def story():
        started = await spawn(place, bundles.process(["cat"]), stdin=True)
        await started.stdio.write(b"first ")
        assert await running.until(started.stdio, b"first ") == b"first "
        await started.stdio.write(b"last")
        await started.stdio.write_eof()
        assert (await running.everything(started.stdio))[1] == b"last"
        assert await started.wait() == 0

    run(story())


def test_without_stdin_the_process_reads_nothing(place):
    assert run(whole(place, sh("cat; echo end"))) == (0, b"end\n", b"")


def test_a_process_of_another_user_may_open_its_stdout_again(place):
    assert run(whole(place, sh("echo again > /dev/stdout; id -u", uid=1000))) == (0, b"again\n1000\n", b"")


def test_100_megabytes_come_whole_and_in_order(place):
    size = 100 << 20

    async def story():
        script = f"yes 0123456789abcdef | head -c {size}"
        started = await spawn(place, sh(script))
        digest = hashlib.sha256()
        while (piece := await started.stdio.read()) is not None:
            digest.update(piece[1])
        return digest.hexdigest(), await started.wait()

    line = b"0123456789abcdef\n"
    expected = hashlib.sha256((line * (size // len(line) + 1))[:size]).hexdigest()
    assert run(story()) == (expected, 0)


def test_both_streams_in_bulk_at_once(place):
    async def story():
        script = "(yes out | head -c 8000000) & (yes err | head -c 8000000 >&2); wait"
        return await whole(place, sh(script))

    code, out, err = run(story())
    assert (code, len(out), len(err)) == (0, 8000000, 8000000)
    assert set(out.split(b"\n")[:-1]) == {b"out"}
    assert set(err.split(b"\n")[:-1]) == {b"err"}


def test_much_input_comes_back_whole_though_both_pipes_are_full(place):
    async def story():
        started = await spawn(place, bundles.process(["cat"]), stdin=True)
        data = os.urandom(5 << 20)

        async def feed():
            await started.stdio.write(data)
            await started.stdio.write_eof()

        feeding = asyncio.create_task(feed())
        found = await running.everything(started.stdio)
        await feeding
        assert found[1] == data

    run(story())


def test_a_process_that_nobody_reads_waits_instead_of_losing(place):
    async def story():
        started = await spawn(place, sh("yes | head -c 300000; echo done > /tmp/backpressure"))
        await asyncio.sleep(0.1)
        assert started.running
        assert len((await running.everything(started.stdio))[1]) == 300000
        assert await started.wait() == 0

    run(story())


def test_the_clients_leaving_does_not_kill_the_process(place):
    async def story():
        started = await spawn(place, sh("yes | head -c 3000000 && exit 33"), stdin=True)
        await started.stdio.read()
        await started.stdio.close()
        assert await started.stdio.read() is None
        assert await started.wait() == 33

    run(story())


def test_closing_while_somebody_reads_wakes_the_reader(place):
    async def story():
        started = await spawn(place, sh("sleep 1000"))
        reading = asyncio.create_task(started.stdio.read())
        await asyncio.sleep(0.02)
        await started.stdio.close()
        started.kill()
        assert await reading is None
        assert await started.wait() == 137

    run(story())


@pytest.fixture
def direct(place):
    """A place whose runtime gives the process our own pipes."""
    if not place[0].sends_console:
        pytest.skip("runc copies between pipes, and waits for all who hold them")
    return place


def test_a_background_process_that_keeps_the_pipe_does_not_hold_up_the_end(direct):
    async def story():
        started = await spawn(direct, sh("(sleep 1000; echo late) & echo begun; exit 4"))
        assert await running.everything(started.stdio) == {1: b"begun\n", 2: b""}
        assert await started.wait() == 4

    run(story(), limit=10)


def test_a_background_process_may_go_on_writing_after_the_end(place):
    async def story():
        started = await spawn(place, sh("(yes | head -c 1000000; echo $? > /tmp/after) & exit 0"))
        await running.everything(started.stdio)
        assert await whole(place, sh("while ! [ -s /tmp/after ]; do usleep 5000; done; cat /tmp/after")) == (
            0,
            b"0\n",
            b"",
        )

    run(story(), limit=10)


def test_an_endless_writer_in_the_background_does_not_hold_up_the_end(direct):
    async def story():
        started = await spawn(direct, sh("yes & echo $! >&2; exit 5"))
        found = await running.everything(started.stdio)
        assert await started.wait() == 5
        await whole(direct, sh(f"kill -9 {int(found[2])}"))

    run(story(), limit=10)


def test_a_detached_processs_code_is_known_and_nobody_need_read(place):
    async def story():
        started = await spawn(place, sh("yes | head -c 1000000; exit 21"), detach=True)
        assert started.stdio is None
        assert started.pid > 0
        assert await started.wait() == 21

    run(story())


def test_the_pid_is_the_processs_own_on_the_host(place):
    async def story():
        started = await spawn(place, sh("echo ready 777; while :; do usleep 10000; done"))
        await running.until(started.stdio, b"ready")
        assert b"echo ready 777" in running.content(f"/proc/{started.pid}/cmdline")
        started.kill(signal.SIGTERM)
        assert await started.wait() == 128 + 15
        started.kill(signal.SIGTERM)
        await started.stdio.close()

    run(story())


def test_a_terminal_is_the_containers_own_and_has_its_size_from_the_start(place):
    async def story():
        # crun's exec sets the size while the process begins, so the first look may come too early (stty fails at 0 0)
        script = "tty; until stty size 2>/dev/null; do :; done; exit 6"
        started = await spawn(place, sh(script), tty=True, stdin=True, size=(33, 44))
        found = await running.everything(started.stdio)
        assert found[1].startswith(b"/dev/pts/")
        assert found[1].endswith(b"\r\n33 44\r\n")
        assert (await started.wait(), found[2]) == (6, b"")
        with pytest.raises(errors.Conflict):
            started.resize(1, 1)

    run(story())


def test_a_terminal_can_be_typed_at_and_resized(place):
    async def story():
        started = await spawn(
            place, sh("trap 'stty size' 28; echo ready; until read x; do :; done; echo got $x"), tty=True, stdin=True
        )
        await running.until(started.stdio, b"ready")
        started.resize(50, 60)
        await running.until(started.stdio, b"50 60")
        await started.stdio.write(b"typed\n")
        await running.until(started.stdio, b"got typed")
        await running.everything(started.stdio)

    run(story())


def test_leaving_a_terminal_lets_its_process_go_on(place):
    async def story():
        started = await spawn(
            place, sh("echo ready; usleep 100000; yes | head -c 200000; exit 12"), tty=True, stdin=True
        )
        await running.until(started.stdio, b"ready")
        await started.stdio.close()
        assert await started.wait() == 12

    run(story())


def test_without_a_terminal_there_is_nothing_to_resize(place):
    async def story():
        started = await spawn(place, sh("sleep 1000"))
        with pytest.raises(errors.Conflict):
            started.resize(10, 10)
        started.kill()
        await running.everything(started.stdio)

    run(story())


def test_output_gives_what_a_short_command_prints(place):
    assert run(execs.output(*place, sh("echo 0123456789; echo no >&2"), limit=4)) == b"0123"


def test_a_cancelled_output_kills_its_command(place):
    async def story():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await execs.output(*place, sh("echo $$ > /tmp/mine; sleep 1000"))
        pid = int((await whole(place, bundles.process(["cat", "/tmp/mine"])))[1])
        script = f"while [ -e /proc/{pid} ]; do usleep 5000; done; echo gone"
        assert (await whole(place, sh(script)))[1] == b"gone\n"

    run(story())


def test_twenty_at_once(place):
    async def story():
        return await asyncio.gather(*(whole(place, sh(f"echo {n}; exit {n}")) for n in range(20)))

    assert run(story()) == [(n, b"%d\n" % n, b"") for n in range(20)]


def test_nothing_is_left_of_them(place):
    async def story():
        await whole(place, sh("echo the loop has its inotify instance now"))
        before, processes = len(os.listdir("/proc/self/fd")), running.children()
        for tty in (False, True):
            await whole(place, sh("echo x"), tty=tty, stdin=True)
            with pytest.raises(errors.StartFailed):
                await spawn(place, bundles.process(["nope"]), tty=tty, stdin=True)
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before
        assert running.children() == processes
        assert os.listdir(f"{place[0].state_root}-exec") == []

    run(story())


def test_the_kernel_does_not_spare_it_as_it_spares_the_daemon(place):
    read = "cat /proc/self/oom_score_adj"
    own = "/proc/self/oom_score_adj"
    with open(own) as file:
        before = file.read()
    with open(own, "w") as file:
        file.write("300")
    try:
        assert run(whole(place, sh(read)))[1] == b"0\n"
        assert run(whole(place, {**sh(read), "oomScoreAdj": 40}))[1] == b"40\n"
    finally:
        with open(own, "w") as file:
            file.write(before)
