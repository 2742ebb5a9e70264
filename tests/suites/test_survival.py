"""Containers outlive the process that made them, and are found again: what a daemon's restart stands on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from support import bundles, running

from pouch.kernel import process
from pouch.runtime import logs, monitor, oci
from pouch.spec.log import LogQuery

pytestmark = pytest.mark.skipif(bool(why := bundles.missing()), reason=why)

MAKER = """
import asyncio, json, sys
from pouch.runtime import monitor, oci

async def main():
    request = json.load(sys.stdin)
    runtime = oci.Runtime("crun", request.pop("state_root"))
    created = await monitor.Monitor("conmon", runtime, request.pop("exit_dir")).create(monitor.MonitorRequest(**request))
    await runtime.start(request["id"])
    print(json.dumps([created.monitor_pid, created.monitor_start_time, created.pid]), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


class Maker:
    """A process that makes a container and stays, in a process group of its own as a shell would give it."""

    def __init__(self, shop, args, **fields):
        bundle = shop.bundle(args)
        request = {
            "id": bundle.id,
            "name": "n",
            "bundle": bundle.path,
            "log_path": bundle.log,
            "pid_file": bundle.pid_file,
            "state_root": shop.state_root,
            "exit_dir": shop.exit_dir,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=fields.get("keep_fds", ()),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            process_group=0,
        )
        self.process.stdin.write(json.dumps(request | fields).encode())
        self.process.stdin.close()
        numbers = json.loads(self.process.stdout.readline())
        created = monitor.Created(monitor_pid=numbers[0], monitor_start_time=numbers[1], pid=numbers[2])
        self.container = running.Container(shop, oci.Runtime("crun", shop.state_root), bundle, created)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def make():
    with bundles.workshop() as shop:
        makers = []

        def begin(args, **fields):
            makers.append(Maker(shop, args, **fields))
            return makers[-1]

        yield begin
        for maker in makers:
            maker.kill()


async def log_of(container) -> bytes:
    return b"".join([record.data async for record in await logs.open_log(container.bundle.log, LogQuery())])


def test_a_container_goes_on_when_its_daemon_is_killed_and_another_one_takes_it_over(make):
    maker = make(["sh", "-c", "echo before; read line; echo got $line; exit 7"], stdin=True)
    maker.kill()
    container = maker.container

    async def story():
        assert (await container.runtime.state(container.id))["status"] == "running"
        client = await container.attach()
        await client.write(b"a word\n")
        assert await running.until(client, b"got a word\n")
        assert (await container.ended()).code == 7
        assert await log_of(container) == b"before\ngot a word\n"
        await client.close()

    running.run(story())


def test_a_container_that_ends_while_there_is_no_daemon_is_found_with_its_code_and_time(make):
    maker = make(["sh", "-c", "echo all of it; read line; exit 9"], stdin=True, stdin_once=True)
    maker.kill()
    container = maker.container

    async def begin_end():
        client = await container.attach()
        await client.close()
        return await container.ended()

    first = running.run(begin_end())
    assert not process.is_alive(container.created.pid, process.start_time(container.created.pid))

    async def later():
        found = await container.ended()
        assert found == first
        assert found.code == 9
        assert found.finished_ns > 0
        assert await log_of(container) == b"all of it\n"

    running.run(later())


def test_output_that_nobody_reads_is_kept_by_the_log_while_there_is_no_daemon(make):
    maker = make(["sh", "-c", "read line; yes 0123456789 | head -c 3000000"], stdin=True, stdin_once=True)
    container = maker.container

    async def story():
        client = await container.attach()
        maker.kill()
        await client.write_eof()
        await client.close()
        assert (await container.ended()).code == 0
        assert len(await log_of(container)) == 3000000

    running.run(story())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_the_daemons_process_group_does_not_reach_containers(make, number):
    maker = make(["sh", "-c", "read line; exit 3"], stdin=True, stdin_once=True)
    container = maker.container
    os.killpg(maker.process.pid, number)
    maker.process.wait()

    async def story():
        assert process.is_alive(container.created.monitor_pid, container.created.monitor_start_time)
        client = await container.attach()
        await client.write_eof()
        assert (await container.ended()).code == 3
        await client.close()

    running.run(story())


def test_the_monitor_is_not_in_the_containers_cgroup_and_holds_none_of_the_daemons_descriptors(make):
    container = make(["sleep", "1000"]).container
    pid = container.created.monitor_pid
    assert container.id.encode() not in running.content(f"/proc/{pid}/cgroup")
    assert container.id.encode() in running.content(f"/proc/{container.created.pid}/cgroup")
    environment = running.content(f"/proc/{pid}/environ").split(b"\0")
    assert {line.partition(b"=")[0] for line in environment if line} == {b"PATH", b"TZ", b"_OCI_SYNCPIPE"}
    with open(f"/proc/{pid}/stat") as file:
        session = int(file.read().rpartition(")")[2].split()[3])
    assert session == pid

    async def story():
        await container.kill()

    running.run(story())


def test_descriptors_to_be_kept_are_the_monitors_for_its_life_and_never_the_containers(make):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        number, address = held.fileno(), held.getsockname()
        identity = os.readlink(f"/proc/self/fd/{number}")
        maker = make(["cat", "/dev/zero"], keep_fds=[number])
    container = maker.container
    maker.kill()
    assert identity in _open_in(container.created.monitor_pid)
    assert identity not in _open_in(container.created.pid)
    with pytest.raises(OSError, match="Address already in use"), socket.socket() as other:
        other.bind(address)
    running.run(container.kill())
    with socket.socket() as other:
        other.bind(address)


def _open_in(pid: int) -> set[str]:
    """What a process has open."""
    return {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
