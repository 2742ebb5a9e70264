"""inspect, ps, top, logs, events, info, version, doctor."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import time

import pytest
from support import cli

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


# -- inspect ----------------------------------------------------------------------------------------------------------


def test_inspect_tells_what_was_asked_and_what_became_of_it(daemon):
    flags = ("--name", "web", "-e", "A=1", "-w", "/srv", "-u", "app", "--hostname", "h", "--stop-signal", "USR1")
    id_ = daemon.box(*flags, "--stop-timeout", "3", "-t", "--entrypoint", "sleep", command=("10000",))
    found = daemon.inspect("web")
    assert (found["Id"], found["Name"], found["Path"], found["Args"]) == (id_, "/web", "sleep", ["10000"])
    config = found["Config"]
    assert (config["Hostname"], config["User"], config["WorkingDir"], config["Tty"]) == ("h", "app", "/srv", True)
    assert (config["Image"], config["Cmd"], config["Entrypoint"]) == ("busybox", ["10000"], ["sleep"])
    assert (config["StopSignal"], config["StopTimeout"]) == ("USR1", 3)
    assert "A=1" in config["Env"]
    state = found["State"]
    assert (state["Status"], state["Running"], state["Paused"], state["ExitCode"]) == ("running", True, False, 0)
    with open(f"/proc/{state['Pid']}/cmdline", "rb") as file:
        assert file.read() == b"sleep\x0010000\0"
    began = dt.datetime.fromisoformat(state["StartedAt"])
    assert abs((dt.datetime.now(dt.UTC) - began).total_seconds()) < 60
    assert found["Image"] == json.loads(daemon.out("image", "inspect", "busybox"))[0]["Id"]


def test_templates_of_inspect(daemon):
    id_ = daemon.box("--name", "web", "-l", "a=1")
    template = '{{.Name}} {{.State.Status}} {{index .Config.Labels "a"}} {{json .State.Running}} {{len .Config.Cmd}}'
    assert daemon.out("inspect", "-f", template, id_) == "/web running 1 true 2"
    done = daemon.pouch("inspect", "-f", "{{.Nonesuch.Deeper}}", id_, check=False)
    assert done.returncode != 0
    assert "Nonesuch" in done.stderr
    assert "Traceback" not in done.stderr


# -- ps ---------------------------------------------------------------------------------------------------------------


def test_ps_lists_thirty_quickly_and_newest_first(daemon):
    ids = [daemon.out("create", "--name", f"n{number:02}", "busybox", "sleep", "10000") for number in range(30)]
    daemon.pouch("start", *ids[:10], timeout=60)
    began = time.monotonic()
    names = daemon.out("ps", "-a", "--format", "{{.Names}}").split()
    took = time.monotonic() - began
    assert names == [f"n{number:02}" for number in reversed(range(30))]
    assert took < 2
    assert daemon.out("ps", "-q", "--no-trunc").split() == list(reversed(ids[:10]))
    assert daemon.out("ps", "-n", "2", "--format", "{{.Names}}").split() == ["n29", "n28"]
    assert daemon.out("ps", "-l", "-q", "--no-trunc") == ids[29]


def test_the_table_of_ps(daemon):
    id_ = daemon.box("--name", "web", command=("sleep", "10000"))
    daemon.pouch("run", "--name", "ended", "busybox", "sh", "-c", "exit 3", check=False)
    head, *rows = daemon.out("ps", "-a").splitlines()
    assert head.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "MODE", "PORTS", "NAMES"]
    assert re.search(r"busybox +\"sh -c 'exit 3'\" .*Exited \(3\) .*ago +ended$", rows[0])
    assert re.match(id_[:12] + r" +busybox +\"sleep 10000\" .*Up .* +web$", rows[1])


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("status=running", "up"),
        ("status=exited", "bad good"),
        ("status=created", "new"),
        ("exited=3", "bad"),
        ("name=oo", "good"),
        ("name=^up$", "up"),
        ("label=kind", "good up"),
        ("label=kind=b", "good"),
        ("ancestor=busybox", "bad good new up"),
        ("ancestor=nonesuch", ""),
        ("before=bad", "up"),
        ("since=good", "new"),
    ],
)
def test_filters_of_ps(daemon, condition, wanted):
    daemon.box("--name", "up", "-l", "kind=a")
    daemon.pouch("run", "--name", "bad", "busybox", "sh", "-c", "exit 3", check=False)
    daemon.pouch("run", "--name", "good", "-l", "kind=b", "busybox", "true")
    daemon.pouch("create", "--name", "new", "busybox", "true")
    assert " ".join(sorted(daemon.out("ps", "-a", "-f", condition, "--format", "{{.Names}}").split())) == wanted


def test_a_bad_filter_is_refused(daemon):
    done = daemon.pouch("ps", "-f", "nonsense=1", check=False)
    assert (done.returncode, "nonsense" in done.stderr) == (1, True)
    done = daemon.pouch("ps", "-f", "status=nonsense", check=False)
    assert (done.returncode, "nonsense" in done.stderr) == (1, True)


# -- top --------------------------------------------------------------------------------------------------------------


def test_top_shows_all_processes_of_the_container_and_no_other(daemon):
    id_ = daemon.box(command=("sh", "-c", "sleep 10001 & sleep 10002 & wait"))
    daemon.box(command=("sleep", "10003"))
    daemon.until(lambda: "10002" in daemon.out("top", id_))
    head, *rows = daemon.out("top", id_).splitlines()
    assert head.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert len(rows) == 3
    assert "10003" not in "".join(rows)
    short = daemon.out("top", id_, "-o", "pid,args").splitlines()
    assert short[0].split() == ["PID", "COMMAND"]
    assert str(daemon.inspect(id_)["State"]["Pid"]) in short[1]


def test_top_of_what_does_not_run_and_with_nonsense(daemon):
    daemon.pouch("create", "--name", "still", "busybox", "true")
    done = daemon.pouch("top", "still", check=False)
    assert (done.returncode, "is not running" in done.stderr) == (1, True)
    daemon.box("--name", "on")
    done = daemon.pouch("top", "on", "--nonsense", check=False)
    assert (done.returncode, "ps: error: unknown gnu long option" in done.stderr) == (1, True)


# -- logs -------------------------------------------------------------------------------------------------------------


def test_tail_counts_lines_of_both_streams(daemon):
    daemon.pouch(
        "run", "--name", "ten", "busybox", "sh", "-c", "for n in 1 2 3 4 5; do echo o$n; echo e$n >&2; sleep 0.01; done"
    )
    done = daemon.pouch("logs", "--tail", "4", "ten")
    assert (done.stdout, done.stderr) == ("o4\no5\n", "e4\ne5\n")
    assert daemon.pouch("logs", "-n", "0", "ten").stdout == ""
    assert daemon.pouch("logs", "-n", "1000", "ten").stdout.count("\n") == 5
    done = daemon.pouch("logs", "--tail", "some", "ten", check=False)
    assert (done.returncode, "some" in done.stderr) == (125, True)


def test_timestamps_and_since_and_until(daemon):
    daemon.pouch("run", "--name", "three", "busybox", "sh", "-c", "echo 1; sleep 0.2; echo 2; sleep 0.2; echo 3")
    lines = [line.split(" ", 1) for line in daemon.out("logs", "-t", "three").splitlines()]
    assert [text for _, text in lines] == ["1", "2", "3"]
    assert all(STAMP.fullmatch(stamp) for stamp, _ in lines)
    second = lines[1][0]
    assert daemon.out("logs", "--since", second, "three") == "2\n3"
    assert daemon.out("logs", "--until", second, "three") in ("1", "1\n2")
    assert daemon.out("logs", "--since", "10m", "three") == "1\n2\n3"
    assert daemon.out("logs", "--until", "10m", "three") == ""
    done = daemon.pouch("logs", "--since", "yesterday", "three", check=False)
    assert (done.returncode, "yesterday" in done.stderr) == (125, True)


def test_follow_shows_what_comes_until_the_end(daemon):
    id_ = daemon.box(
        command=("sh", "-c", "echo 1; while [ ! -e /go ]; do sleep 0.02; done; echo 2; echo e >&2; exit 3")
    )
    with cli.started(daemon, "logs", "-f", id_) as process:
        assert process.stdout.readline() == b"1\n"
        daemon.pouch("exec", id_, "touch", "/go")
        assert process.stdout.read() == b"2\n"
        assert process.stderr.read() == b"e\n"
        assert process.wait(20) == 0


def test_follow_of_what_has_ended_ends(daemon):
    daemon.pouch("run", "--name", "ended", "busybox", "echo", "x")
    assert daemon.out("logs", "-f", "ended") == "x"


def test_follow_shows_everything_of_a_fast_writer(daemon):
    id_ = daemon.box(command=("sh", "-c", "seq 200000"))
    shown = daemon.pouch("logs", "-f", id_).stdout
    assert shown == "".join(f"{number}\n" for number in range(1, 200001))


def test_logs_of_a_terminal_are_one_stream(daemon):
    daemon.pouch("run", "-t", "--name", "tt", "busybox", "sh", "-c", "echo o; echo e >&2")
    done = daemon.pouch("logs", "tt", binary=True)
    assert (done.stdout, done.stderr) == (b"o\r\ne\r\n", b"")


def test_the_log_driver_none_keeps_nothing_and_says_so(daemon):
    done = daemon.pouch("run", "--name", "mute", "--log-driver", "none", "busybox", "echo", "shown")
    assert done.stdout == "shown\n"
    done = daemon.pouch("logs", "mute", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "configured logging driver does not support reading" in done.stderr


def test_a_log_of_limited_size_keeps_the_end(daemon):
    daemon.pouch("run", "--name", "small", "--log-opt", "max-size=50k", "busybox", "seq", "20000")
    size = sum(len(line) + 1 for line in daemon.out("logs", "small").splitlines())
    assert daemon.out("logs", "small").endswith("19999\n20000")
    assert size < 200_000


def test_an_unknown_log_driver_is_refused(daemon):
    done = daemon.pouch("run", "--log-driver", "nonsense", "busybox", "true", check=False)
    assert (done.returncode, 'plugin "nonsense" not found' in done.stderr) == (125, True)


# -- events -----------------------------------------------------------------------------------------------------------


def test_events_tell_a_containers_life(daemon):
    began = dt.datetime.now(dt.UTC).isoformat()
    with subprocess.Popen(
        daemon.command(
            "events",
            "--since",
            began,
            "--filter",
            "container=alive",
            "--format",
            "{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}}",
        ),
        stdout=subprocess.PIPE,
        text=True,
    ) as seen:
        try:
            daemon.pouch("run", "--name", "alive", "busybox", "sh", "-c", "exit 3", check=False)
            daemon.pouch("start", "alive")
            daemon.pouch("wait", "alive")
            daemon.pouch("rename", "alive", "alive2")
            daemon.pouch("rename", "alive2", "alive")
            daemon.pouch("rm", "alive")
            lines = []
            while not lines or "destroy" not in lines[-1]:
                line = seen.stdout.readline()
                assert line, "the events ended"
                lines.append(line.replace("<no value>", "").strip())
        finally:
            seen.kill()
    actions = [line.removeprefix("container ") for line in lines]
    assert [action for action in actions if action not in ("attach", "resize", "rename")] == [
        *("create", "start", "die 3", "start", "die 3", "destroy"),
    ]


def test_past_events_and_their_filters(daemon):
    began = dt.datetime.now(dt.UTC).isoformat()
    id_ = daemon.out("create", "-l", "kind=x", "busybox", "true")
    daemon.pouch("start", "-a", id_)
    words = ("events", "--since", began, "--until", "0s", "--format", "{{.Action}}")
    assert daemon.out(*words, "-f", f"container={id_}", "-f", "event=die") == "die"
    assert daemon.out(*words, "-f", "label=kind=x", "-f", "event=create") == "create"
    assert daemon.out(*words, "-f", "label=kind=y") == ""
    assert "start" in daemon.out(*words, "-f", "type=container", "-f", "image=busybox")
    line = daemon.out("events", "--since", began, "--until", "0s", "-f", "event=die")
    assert re.fullmatch(
        rf"\S+ container die {id_} \(execDuration=0, exitCode=0, image=busybox, kind=x, name=\S+\)", line
    )
    done = daemon.pouch("events", "--since", "1", "--until", "0s", "-f", "nonsense=1", check=False)
    assert (done.returncode, "nonsense" in done.stderr) == (1, True)


# -- the daemon -------------------------------------------------------------------------------------------------------


def test_info_counts(daemon):
    daemon.box("--name", "on")
    daemon.box("--name", "held")
    daemon.pouch("pause", "held")
    daemon.pouch("create", "busybox", "true")
    found = json.loads(daemon.out("info", "--format", "json"))
    assert [found[f"Containers{which}"] for which in ("", "Running", "Paused", "Stopped")] == [3, 1, 1, 1]
    assert found["Images"] >= 1
    assert (found["DockerRootDir"], found["DefaultRuntime"]) == (daemon.root, "crun")
    assert " Images: " in daemon.out("info")


def test_version_of_both_sides(daemon):
    found = json.loads(daemon.out("version", "--format", "json"))
    assert found["Client"]["Version"] == found["Server"]["Version"]
    assert (found["Server"]["ApiVersion"], found["Server"]["MinAPIVersion"]) == ("1.56", "1.24")
    text = daemon.out("version")
    assert "Client: Pouch" in text
    assert "crun" in text


def test_ping_and_the_versions_of_the_api(daemon):
    assert daemon.request("GET", "/_ping") == (200, b"OK")
    assert daemon.request("HEAD", "/_ping")[0] == 200
    for version in ("v1.24", "v1.30", "v1.43", "v1.56"):
        assert daemon.request("GET", f"/{version}/containers/json") == (200, [])
    for version in ("v1.23", "v1.99"):
        status, said = daemon.request("GET", f"/{version}/containers/json")
        assert (status, version[1:] in said["message"]) == (400, True)


def test_doctor_says_of_each_thing_what_it_found(daemon):
    done = daemon.pouch("doctor", check=False)
    for name in ("cgroup", "crun", "conmon", "overlay", "user", "nft", "lxcfs", "quota", "loginuid", "capabilities"):
        assert name in done.stdout.lower(), name
