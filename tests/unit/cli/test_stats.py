"""stats: the table, containers that come and go, templates, a terminal, and the end."""

from __future__ import annotations

import json
import queue
import subprocess
import threading

import pytest
from support import cli
from support.fake_daemon import PATIENCE, Chunked, Reply, refuse

WEB, JOB = "ab" * 32, "cd" * 32


def told(name="web", *, total=3 * 10**9, first=False, **members):
    return {
        "id": WEB,
        "name": f"/{name}",
        "read": "2026-01-01T00:00:02Z",
        "preread": "0001-01-01T00:00:00Z" if first else "2026-01-01T00:00:01Z",
        "cpu_stats": {"cpu_usage": {"total_usage": total}, "system_cpu_usage": 104 * 10**9, "online_cpus": 2},
        "precpu_stats": {"cpu_usage": {"total_usage": 2 * 10**9}, "system_cpu_usage": 100 * 10**9, "online_cpus": 2},
        "memory_stats": {"usage": 96 << 20, "limit": 1 << 30, "stats": {"inactive_file": 32 << 20}},
        "pids_stats": {"current": 7},
        "networks": {"eth0": {"rx_bytes": 1500, "tx_bytes": 20}, "eth1": {"rx_bytes": 500, "tx_bytes": 0}},
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"major": 8, "minor": 0, "op": "read", "value": 4096},
                {"major": 8, "minor": 0, "op": "Write", "value": 8192},
                {"major": 8, "minor": 0, "op": "total", "value": 12288},
            ]
        },
    } | members


def line(document):
    return json.dumps(document).encode() + b"\n"


def listed(*containers):
    return Reply(document=[{"Id": id, "Names": [f"/{name}"]} for id, name in containers])


@pytest.fixture
def one(daemon):
    """A container that tells one sample."""
    daemon.on("GET", "/containers/json", listed((WEB, "web")))
    daemon.on("GET", f"/containers/{WEB}/stats", Chunked([line(told())]))
    return daemon


def test_the_table_has_dockers_columns_and_numbers(one, pouch):
    result = pouch("stats", "--no-stream")
    assert result.code == 0
    head, row = result.out.splitlines()
    assert head.split("  ")[0] == "CONTAINER ID"
    assert [cell.strip() for cell in row.split("   ") if cell.strip()] == [
        WEB[:12],
        "web",
        "50.00%",
        "64MiB / 1GiB",
        "6.25%",
        "2kB / 20B",
        "4.1kB / 8.19kB",
        "7",
    ]
    assert one.requests("GET", f"/containers/{WEB}/stats")[0].query == {"stream": "0"}


def test_templates_and_json(one, pouch):
    assert pouch("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.CPUPerc}}").out == f"{WEB} 50.00%\n"
    assert json.loads(pouch("stats", "--no-stream", "--format", "json").out)["MemPerc"] == "6.25%"


def test_all_asks_for_stopped_ones_too(one, pouch):
    pouch("stats", "--no-stream", "-a")
    assert one.requests("GET", "/containers/json")[0].query == {"all": "1"}


def test_a_stopped_one_has_used_nothing(daemon, pouch):
    empty = {"read": "0001-01-01T00:00:00Z", "preread": "0001-01-01T00:00:00Z", "memory_stats": {}, "pids_stats": {}}
    nothing = {"cpu_usage": {"total_usage": 0}}
    empty |= {"cpu_stats": nothing, "precpu_stats": nothing, "networks": None, "blkio_stats": {}}
    daemon.on("GET", "/containers/web/json", Reply(document={"Id": WEB, "Name": "/web"}))
    daemon.on("GET", f"/containers/{WEB}/stats", Chunked([line(told(**empty))]))
    row = pouch("stats", "--no-stream", "web", "--format", "{{.CPUPerc}} {{.MemUsage}} {{.NetIO}} {{.PIDs}}")
    assert row.out == "0.00% 0B / 0B 0B / 0B 0\n"


def test_a_name_that_is_none_is_an_error(daemon, pouch):
    daemon.on("GET", "/containers/nope/json", refuse(404, "No such container: nope"))
    result = pouch("stats", "nope")
    assert (result.code, result.err) == (1, "Error response from daemon: No such container: nope\n")


def test_one_that_goes_between_list_and_look_is_left_out(daemon, pouch):
    daemon.on("GET", "/containers/json", listed((WEB, "web")))
    daemon.on("GET", f"/containers/{WEB}/stats", refuse(404, f"No such container: {WEB}"))
    result = pouch("stats", "--no-stream", "--format", "{{.Name}}")
    assert (result.code, result.out) == (0, "")


def test_a_broken_daemon_is_an_error_and_not_a_wait(daemon, pouch):
    daemon.on("GET", "/containers/json", listed((WEB, "web")))
    daemon.on("GET", f"/containers/{WEB}/stats", refuse(500, "broken"))
    result = pouch("stats", "--no-stream")
    assert (result.code, result.err) == (1, "Error response from daemon: broken\n")


class Feed:
    """A stream whose pieces a test gives."""

    def __init__(self):
        self.pieces = queue.Queue()

    def __iter__(self):
        while (piece := self.pieces.get(timeout=PATIENCE)) is not None:
            yield piece


def test_containers_come_and_go(daemon):
    """Live, into a pipe: a picture each second, until the daemon ends the stream of events."""
    events, web, job = Feed(), Feed(), Feed()
    daemon.on("GET", "/events", Chunked(events))
    daemon.on("GET", "/containers/json", listed((WEB, "web")))
    daemon.on("GET", f"/containers/{WEB}/stats", Chunked(web))
    daemon.on("GET", f"/containers/{JOB}/stats", Chunked(job))
    seen = []
    arrived = threading.Condition()

    def reader(stream):
        for text in stream:
            with arrived:
                seen.append(text.decode().strip())
                arrived.notify_all()

    def until(wanted):
        with arrived:
            assert arrived.wait_for(lambda: seen[-len(wanted) :] == wanted, PATIENCE), seen

    with cli.started(daemon, "stats", "--format", "{{.Name}}={{.CPUPerc}}", stdout=subprocess.PIPE) as process:
        thread = threading.Thread(target=reader, args=(process.stdout,), daemon=True)
        thread.start()
        try:
            web.pieces.put(line(told(first=True)))
            until(["web=--"])
            web.pieces.put(line(told()))
            until(["web=50.00%"])
            actor = {"ID": JOB, "Attributes": {"name": "job"}}
            events.pieces.put(line({"Action": "start", "Actor": actor}))
            job.pieces.put(line(told("job", total=2 * 10**9)))
            until(["web=50.00%", "job=0.00%"])
            events.pieces.put(line({"Action": "die", "Actor": {"ID": WEB}}))
            until(["job=0.00%", "job=0.00%"])
        finally:
            for feed in (events, web, job):
                feed.pieces.put(None)
            process.terminate()
            thread.join(PATIENCE)


def test_a_named_one_that_is_removed_ends_the_watching(daemon, pouch):
    daemon.on("GET", "/containers/web/json", Reply(document={"Id": WEB, "Name": "/web"}))
    daemon.on("GET", f"/containers/{WEB}/stats", Chunked([line(told())]))
    result = pouch("stats", "web", "--format", "{{.Name}}")
    assert (result.code, set(result.out.split())) == (0, {"web"})
