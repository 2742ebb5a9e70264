"""Healthchecks of real containers: what Docker's clients see of them, over pauses, ends, and the daemon's own."""

from __future__ import annotations

import json
import os

import pytest
from support import machines

OFTEN = ("--health-interval", "100ms")


def health(daemon, name):
    return daemon.inspect(name)["State"].get("Health")


def status(daemon, name):
    return health(daemon, name)["Status"]


def becomes(daemon, name, wanted):
    daemon.until(lambda: status(daemon, name) == wanted, what=f"{name} {wanted}")


def shown(daemon, *flags):
    return daemon.out("ps", "-a", *flags, "--format", "{{.Names}}: {{.Status}}")


def events(daemon, name):
    one = f"container={daemon.inspect(name)['Id']}"  # names of earlier tests' containers begin alike
    text = daemon.out("events", "--since", "1", "--until", "0s", "--filter", one, "--format", "{{json .}}")
    return [json.loads(line) for line in text.splitlines()]


def actions(daemon, name):
    return [one["Action"] for one in events(daemon, name)]


def test_a_container_becomes_healthy_and_unhealthy_and_is_shown_so(daemon):
    daemon.box("--name", "web", *OFTEN, "--health-cmd", "cat /ok", "--health-retries", "2")
    becomes(daemon, "web", "unhealthy")
    assert shown(daemon).endswith("(unhealthy)")
    last = health(daemon, "web")["Log"][-1]
    assert (last["ExitCode"], "No such file" in last["Output"]) == (1, True)
    assert last["Start"] < last["End"]
    daemon.pouch("exec", "web", "sh", "-c", "echo fine > /ok")
    becomes(daemon, "web", "healthy")
    found = health(daemon, "web")
    assert (found["FailingStreak"], found["Log"][-1]["Output"]) == (0, "fine\n")
    assert shown(daemon, "--filter", "health=healthy").endswith("(healthy)")
    assert shown(daemon, "--filter", "health=unhealthy") == ""
    told = actions(daemon, "web")
    assert [one for one in told if one.startswith("health_status")] == [
        "health_status: unhealthy",
        "health_status: healthy",
    ]
    assert told[told.index("start") + 1 :][:3] == [
        "exec_create: /bin/sh -c cat /ok", "exec_start: /bin/sh -c cat /ok", "exec_die",
    ]  # fmt: skip


def test_what_is_not_up_yet_is_starting(daemon):
    daemon.box(
        "--name",
        "slow",
        *OFTEN,
        "--health-cmd",
        "false",
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "50ms",
    )
    assert shown(daemon).endswith("(health: starting)")
    daemon.until(lambda: len(health(daemon, "slow")["Log"]) >= 4)
    assert (status(daemon, "slow"), health(daemon, "slow")["FailingStreak"]) == ("starting", 0)


def test_probes_are_the_containers_user_in_its_environment(daemon):
    daemon.box(
        "--name",
        "who",
        *OFTEN,
        "-u",
        "33:44",
        "-e",
        "MARK=here",
        "-w",
        "/tmp",
        "--health-cmd",
        "echo $(id -u):$(id -g) $MARK $PWD",
    )
    becomes(daemon, "who", "healthy")
    assert health(daemon, "who")["Log"][0]["Output"] == "33:44 here /tmp\n"


def test_a_probe_that_takes_too_long_leaves_nothing_behind(daemon):
    daemon.box(
        "--name",
        "hang",
        *OFTEN,
        "--health-timeout",
        "300ms",
        "--health-retries",
        "1",
        "--health-cmd",
        "echo x; sleep 7777; true",
    )
    becomes(daemon, "hang", "unhealthy")
    daemon.until(lambda: len(health(daemon, "hang")["Log"]) >= 3)
    assert {(one["ExitCode"], one["Output"]) for one in health(daemon, "hang")["Log"]} == {
        (-1, "Health check exceeded timeout (300ms): x\n")
    }
    assert daemon.out("top", "hang", "-o", "pid,args").count("sleep 7777") <= 2  # sh and its child, of the current one


