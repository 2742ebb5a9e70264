"""create, start, stop, restart, kill, pause, unpause, rename, wait, rm, and restart policies."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from support import cli

PATIENT = ("sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.02; done")
DEAF = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")


def state(daemon, name):
    return daemon.inspect(name)["State"]


def status(daemon, name):
    return state(daemon, name)["Status"]


def ready(daemon, name):
    daemon.until(lambda: "ready" in daemon.out("logs", name), what="ready")


def instant(text):
    return dt.datetime.fromisoformat(text)  # with nanoseconds, of which it keeps microseconds


def error_of(daemon, *words, code=1):
    done = daemon.pouch(*words, check=False)
    assert done.returncode == code, done
    return done.stderr


# -- create, start ----------------------------------------------------------------------------------------------------


def test_create_makes_nothing_run(daemon):
    id_ = daemon.out("create", "--name", "new", "busybox", "true")
    found = daemon.inspect("new")
    assert found["Id"] == id_
    assert found["Name"] == "/new"
    assert found["State"]["Status"] == "created"
    assert (found["State"]["Pid"], found["State"]["Running"], found["State"]["ExitCode"]) == (0, False, 0)
    assert daemon.out("ps", "-q") == ""
    assert daemon.out("ps", "-aq", "--no-trunc") == id_


def test_start_runs_it_again_and_again(daemon):
    id_ = daemon.out("create", "busybox", "sh", "-c", "echo x >> /n; wc -l < /n")
    assert [daemon.out("start", "-a", id_) for _ in range(3)] == ["1", "2", "3"]
    assert daemon.out("logs", id_) == "1\n2\n3"


def test_start_attached_ends_with_its_code_and_takes_stdin(daemon):
    id_ = daemon.out("create", "-i", "busybox", "sh", "-c", "cat; exit 6")
    done = daemon.pouch("start", "-ai", id_, input="in", check=False)
    assert (done.stdout, done.returncode) == ("in", 6)


def test_start_of_a_running_one_is_no_error(daemon):
    id_ = daemon.box("--name", "on")
    pid = state(daemon, id_)["Pid"]
    assert daemon.out("start", "on") == "on"
    assert state(daemon, id_)["Pid"] == pid


def test_a_start_that_fails_leaves_the_container_as_it_was_and_says_why(daemon):
    id_ = daemon.out("create", "--name", "bad", "busybox", "/nonesuch")
    said = error_of(daemon, "start", "bad")
    assert 'exec: "/nonesuch"' in said
    found = state(daemon, "bad")
    assert (found["Status"], found["ExitCode"], "nonesuch" in found["Error"]) == ("created", 127, True)
    assert daemon.out("start", id_, check=False) == ""


def test_a_failed_start_of_one_does_not_keep_the_others(daemon):
    daemon.pouch("create", "--name", "good", "busybox", "sleep", "10000")
    done = daemon.pouch("start", "absent", "good", check=False)
    assert (done.returncode, done.stdout) == (1, "good\n")
    assert "No such container: absent" in done.stderr
    assert status(daemon, "good") == "running"


# -- stop, kill, restart ----------------------------------------------------------------------------------------------


def test_stop_is_orderly_and_quick(daemon):
    id_ = daemon.box("--name", "kind", command=PATIENT)
    ready(daemon, id_)
    began = time.monotonic()
    assert daemon.out("stop", "kind") == "kind"
    assert time.monotonic() - began < 5
    found = state(daemon, id_)
    assert (found["Status"], found["ExitCode"], found["Pid"]) == ("exited", 3, 0)
    assert instant(found["StartedAt"]) <= instant(found["FinishedAt"])
    assert daemon.out("logs", id_) == "ready\nbye"


def test_stop_kills_after_its_timeout(daemon):
    id_ = daemon.box(command=DEAF)
    ready(daemon, id_)
    began = time.monotonic()
    daemon.pouch("stop", "-t", "1", id_)
    assert 0.9 < time.monotonic() - began < 8
    assert state(daemon, id_)["ExitCode"] == 137


def test_the_stop_signal_and_timeout_of_the_container_are_used(daemon):
    script = "trap 'echo got; exit 4' USR1; trap '' TERM; echo ready; while :; do sleep 0.02; done"
    id_ = daemon.box("--stop-signal", "SIGUSR1", command=("sh", "-c", script))
    ready(daemon, id_)
    daemon.pouch("stop", id_)
    assert state(daemon, id_)["ExitCode"] == 4
    slow = daemon.box("--stop-timeout", "1", command=DEAF)
    ready(daemon, slow)
    began = time.monotonic()
    daemon.pouch("stop", slow)
    assert time.monotonic() - began < 8
    assert state(daemon, slow)["ExitCode"] == 137


def test_a_stop_takes_another_signal_when_it_is_told_one(daemon):
    script = "trap 'exit 3' INT; trap '' TERM; echo ready; while :; do sleep 0.02; done"
    id_ = daemon.box(command=("sh", "-c", script))
    ready(daemon, id_)
    daemon.pouch("stop", "--signal", "INT", "--timeout", "60", id_)
    assert daemon.inspect(id_)["State"]["ExitCode"] == 3
    assert "signal" in error_of(daemon, "stop", "--signal", "NONE", id_)
    daemon.pouch("start", id_)
    daemon.until(lambda: daemon.out("logs", id_) == "ready\nready")
    daemon.pouch("restart", "-s", "2", "-t", "60", id_)
    assert status(daemon, id_) == "running"


def test_stop_of_a_stopped_one_is_no_error(daemon):
    id_ = daemon.out("create", "busybox", "true")
    assert daemon.out("stop", id_) == id_


def test_stop_of_several_at_once(daemon):
    ids = [daemon.box(command=PATIENT) for _ in range(3)]
    for id_ in ids:
        ready(daemon, id_)
    assert daemon.out("stop", *ids).split() == ids
    assert {status(daemon, id_) for id_ in ids} == {"exited"}


def test_kill_ends_at_once_or_sends_a_signal(daemon):
    id_ = daemon.box("--name", "victim", command=PATIENT)
    ready(daemon, id_)
    assert daemon.out("kill", "-s", "WINCH", "victim") == "victim"
    assert status(daemon, id_) == "running"
    daemon.pouch("kill", "--signal", "15", "victim")
    assert daemon.out("wait", "victim") == "3"
    daemon.pouch("start", id_)
    daemon.pouch("kill", id_)
    assert daemon.out("wait", id_) == "137"


def test_kill_of_what_does_not_run_and_of_no_signal(daemon):
    id_ = daemon.out("create", "--name", "still", "busybox", "true")
    assert f"{id_} is not running" in error_of(daemon, "kill", "still")
    assert "NONSENSE" in error_of(daemon, "kill", "-s", "NONSENSE", "still")


def test_restart_gives_a_new_process(daemon):
    id_ = daemon.box(command=PATIENT)
    ready(daemon, id_)
    before = state(daemon, id_)
    assert daemon.out("restart", id_) == id_
    after = state(daemon, id_)
    assert after["Status"] == "running"
    assert after["Pid"] != before["Pid"]
    assert instant(after["StartedAt"]) > instant(before["StartedAt"])
    daemon.until(lambda: daemon.out("logs", id_) == "ready\nbye\nready")


def test_restart_starts_a_stopped_one_and_keeps_one_with_rm(daemon):
    id_ = daemon.out("create", "busybox", "sleep", "10000")
    daemon.pouch("restart", id_)
    assert status(daemon, id_) == "running"
    kept = daemon.box("--rm")
    daemon.pouch("restart", "-t", "0", kept)
    assert status(daemon, kept) == "running"


# -- pause ------------------------------------------------------------------------------------------------------------


def test_a_paused_container_stands_still(daemon):
    id_ = daemon.box(
        "--name", "pp", command=("sh", "-c", "n=0; while :; do n=$((n+1)); echo $n > /n; sleep 0.01; done")
    )
    assert daemon.out("pause", "pp") == "pp"
    found = state(daemon, id_)
    assert (found["Status"], found["Paused"], found["Running"]) == ("paused", True, True)
    assert "(Paused)" in daemon.out("ps", "-f", "name=pp")
    path = f"{daemon.run}/containers/{id_}/rootfs/n"

    def count():
        with open(path, encoding="ascii") as file:
            return file.read()

    before = count()
    time.sleep(0.2)  # that nothing happens needs a while
    assert count() == before
    assert daemon.out("unpause", "pp") == "pp"
    daemon.until(lambda: count() != before)
    assert status(daemon, id_) == "running"


def test_what_cannot_be_done_to_a_paused_one(daemon):
    id_ = daemon.box("--name", "pp")
    daemon.pouch("pause", id_)
    assert "is already paused" in error_of(daemon, "pause", "pp")
    assert "unpause" in error_of(daemon, "exec", "pp", "true")
    assert "cannot start a paused container" in error_of(daemon, "start", "pp")
    assert "must be unpaused first" in error_of(daemon, "rm", "pp")
    daemon.pouch("stop", "-t", "0", "pp")
    assert status(daemon, id_) == "exited"
    assert "is not running" in error_of(daemon, "pause", "pp")
    assert "is not" in error_of(daemon, "unpause", "pp")


def test_a_paused_one_can_be_removed_by_force(daemon):
    id_ = daemon.box()
    daemon.pouch("pause", id_)
    assert daemon.out("rm", "-f", id_) == id_


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_unique_until_it_is_free_again(daemon):
    id_ = daemon.out("create", "--name", "taken", "busybox", "true")
    said = error_of(daemon, "create", "--name", "taken", "busybox", "true")
    assert f'The container name "/taken" is already in use by container "{id_}"' in said
    assert error_of(daemon, "run", "--name", "taken", "busybox", "true", code=125)
    assert daemon.out("ps", "-aq", "--no-trunc") == id_
    free = daemon.out("create", "--name", "free", "busybox", "true")
    assert 'Error when allocating new name: Conflict. The container name "/free"' in error_of(
        daemon, "rename", "taken", "free"
    )
    said = error_of(daemon, "rename", "taken", "in valid")
    assert "Error when allocating new name: Invalid container name (/in valid), only" in said
    assert daemon.out("rm", free) == free
    assert daemon.out("rename", "taken", "other") == ""
    assert daemon.inspect("other")["Id"] == id_
    assert "No such container: taken" in error_of(daemon, "inspect", "--type", "container", "taken")
    daemon.pouch("create", "--name", "taken", "busybox", "true")
    assert "is already in use" in error_of(daemon, "rename", "other", "taken")


@pytest.mark.parametrize("name", ["a/b", "-x", "a b", "ü", "..", "x", "a\nb"])
def test_a_bad_name_is_refused(daemon, name):
    assert "name" in error_of(daemon, "run", "--name=" + name, "busybox", "true", code=125)
    assert daemon.out("ps", "-aq") == ""


def test_a_container_is_known_by_name_id_and_beginning_of_its_id(daemon):
    id_ = daemon.out("create", "--name", "known", "busybox", "true")
    assert {daemon.inspect(ref)["Id"] for ref in ("known", "/known", id_, id_[:12], id_[:4])} == {id_}


def test_a_missing_container_is_named(daemon):
    for words in (("start",), ("stop",), ("kill",), ("pause",), ("rm",), ("logs",), ("wait",), ("top",), ("restart",)):
        assert "No such container: nonesuch" in error_of(daemon, *words, "nonesuch"), words
    assert "No such container: nonesuch" in error_of(daemon, "exec", "nonesuch", "true")
    assert "No such container: nonesuch" in error_of(daemon, "rename", "nonesuch", "x")
    assert "nonesuch" in error_of(daemon, "inspect", "nonesuch")


# -- wait, rm ---------------------------------------------------------------------------------------------------------


def test_wait_tells_the_codes_of_all(daemon):
    ids = [daemon.box(command=("sh", "-c", f"sleep 0.1; exit {code}")) for code in (0, 5)]
    assert daemon.out("wait", *ids) == "0\n5"
    assert daemon.out("wait", ids[1]) == "5"


def test_wait_ends_when_the_container_does(daemon):
    id_ = daemon.box()
    with subprocess.Popen(daemon.command("wait", id_), stdout=subprocess.PIPE, text=True) as waiting:
        daemon.pouch("kill", id_)
        assert waiting.communicate(timeout=20)[0] == "137\n"


def test_rm_refuses_a_running_one_unless_forced(daemon):
    daemon.box("--name", "busy")
    assert 'cannot remove container "busy": container is running' in error_of(daemon, "rm", "busy")
    assert status(daemon, "busy") == "running"
    assert daemon.out("rm", "-f", "busy") == "busy"
    assert daemon.out("ps", "-aq") == ""


def test_two_removals_at_once_are_one(daemon):
    id_ = daemon.box()
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(daemon.pouch("rm", "-f", id_, check=False).returncode))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert set(found) <= {0, 1}
    assert daemon.out("ps", "-aq") == ""


def test_a_removal_beats_a_patient_stop(daemon):
    id_ = daemon.box(command=DEAF)
    ready(daemon, id_)
    with cli.started(daemon, "stop", "-t", "60", id_) as stopping:
        daemon.until(lambda: "stop" in daemon.log().rsplit("\n", 50)[-1] or True)
        began = time.monotonic()
        daemon.pouch("rm", "-f", id_)
        assert time.monotonic() - began < 15
        stopping.wait(20)


def test_a_start_that_comes_while_an_end_is_dealt_with_waits_for_it(daemon):
    """Else the new run would lose its mounts and its cgroup to the taking away of the old one."""
    id_ = daemon.box()
    for _ in range(8):
        os.kill(state(daemon, id_)["Pid"], signal.SIGKILL)
        daemon.until(lambda: daemon.request("POST", f"/v1.43/containers/{id_}/start")[0] == 204)
        assert daemon.out("exec", id_, "echo", "alive") == "alive"


def test_one_with_rm_that_has_ended_cannot_be_started_again(daemon):
    for _ in range(8):
        id_ = daemon.box("--rm")
        os.kill(state(daemon, id_)["Pid"], signal.SIGKILL)
        answers = []
        while not answers or answers[-1] == 304:  # as long as it is taken for running
            answers.append(daemon.request("POST", f"/v1.43/containers/{id_}/start")[0])
        assert answers[-1] == 404
        daemon.until(lambda id_=id_: id_ not in daemon.out("ps", "-aq", "--no-trunc"))


def test_one_that_is_killed_while_it_is_frozen_has_ended_when_it_thaws(daemon):
    id_ = daemon.box()
    daemon.pouch("pause", id_)
    os.kill(state(daemon, id_)["Pid"], signal.SIGKILL)
    daemon.pouch("unpause", id_, check=False)  # on cgroup v2 it has ended already
    daemon.until(lambda: status(daemon, id_) == "exited")
    assert state(daemon, id_)["ExitCode"] == 137


def test_one_whose_files_resist_is_dead_until_they_can_be_removed(daemon):
    id_ = daemon.out("create", "--name", "stuck", "busybox", "touch", "/kept")
    daemon.pouch("start", "-a", "stuck")
    file = f"{daemon.root}/containers/{id_}/rw/upper/kept"
    if subprocess.run(["chattr", "+i", file], capture_output=True, check=False).returncode:
        pytest.skip("no immutable files here")
    try:
        assert "rw/upper: Operation not permitted" in error_of(daemon, "rm", "stuck")
        assert status(daemon, "stuck") == "dead"
        assert "is dead" in error_of(daemon, "start", "stuck")
    finally:
        subprocess.run(["chattr", "-i", file], check=True)
    assert daemon.out("rm", "stuck") == "stuck"


def test_a_new_name_given_at_the_end_stays(daemon):
    id_ = daemon.box("--name", "old0")
    for number in range(6):
        daemon.pouch("start", id_)
        os.kill(state(daemon, id_)["Pid"], signal.SIGKILL)
        status_, _ = daemon.request("POST", f"/v1.43/containers/{id_}/rename?name=old{number + 1}")
        assert status_ == 204
        daemon.until(lambda: status(daemon, id_) == "exited")
        assert daemon.inspect(id_)["Name"] == f"/old{number + 1}"


# -- restart policies -------------------------------------------------------------------------------------------------


def starts(daemon, id_):
    """Seconds at which the container started and died, from the events."""
    events = daemon.out(
        "events", "--since", "1", "--until", "0s", "--filter", f"container={id_}", "--format", "{{json .}}"
    )

    found = [json.loads(line) for line in events.splitlines()]
    return [(one["Action"], one["timeNano"] / 1e9) for one in found if one["Action"] in ("start", "die")]


def test_on_failure_tries_so_often_with_growing_pauses(daemon):
    id_ = daemon.box("--restart", "on-failure:3", command=("sh", "-c", "echo run; exit 9"))
    assert daemon.out("wait", id_) == "9"  # of one run: each end is one
    daemon.until(lambda: status(daemon, id_) == "exited")
    found = daemon.inspect(id_)
    assert (found["RestartCount"], found["State"]["Status"], found["State"]["ExitCode"]) == (3, "exited", 9)
    assert daemon.out("logs", id_) == "run\n" * 3 + "run"
    marks = starts(daemon, id_)
    assert [action for action, _ in marks] == ["start", "die"] * 4
    times = [when for _, when in marks]
    pauses = [times[n + 1] - times[n] for n in range(1, 7, 2)]
    for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert least <= pause < least + 3


def test_on_failure_leaves_success_alone(daemon):
    id_ = daemon.box("--restart", "on-failure", command=("true",))
    assert daemon.out("wait", id_) == "0"
    daemon.until(lambda: status(daemon, id_) == "exited")
    assert daemon.inspect(id_)["RestartCount"] == 0


def test_always_starts_again_until_it_is_stopped(daemon):
    id_ = daemon.box("--restart", "always", command=("sh", "-c", "echo run; exit 0"))
    daemon.until(lambda: daemon.inspect(id_)["RestartCount"] >= 2)
    daemon.pouch("stop", id_)
    assert status(daemon, id_) == "exited"
    before = daemon.inspect(id_)["RestartCount"]
    time.sleep(0.5)  # that nothing happens needs a while
    assert (status(daemon, id_), daemon.inspect(id_)["RestartCount"]) == ("exited", before)


def test_a_kill_from_outside_is_followed_by_a_restart_and_one_by_the_user_is_not(daemon):
    id_ = daemon.box("--restart", "always")

    pid = state(daemon, id_)["Pid"]
    os.kill(pid, signal.SIGKILL)
    daemon.until(lambda: status(daemon, id_) == "running" and state(daemon, id_)["Pid"] not in (0, pid))
    assert daemon.inspect(id_)["RestartCount"] == 1
    daemon.pouch("kill", id_)
    daemon.until(lambda: status(daemon, id_) == "exited")


def test_one_that_waits_for_its_restart_can_be_removed(daemon):
    id_ = daemon.box("--restart", "always", command=("false",))
    daemon.until(lambda: daemon.inspect(id_)["RestartCount"] >= 4 and status(daemon, id_) == "restarting")
    assert "container is restarting: stop the container" in error_of(daemon, "rm", id_)
    assert "is restarting, wait until the container is running" in error_of(daemon, "exec", id_, "true")
    daemon.pouch("rm", "-f", id_)
    assert daemon.out("ps", "-aq") == ""


@pytest.mark.parametrize("word", ["stop", "kill"])
def test_one_that_waits_for_its_restart_can_be_stopped(daemon, word):
    id_ = daemon.box("--restart", "always", command=("false",))
    daemon.until(lambda: daemon.inspect(id_)["RestartCount"] >= 4 and status(daemon, id_) == "restarting")
    daemon.pouch(word, id_)
    found = daemon.inspect(id_)
    assert (found["State"]["Status"], found["State"]["ExitCode"]) == ("exited", 1)
    time.sleep(1)  # that nothing happens needs a while
    assert daemon.inspect(id_)["RestartCount"] == found["RestartCount"]
    assert status(daemon, id_) == "exited"


def test_rm_and_a_restart_policy_exclude_each_other(daemon):
    said = error_of(daemon, "run", "--rm", "--restart", "always", "busybox", "true", code=125)
    assert "restart" in said


@pytest.mark.parametrize("policy", ["nonsense", "on-failure:x", "always:3", "on-failure:-1"])
def test_a_bad_policy_is_refused(daemon, policy):
    assert error_of(daemon, "run", "--restart", policy, "busybox", "true", code=125)
    assert daemon.out("ps", "-aq") == ""


def test_policies_over_a_restart_of_the_daemon(make_daemon, busybox_tar):
    daemon = make_daemon()
    daemon.pouch("load", "-i", busybox_tar)
    policies = {"aa": "always", "uu": "unless-stopped", "nn": "no", "ff": "on-failure"}
    for name, policy in policies.items():
        daemon.box("--name", name, "--restart", policy)
        daemon.box("--name", f"{name}-stopped", "--restart", policy)
        daemon.pouch("stop", "-t", "0", f"{name}-stopped")
    pids = {name: state(daemon, name)["Pid"] for name in policies}
    assert daemon.stop() == 0
    daemon.start()
    found = dict(line.split() for line in daemon.out("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines())
    assert {name: found[name] for name in policies} == dict.fromkeys(policies, "running")
    assert {name: state(daemon, name)["Pid"] for name in policies} == pids
    daemon.until(lambda: status(daemon, "aa-stopped") == "running", what="always is started when the daemon starts")
    assert {name: status(daemon, f"{name}-stopped") for name in ("uu", "nn", "ff")} == dict.fromkeys(
        ("uu", "nn", "ff"), "exited"
    )
    daemon.stop()
    daemon.start()
    assert status(daemon, "uu-stopped") == "exited"
