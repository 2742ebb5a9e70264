"""Containers outlive their daemon: stopped or killed, what runs goes on, nothing that is written is lost, and ends are noticed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time

import pytest
from support import machines

COUNTER = 'i=0; while :; do echo "line $i"; i=$((i+1)); sleep 0.01; done'


def lines_are_whole(text):
    """COUNTER's output: nothing missing, nothing twice; how many lines."""
    lines = text.splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    return len(lines)


def down(rich, how):
    """End the daemon, by `stop` or `kill`."""
    if how == "kill":
        rich.kill()
    else:
        assert rich.stop() == 0


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_five_machines_go_on_while_the_daemon_is_down(rich, how, tmp_path):
    """One ends meanwhile; after the start all that is asked is answered as if the daemon had been there."""
    cases = {"d12": machines.DEBIAN12, "d13": machines.DEBIAN13, "sysv": machines.SYSVINIT}
    cases |= {"bb": machines.BUSYBOX, "dumb": machines.DUMB_INIT}
    ending = 'trap "exit 4" TERM; echo up; until [ -e /go ]; do sleep 0.02; done; echo "last words"; exit 9'
    for name, case in cases.items():
        script = ending if name == "sysv" else f'trap "echo bye; exit 4" TERM; {COUNTER}'
        flags = ("--poststop-hook", f"cat >>{tmp_path}/states; echo >>{tmp_path}/states") if name == "sysv" else ()
        machines.boot(rich, case, name, "sh", "-c", script, flags=flags)
    before = {name: rich.inspect(name) for name in cases}
    go = machines.within(rich, "sysv", "/go")
    monitor = before["sysv"]["State"]["Pid"]
    down(rich, how)
    with open(go, "w", encoding="ascii"):
        pass
    rich.until(lambda: not os.path.exists(f"/proc/{monitor}"), what="the end of one")
    rich.start()
    # what was before: pids, times, boot states
    assert sorted(rich.out("ps", "--format", "{{.Names}}").split()) == sorted(set(cases) - {"sysv"})
    for name in set(cases) - {"sysv"}:
        after = rich.inspect(name)
        assert after["State"]["Pid"] == before[name]["State"]["Pid"]
        assert after["State"]["StartedAt"] == before[name]["State"]["StartedAt"]
        assert after["State"]["Boot"] == "running"
        assert after["NetworkSettings"]["IPAddress"] == before[name]["NetworkSettings"]["IPAddress"]
    # the one that ended
    state = rich.inspect("sysv")["State"]
    assert (state["Status"], state["ExitCode"], state["AppExitCode"]) == ("exited", 9, 9)
    assert rich.out("wait", "sysv") == "9"
    assert rich.out("logs", "sysv") == "up\nlast words"
    hooked = [json.loads(line) for line in (tmp_path / "states").read_text().splitlines()]
    assert [(one["exitCode"], one["logTail"]) for one in hooked] == [(9, "up\nlast words\n")]
    # the others are as if nothing had been
    for name, case in cases.items():
        if name == "sysv":
            continue
        seen = lines_are_whole(rich.out("logs", name))
        assert rich.out("exec", name, "echo", "alive") == "alive"
        assert {one["Category"] for one in machines.tree(rich, name)} >= {"init", "app"}
        with subprocess.Popen(rich.command("wait", name), stdout=subprocess.PIPE, text=True) as waiting:
            began = time.monotonic()
            rich.pouch("stop", name)
            assert time.monotonic() - began < 5, case
            assert waiting.communicate(timeout=20)[0] == "4\n"
        *counted, last = rich.out("logs", name).splitlines()
        assert last == "bye"
        assert lines_are_whole("\n".join(counted)) >= seen
        rich.pouch("start", name)
        machines.ready(rich, name)