def test_the_image_says_how_and_the_client_says_otherwise(daemon):
    daemon.pouch("create", "--name", "base", "busybox", "sleep", "10000")
    daemon.pouch("commit", "--change", "HEALTHCHECK --interval=100ms --retries=7 CMD echo image", "base", "checked")
    try:
        run = ("run", "-d", "--name")
        daemon.pouch(*run, "image", "checked")
        becomes(daemon, "image", "healthy")
        assert daemon.inspect("image")["Config"]["Healthcheck"] == {
            "Test": ["CMD-SHELL", "echo image"], "Interval": 10**8, "Retries": 7,
        }  # fmt: skip
        daemon.pouch(*run, "some", "--health-retries", "2", "checked")
        assert daemon.inspect("some")["Config"]["Healthcheck"]["Retries"] == 2
        becomes(daemon, "some", "healthy")
        daemon.pouch(*run, "own", "--health-cmd", "echo own", "checked")
        becomes(daemon, "own", "healthy")
        assert health(daemon, "own")["Log"][0]["Output"] == "own\n"
        daemon.pouch(*run, "none", "--no-healthcheck", "checked")
        assert (health(daemon, "none"), daemon.out("ps", "--filter", "health=none", "--format", "{{.Names}}")) == (
            None,
            "none",
        )
    finally:
        daemon.pouch("rm", "-f", "base", "image", "some", "own", "none", check=False)
        daemon.pouch("rmi", "checked", check=False)


def test_who_stands_still_is_unhealthy_and_asked_again_afterwards(daemon):
    daemon.box("--name", "ice", *OFTEN, "--health-cmd", "true")
    becomes(daemon, "ice", "healthy")
    daemon.pouch("pause", "ice")
    assert status(daemon, "ice") == "unhealthy"
    assert shown(daemon).endswith("(Paused)")
    daemon.pouch("unpause", "ice")
    becomes(daemon, "ice", "healthy")
    daemon.pouch("stop", "-t", "0", "ice")
    assert status(daemon, "ice") == "unhealthy"
    before = health(daemon, "ice")["Log"]
    daemon.pouch("start", "ice")
    becomes(daemon, "ice", "healthy")
    assert before[-1]["Start"] in {one["Start"] for one in health(daemon, "ice")["Log"]} or len(before) == 5


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_daemons_own_end_changes_nothing(make_daemon, busybox_tar, how):
    own = make_daemon()
    own.pouch("load", "-q", "-i", busybox_tar)
    own.box("--name", "on", *OFTEN, "--health-cmd", "true")
    own.box("--name", "off", *OFTEN, "--health-cmd", "false", "--health-retries", "1")
    becomes(own, "on", "healthy")
    becomes(own, "off", "unhealthy")
    getattr(own, how)()
    own.start()
    assert (status(own, "on"), status(own, "off")) == ("healthy", "unhealthy")
    last = health(own, "on")["Log"][-1]["Start"]
    own.until(lambda: health(own, "on")["Log"][-1]["Start"] > last)
    own.pouch("exec", "on", "true")
    assert [one for one in actions(own, "on") if one.startswith("health")] == []  # nothing has changed


@pytest.mark.parametrize("case", [machines.DEBIAN12, machines.DUMB_INIT], ids=str)
def test_a_machine_is_asked_when_it_is_up(rich, case):
    name = machines.boot(
        rich, case, "sick", "sleep", "10000", flags=(*OFTEN, "--health-cmd", "echo $(id -u); test -e /tmp/ok")
    )
    becomes(rich, name, "unhealthy")
    told = [(one["Action"], one["timeNano"]) for one in events(rich, name)]
    up = next((when for action, when in told if action.startswith("boot: ")), 0)
    asked = next(when for action, when in told if action.startswith("exec_create"))
    assert asked > up
    rich.pouch("exec", name, "touch", "/tmp/ok")
    becomes(rich, name, "healthy")
    assert health(rich, name)["Log"][-1]["Output"] == "0\n"


def test_probes_that_leave_children_behind_use_up_nothing_of_the_daemon(daemon):
    """Each holds its probe's streams for as long as the container runs."""
    daemon.box("--name", "litter", *OFTEN, "--health-cmd", "setsid sleep 1000 & exit 0", "--pids-limit", "60")

    def left_behind():
        return daemon.out("top", "litter").count("sleep 1000")

    daemon.until(lambda: left_behind() >= 1)
    before, descriptors = left_behind(), f"/proc/{daemon.process.pid}/fd"
    at_first = len(os.listdir(descriptors))
    daemon.until(lambda: left_behind() >= before + 12, seconds=60)
    assert len(os.listdir(descriptors)) < at_first + 12  # two for each otherwise
