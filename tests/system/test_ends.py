"""What is told of a container's life, and what is left of those that have ended."""

from __future__ import annotations

import json
import time

import pytest


def told(daemon, name):
    """Actions of its events, and their attributes."""
    text = daemon.out(
        "events", "--since", "1", "--until", "0s", "--filter", f"container={name}", "--format", "{{json .}}"
    )
    found = [json.loads(line) for line in text.splitlines()]
    return [(one["Action"], one["Actor"]["Attributes"]) for one in found]


def test_a_life_is_told_in_dockers_order(daemon):
    id_ = daemon.box("--name", "life", "--label", "x=y")
    daemon.pouch("exec", "life", "true")
    daemon.until(lambda: "exec_die" in [action for action, _ in told(daemon, id_)])
    daemon.pouch("top", "life")
    daemon.pouch("stop", "-t", "0", "life")  # sleep as process 1 is deaf to SIGTERM
    daemon.pouch("start", "life")
    daemon.pouch("restart", "-t", "0", "life")
    daemon.pouch("kill", "-s", "USR1", "life")
    daemon.pouch("kill", "life")
    daemon.pouch("rm", "life")
    events = told(daemon, id_)
    assert [action for action, _ in events] == [
        *("create", "start", "exec_create: true ", "exec_start: true ", "exec_die", "top"),
        *("kill", "kill", "stop", "die", "start"),
        *("kill", "kill", "stop", "die", "start", "restart"),
        *("kill", "kill", "die", "destroy"),
    ]
    assert [attributes["signal"] for action, attributes in events if action == "kill"] == [
        "15",
        "9",
        "15",
        "9",
        "10",
        "9",
    ]
    assert {attributes["name"] for _, attributes in events} == {"life"}
    assert {attributes["x"] for _, attributes in events} == {"y"}
    dies = [attributes for action, attributes in events if action == "die"]
    assert [(one["exitCode"], one["execDuration"].isdecimal()) for one in dies] == [("137", True)] * 3


def test_networks_are_left_before_the_end_is_told(daemon):
    began = f"{time.time():.9f}"
    daemon.pouch("run", "--rm", "busybox", "true")
    lines = daemon.out("events", "--since", began, "--until", "0s", "--format", "{{.Type}} {{.Action}}").splitlines()
    assert lines == [
        *("container create", "container attach", "network connect", "container start"),
        *("network disconnect", "container die", "container destroy"),
    ]


def test_prune_takes_what_does_not_run(daemon):
    running = daemon.box("--name", "on")
    frozen = daemon.box("--name", "ice")
    daemon.pouch("pause", "ice")
    daemon.pouch("run", "--name", "done", "busybox", "sh", "-c", "head -c 100000 /dev/zero > /big")
    daemon.pouch("create", "--name", "new", "busybox", "true")
    daemon.pouch("create", "--name", "dear", "--label", "keep", "busybox", "true")
    status, answer = daemon.request("POST", '/containers/prune?filters={"label!":["keep"]}')
    ids = {daemon.inspect(name)["Id"] for name in ("on", "ice", "dear")}
    assert (status, len(answer["ContainersDeleted"])) == (200, 2)
    assert answer["SpaceReclaimed"] >= 100_000
    assert set(daemon.out("ps", "-aq", "--no-trunc").split()) == ids == {running, frozen, daemon.inspect("dear")["Id"]}
    assert daemon.out("container", "prune", "-f", "--filter", "until=1h").startswith("Total reclaimed space: 0B")
    assert "Deleted Containers:" in daemon.out("container", "prune", "-f")
    assert set(daemon.out("ps", "-a", "--format", "{{.Names}}").split()) == {"on", "ice"}
    line = daemon.out(
        "events", "--since", "1", "--until", "0s", "--filter", "event=prune", "--format", "{{json .Actor}}"
    )
    assert json.loads(line.splitlines()[-1])["Attributes"].keys() == {"reclaimed"}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ('{"nonsense":["1"]}', "invalid filter 'nonsense'"),
        ('{"until":["x"]}', 'failed to parse value as time or duration: "x"'),
        ('{"until":["1h","2h"]}', "more than one until filter specified"),
    ],
)
def test_a_wrong_prune_takes_nothing(daemon, filters, words):
    daemon.pouch("create", "--name", "new", "busybox", "true")
    status, answer = daemon.request("POST", f"/containers/prune?filters={filters}")
    assert (status, words in answer["message"]) == (400, True)
    assert daemon.out("ps", "-a", "--format", "{{.Names}}") == "new"


def test_the_signal_of_a_stop_is_the_users_wish_and_another_is_not(daemon):
    shell = ("sh", "-c", "trap 'exit 3' HUP; trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done")
    id_ = daemon.box("--restart", "always", command=shell)
    daemon.until(lambda: "ready" in daemon.out("logs", id_))
    daemon.pouch("kill", "-s", "HUP", id_)
    daemon.until(lambda: daemon.inspect(id_)["RestartCount"] == 1 and daemon.out("logs", id_).count("ready") == 2)
    daemon.pouch("kill", "-s", "TERM", id_)
    daemon.until(lambda: daemon.inspect(id_)["State"]["Status"] == "exited")
    assert daemon.inspect(id_)["State"]["ExitCode"] == 4
    time.sleep(0.5)  # that nothing happens needs a while
    assert daemon.inspect(id_)["State"]["Status"] == "exited"