def test_what_is_written_while_the_daemon_is_down_is_kept_whole(rich):
    size = 20 << 20
    script = (
        f"until [ -e /go ]; do sleep 0.02; done; yes 0123456789abcdef | head -c {size}; yes error | head -c {size} >&2"
    )
    machines.boot(rich, machines.BUSYBOX, "box", "sh", "-c", f"{script}; : >/done; exec sleep 1000")
    go = machines.within(rich, "box", "/go")
    rich.kill()
    with open(go, "w", encoding="ascii"):
        pass
    done = go.removesuffix("go") + "done"
    rich.until(lambda: os.path.exists(done), what="all is written", seconds=60)
    rich.start()
    found = rich.pouch("logs", "box", binary=True)
    for got, word in ((found.stdout, b"0123456789abcdef\n"), (found.stderr, b"error\n")):
        expected = (word * (size // len(word) + 1))[:size]
        assert hashlib.sha256(got).hexdigest() == hashlib.sha256(expected).hexdigest()


def test_a_boot_that_the_daemon_did_not_see_is_known_after_its_start(rich):
    """READY=1 came when nobody listened."""
    case = machines.DEBIAN12
    machines.load(rich, case)
    rich.out("run", "-d", "--name", "box", *machines.rich_flags(case), case.image, "sh", "-c", COUNTER)
    rich.kill()
    rich.start()
    machines.ready(rich, "box")
    assert rich.out("exec", "box", "systemctl", "is-system-running") == "running"
    lines_are_whole(rich.out("logs", "box"))


def test_a_follower_of_a_log_is_told_the_end_when_the_daemon_stops(rich):
    machines.boot(rich, machines.DUMB_INIT, "box", "sh", "-c", COUNTER)
    with subprocess.Popen(rich.command("logs", "-f", "box"), stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout.readline() == "line 0\n"
        began = time.monotonic()
        assert rich.stop() == 0
        assert time.monotonic() - began < 5
        rest = follower.stdout.read()
    lines_are_whole("line 0\n" + rest)
    rich.start()
    lines_are_whole(rich.out("logs", "box"))


def test_a_follower_during_a_stop_of_the_container_sees_its_last_words(rich):
    machines.boot(rich, machines.BUSYBOX, "box", "sh", "-c", f'trap "echo bye; exit 0" TERM; {COUNTER}')
    with subprocess.Popen(rich.command("logs", "-f", "box"), stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout.readline() == "line 0\n"
        rich.pouch("stop", "box")
        rest = follower.stdout.read()
    assert rest.endswith("bye\n")
    lines_are_whole("line 0\n" + rest.removesuffix("bye\n"))


def test_an_attached_client_ends_and_the_container_does_not(rich):
    case = machines.DUMB_INIT
    machines.load(rich, case)
    words = ("run", "--name", "box", *machines.rich_flags(case), case.image, "sh", "-c", COUNTER)
    with subprocess.Popen(rich.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout.readline() == "line 0\n"
        rich.kill()
        client.communicate(timeout=20)
    assert client.returncode not in (0, None)
    rich.start()
    assert rich.out("ps", "--format", "{{.Names}}") == "box"
    lines_are_whole(rich.out("logs", "box"))


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_restart_policies_go_on_after_it(rich, how):
    """An end that was not seen counts: `always` runs again, `no` stays as it is."""
    for name, policy in (("always", "always"), ("no", "no")):
        script = "echo run; until [ -e /go ]; do sleep 0.02; done; rm /go; exit 1"
        machines.boot(rich, machines.DUMB_INIT, name, "sh", "-c", script, flags=("--restart", policy))
    pids = [rich.inspect(name)["State"]["Pid"] for name in ("always", "no")]
    places = [machines.within(rich, name, "/go") for name in ("always", "no")]
    down(rich, how)
    for place in places:
        with open(place, "w", encoding="ascii"):
            pass
    rich.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), what="both ended")
    rich.start()
    rich.until(lambda: rich.out("logs", "always").count("run") == 2, what="the second run")
    assert rich.inspect("no")["State"]["ExitCode"] == 1
    assert rich.out("ps", "--format", "{{.Names}}") == "always"


def test_one_that_was_to_be_removed_is(rich):
    """--rm, and its end came when nobody looked."""
    machines.boot(rich, machines.DUMB_INIT, "box", "sh", "-c", "until [ -e /go ]; do sleep 0.02; done", flags=("--rm",))
    pid, place = rich.inspect("box")["State"]["Pid"], machines.within(rich, "box", "/go")
    rich.kill()
    with open(place, "w", encoding="ascii"):
        pass
    rich.until(lambda: not os.path.exists(f"/proc/{pid}"))
    rich.start()
    rich.until(lambda: rich.out("ps", "-aq") == "", seconds=5)


def test_a_machine_that_reboots_while_it_is_down_is_started_by_the_next(rich):
    script = "echo x >>/data; echo up $(wc -l </data); exec sleep 1000"
    machines.boot(rich, machines.BUSYBOX, "box", "sh", "-c", script)
    pid = rich.inspect("box")["State"]["Pid"]
    rich.pouch("exec", "-d", "box", "sh", "-c", "sleep 0.3; reboot")
    rich.kill()
    rich.until(lambda: not os.path.exists(f"/proc/{pid}"))
    rich.start()
    rich.until(lambda: "up 2" in rich.out("logs", "box"), what="the second boot")
    machines.ready(rich, "box")
