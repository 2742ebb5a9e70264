"""Conformance of an OCI runtime under the monitor: crun and runc must both pass. Real processes, a busybox bundle."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal

import pytest
from support import bundles, running

from pouch.kernel import cgroup, process
from pouch.runtime import exits, failure, monitor, oci
from pouch.spec import errors

run, content, children, LIMIT = running.run, running.content, running.children, running.LIMIT
pytestmark = pytest.mark.skipif(bool(why := bundles.missing()), reason=why)


@pytest.fixture
def shop():
    with bundles.workshop() as made:
        yield made


@pytest.fixture(params=["crun", "runc"])
def runtime(request, shop):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return oci.Runtime(request.param, shop.state_root)


def request_for(bundle, **changes):
    fields = {"id": bundle.id, "name": "n", "bundle": bundle.path, "log_path": bundle.log, "pid_file": bundle.pid_file}
    return monitor.MonitorRequest(**(fields | changes))


async def create(shop, runtime, bundle, **changes):
    created = await monitor.Monitor("conmon", runtime, shop.exit_dir).create(request_for(bundle, **changes))
    shop.monitors.append(created.monitor_pid)
    return created


async def ended(shop, bundle, created):
    return await exits.wait(shop.exit_dir, bundle.id, created.monitor_pid, created.monitor_start_time)


async def whole_run(shop, runtime, bundle, **changes):
    created = await create(shop, runtime, bundle, **changes)
    await runtime.start(bundle.id)
    return await ended(shop, bundle, created)


def test_a_created_container_waits_for_its_start_and_then_leaves_its_code(shop, runtime):
    async def story():
        bundle = shop.bundle(["sh", "-c", "echo out; echo err >&2; exit 7"])
        created = await create(shop, runtime, bundle)
        state = await runtime.state(bundle.id)
        assert (state["status"], state["pid"]) == ("created", created.pid)
        assert exits.read(shop.exit_dir, bundle.id) is None
        await runtime.start(bundle.id)
        end = await ended(shop, bundle, created)
        assert (end.code, end.oom, end.known) == (7, False, True)
        assert (await runtime.state(bundle.id))["status"] == "stopped"
        await runtime.delete(bundle.id)
        assert await runtime.state(bundle.id) is None
        lines = content(bundle.log).splitlines()
        assert sorted(line.split(b" ", 1)[1] for line in lines) == [b"stderr F err", b"stdout F out"]

    run(story())


def test_the_end_of_a_run_is_found_by_who_comes_later(shop, runtime):
    async def story():
        bundle = shop.bundle(["sh", "-c", "exit 3"])
        created = await create(shop, runtime, bundle)
        await runtime.start(bundle.id)
        first = await ended(shop, bundle, created)
        assert await ended(shop, bundle, created) == first == exits.read(shop.exit_dir, bundle.id)
        exits.forget(shop.exit_dir, bundle.id)
        assert exits.read(shop.exit_dir, bundle.id) is None

    run(story())


def test_a_signal_is_128_and_its_number(shop, runtime):
    async def story():
        bundle = shop.bundle(["sleep", "1000"])
        created = await create(shop, runtime, bundle)
        await runtime.start(bundle.id)
        await runtime.kill(bundle.id, signal.SIGKILL)
        assert (await ended(shop, bundle, created)).code == 128 + 9

    run(story())


def test_realtime_signals_arrive_by_number(shop, runtime):
    async def story():
        bundle = shop.bundle(["sh", "-c", "trap 'exit 42' 37; echo ready > /fifo; while :; do sleep 0.01; done"])
        os.mkfifo(f"{bundle.path}/rootfs/fifo")
        created = await create(shop, runtime, bundle)
        await runtime.start(bundle.id)
        assert await asyncio.to_thread(content, f"{bundle.path}/rootfs/fifo") == b"ready\n"
        await runtime.kill(bundle.id, 37)
        assert (await ended(shop, bundle, created)).code == 42

    run(story())


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["nope"], 127, 'exec: "nope": executable file not found in $PATH'),
        (["/nope/x"], 127, 'exec: "/nope/x": executable file not found in $PATH'),
        (["/not-executable"], 126, 'exec: "/not-executable": permission denied'),
        (["/directory"], 126, 'exec: "/directory": permission denied'),
    ],
)
def test_what_cannot_be_executed_fails_at_create_in_dockers_words(shop, runtime, args, code, text):
    async def story():
        bundle = shop.bundle(args)
        with pytest.raises(errors.StartFailed) as caught:
            await create(shop, runtime, bundle)
        assert (caught.value.exit_code, caught.value.message) == (code, text)
        assert await runtime.state(bundle.id) is None
        assert os.listdir(shop.exit_dir) == []
        assert children() == []

    run(story())


def test_a_mount_that_fails_is_125_and_names_its_source(shop, runtime):
    async def story():
        mount = {"destination": "/mnt", "type": "bind", "source": "/nonexist/source", "options": ["bind"]}
        bundle = shop.bundle(["true"], mounts=[mount])
        with pytest.raises(errors.StartFailed, match="/nonexist/source") as caught:
            await create(shop, runtime, bundle)
        assert caught.value.exit_code == 125

    run(story())


def test_a_terminals_output_is_logged_as_stdout(shop, runtime):
    async def story():
        bundle = shop.bundle(["sh", "-c", "tty; exit 5"], tty=True)
        assert (await whole_run(shop, runtime, bundle, tty=True)).code == 5
        assert content(bundle.log).endswith(b" stdout F /dev/pts/0\r\n")

    run(story())


def test_running_out_of_memory_is_told(shop, runtime):
    async def story():
        bundle = shop.bundle(["sh", "-c", "x=$(yes | head -c 200000000); echo $?"], memory=16 << 20)
        end = await whole_run(shop, runtime, bundle)
        assert end.oom
        assert end.code != 0 or end.known

    run(story())


def test_a_killed_monitor_gives_an_unknown_code_and_a_reason(shop, runtime):
    async def story():
        bundle = shop.bundle(["sleep", "1000"])
        created = await create(shop, runtime, bundle)
        await runtime.start(bundle.id)
        waiting = asyncio.create_task(
            exits.wait(
                shop.exit_dir, bundle.id, created.monitor_pid, created.monitor_start_time, clock=lambda: 1_000_000_007
            )
        )
        init = os.pidfd_open(created.pid)
        os.kill(created.monitor_pid, signal.SIGKILL)
        end = await waiting
        assert (end.code, end.known, end.finished_ns) == (exits.UNKNOWN_CODE, False, 1_000_000_007)
        assert str(created.monitor_pid) in end.reason
        await runtime.delete(bundle.id, force=True)
        assert select.select([init], [], [], LIMIT)[0], "its orphaned process outlived a forced delete"
        os.close(init)

    run(story())


def test_a_pid_that_another_process_has_by_now_counts_as_gone(shop, runtime):
    async def story():
        end = await exits.wait(shop.exit_dir, "long-ago", os.getpid(), process.start_time(os.getpid()) - 1)
        assert not end.known

    run(story())


def test_unknown_containers_have_no_state_and_cannot_be_killed(shop, runtime):
    async def story():
        assert await runtime.state("nobody") is None
        with pytest.raises(errors.NotFound):
            await runtime.kill("nobody", 9)
        await runtime.delete("nobody")
        await runtime.delete("nobody", force=True)

    run(story())


def test_a_stopped_container_cannot_be_killed_or_paused(shop, runtime):
    async def story():
        bundle = shop.bundle(["true"])
        await whole_run(shop, runtime, bundle)
        with pytest.raises(errors.Conflict):
            await runtime.kill(bundle.id, 15)
        with pytest.raises(errors.Conflict):
            await runtime.pause(bundle.id)

    run(story())


def test_paused_containers_stand_still_until_resumed(shop, runtime):
    async def story():
        bundle = shop.bundle(["sleep", "1000"])
        await create(shop, runtime, bundle)
        await runtime.start(bundle.id)
        await runtime.pause(bundle.id)
        assert (await runtime.state(bundle.id))["status"] == "paused"
        await runtime.resume(bundle.id)
        assert (await runtime.state(bundle.id))["status"] == "running"
        await runtime.delete(bundle.id, force=True)

    run(story())


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 4, 5])
def test_a_cancelled_create_leaves_neither_monitor_nor_container_nor_cgroup(shop, runtime, milliseconds):
    async def story():
        bundle = shop.bundle(["sleep", "1000"])
        creating = asyncio.create_task(create(shop, runtime, bundle))
        await asyncio.sleep(milliseconds / 1000)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert await runtime.state(bundle.id) is None
        assert children() == []
        assert cgroup.container_directories(f"/pouch-test/{bundle.id}") == []
        assert os.listdir(shop.exit_dir) == []

    run(story())


def test_descriptors_are_given_back(shop, runtime):
    async def story():
        before = sorted(os.listdir("/proc/self/fd"))
        await whole_run(shop, runtime, shop.bundle(["true"]))
        with pytest.raises(errors.StartFailed):
            await create(shop, runtime, shop.bundle(["nope"]))
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == len(before)
        assert children() == []

    run(story())


def test_a_runtime_that_is_not_installed_is_named():
    with pytest.raises(errors.Unavailable, match="no-such-runtime"):
        oci.Runtime("no-such-runtime", "/nonexistent")
    assert failure.sentence("") == ""
