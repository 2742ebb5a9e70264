"""stats against the kernel: numbers of containers that work, of machines, with and without networks, and their end."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading

from support import machines
from support.daemon import Daemon


def sample(daemon: Daemon, name: str, query: str = "stream=0") -> dict:
    status, found = daemon.request("GET", f"/containers/{name}/stats?{query}")
    assert status == 200
    return found


def test_a_container_that_computes_shows_it(daemon):
    daemon.box("--name", "busy", "-m", "64m", "--pids-limit", "20", command=("sh", "-c", "while :; do :; done"))
    daemon.box("--name", "idle")
    busy, idle = sample(daemon, "busy"), sample(daemon, "idle")

    def used(found):
        return found["cpu_stats"]["cpu_usage"]["total_usage"] - found["precpu_stats"]["cpu_usage"]["total_usage"]

    assert used(busy) > 50_000_000 > used(idle)
    assert busy["cpu_stats"]["system_cpu_usage"] > busy["precpu_stats"]["system_cpu_usage"]
    assert (busy["memory_stats"]["limit"], busy["pids_stats"]) == (64 << 20, {"current": 1, "limit": 20})
    assert 0 < busy["memory_stats"]["usage"] < 64 << 20
    assert idle["memory_stats"]["limit"] > 64 << 20


def test_memory_and_tasks_grow_with_what_the_container_does(daemon):
    daemon.box("--name", "box", "--tmpfs", "/scratch", "--network", "none")
    before = sample(daemon, "box", "stream=0&one-shot=1")
    daemon.pouch("exec", "box", "sh", "-c", "dd if=/dev/zero of=/scratch/f bs=1M count=16 2>/dev/null")
    daemon.pouch("exec", "-d", "box", "sleep", "1000")
    after = sample(daemon, "box", "stream=0&one-shot=1")
    assert after["memory_stats"]["usage"] - before["memory_stats"]["usage"] > 15 << 20
    assert after["pids_stats"]["current"] == before["pids_stats"]["current"] + 1
    assert (before["preread"], "networks" in before) == ("0001-01-01T00:00:00Z", False)


def test_traffic_is_counted_from_inside(daemon):
    daemon.box("--name", "box")
    address = daemon.inspect("box")["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
    before = sample(daemon, "box", "stream=0&one-shot=1")["networks"]["eth0"]
    daemon.pouch("exec", "box", "ping", "-c", "3", "-i", "0.2", "-s", "1000", address, check=False)
    after = sample(daemon, "box", "stream=0&one-shot=1")["networks"]["eth0"]
    assert after["tx_bytes"] - before["tx_bytes"] >= 3000
    assert after["tx_packets"] > before["tx_packets"]


def test_a_container_on_the_hosts_network_has_no_counters_of_its_own(daemon):
    daemon.box("--name", "box", "--network", "host")
    assert "networks" not in sample(daemon, "box", "stream=0&one-shot=1")


def test_the_stream_follows_a_container_to_its_removal(daemon):
    daemon.box("--name", "box")
    connection = http.client.HTTPConnection("x", timeout=60)
    connection.sock = _connected(daemon)
    connection.request("GET", "/v1.43/containers/box/stats")
    lines = connection.getresponse()
    assert json.loads(lines.readline())["pids_stats"] == {"current": 1}
    daemon.pouch("stop", "-t", "0", "box")
    while json.loads(lines.readline())["memory_stats"]:
        pass
    daemon.pouch("start", "box")
    while not json.loads(lines.readline())["memory_stats"]:
        pass
    daemon.pouch("rm", "-f", "box")
    while lines.readline():
        pass
    connection.close()


def test_a_machine_is_counted_whole(rich):
    machines.boot(rich, machines.BUSYBOX, "box", "sleep", "10000")
    found = sample(rich, "box", "stream=0&one-shot=1")
    assert found["pids_stats"]["current"] >= len(machines.inside(rich, "box")) > 1
    assert found["memory_stats"]["usage"] > 0


def test_fifty_watchers_cost_what_one_does(daemon):
    """All see each second's numbers at the same time: they are read once."""
    daemon.box("--name", "box")
    seen, lock = [], threading.Lock()

    def watch():
        connection = http.client.HTTPConnection("x", timeout=60)
        connection.sock = _connected(daemon)
        connection.request("GET", "/v1.43/containers/box/stats")
        lines = connection.getresponse()
        times = [json.loads(lines.readline())["read"] for _ in range(3)]
        connection.close()
        with lock:
            seen.append(times)

    threads = [threading.Thread(target=watch) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 50
    assert len({time for times in seen for time in times}) <= 8


def test_the_command_prints_a_row_for_each(daemon):
    daemon.box("--name", "one")
    daemon.box("--name", "two")
    daemon.out("create", "--name", "three", "busybox", "true")
    assert sorted(daemon.out("stats", "--no-stream", "--format", "{{.Name}}").split()) == ["one", "two"]
    assert len(daemon.out("stats", "--no-stream", "-a").splitlines()) == 4
    assert daemon.pouch("stats", "--no-stream", "none", check=False).returncode == 1
    with subprocess.Popen(daemon.command("stats", "--format", "{{.Name}}"), stdout=subprocess.PIPE) as process:
        assert {process.stdout.readline().strip() for _ in range(4)} == {b"one", b"two"}
        process.stdout.close()  # as `| head` does
        assert process.wait(60) != 1


def _connected(daemon: Daemon):
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    wire.connect(daemon.socket)
    return wire
