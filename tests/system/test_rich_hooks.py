"""The init script inside, and hooks on the host before the start and after the stop."""

from __future__ import annotations

import json
import os

import pytest
from support import machines

CASES = machines.CASES
SLEEP = ("sh", "-c", "echo up; exec sleep 1000")
SCRIPT = """#!/bin/sh
cat >/run/state
{ echo "$0 $# $1|$2|$GREETING|$(id -u)"; tr '\\0' ' ' </proc/1/cmdline; ls /proc | grep -c '^[0-9]'; } >/run/seen
echo started >>/var/starts
ip addr show eth0 >/run/hook-network 2>/dev/null || ifconfig eth0 >/run/hook-network
"""


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """Each image and mode."""
    return request.param


@pytest.fixture(params=machines.FEW, ids=str)
def few(request):
    """One of each kind."""
    return request.param


@pytest.fixture
def script(tmp_path):
    """Makes a script on the host that containers see at /hook; the flags for it."""

    def make(text):
        path = tmp_path / "hook"
        path.write_text(text)
        path.chmod(0o755)
        return ("-v", f"{path}:/hook:ro")

    os.chmod(tmp_path, 0o755)
    return make


def left(rich):
    """Names of containers that are there."""
    return rich.out("ps", "-a", "--format", "{{.Names}}").split()


# -- the init script --------------------------------------------------------------------------------------------------


def test_the_init_script_runs_inside_before_the_init_at_each_start(rich, case, script):
    flags = (*script(SCRIPT), "--initscript", "/hook 'one two' three", "-e", "GREETING=hello", "-u", "app")
    machines.boot(rich, case, "box", *SLEEP, flags=flags)
    found = rich.inspect("box")
    seen = rich.out("exec", "-u", "0", "box", "cat", "/run/seen").splitlines()
    assert seen[0] == "/hook 2 one two|three|hello|0"
    assert seen[1].startswith("/run/pouch/launch first")  # process 1 is not the init yet
    state = json.loads(rich.out("exec", "-u", "0", "box", "cat", "/run/state"))
    assert (state["id"], state["status"], state["pid"]) == (found["Id"], "created", 1)
    assert {"ociVersion", "bundle"} <= set(state)
    assert found["NetworkSettings"]["IPAddress"] in rich.out("exec", "-u", "0", "box", "cat", "/run/hook-network")
    assert rich.out("logs", "box") == "up"
    rich.pouch("restart", "box")
    machines.ready(rich, "box")
    assert rich.out("exec", "box", "cat", "/var/starts").split() == ["started", "started"]


def test_a_failing_init_script_fails_the_start_with_its_output(rich, case, script):
    done = machines.run(
        rich,
        case,
        *SLEEP,
        flags=(*script("#!/bin/sh\necho why; echo it failed >&2; exit 9\n"), "--initscript", "/hook", "--rm"),
    )
    assert done.returncode == 125
    assert "the init script exited with 9: why\nit failed" in done.stderr
    assert done.stdout == ""
    assert left(rich) == []


def test_a_killed_init_script_is_told(rich, script):
    flags = (*script("#!/bin/sh\nkill -9 $$\n"), "--initscript", "/hook", "--name", "box")
    done = machines.run(rich, machines.DUMB_INIT, *SLEEP, flags=flags)
    assert done.returncode == 125
    assert "killed by signal 9" in done.stderr
    state = rich.inspect("box")["State"]
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("created", 125, 0)
    assert "killed by signal 9" in state["Error"]


def test_a_missing_init_script_fails_the_start(rich, few):
    done = machines.run(rich, few, *SLEEP, flags=("--initscript", "/no/such/script arg", "--rm"))
    assert done.returncode == 125
    assert "/no/such/script" in done.stderr
    assert "No such file or directory" in done.stderr
    assert left(rich) == []


def test_an_init_script_that_is_no_command_line_is_refused(rich):
    done = machines.run(rich, machines.DUMB_INIT, *SLEEP, flags=("--initscript", "/hook 'open"))
    assert done.returncode == 125
    assert 'expected "PATH ARGS" with closed quotes' in done.stderr
    assert left(rich) == []


def test_an_init_script_that_takes_too_long_is_ended_by_a_stop(rich, script):
    import subprocess

    machines.load(rich, machines.BUSYBOX)
    flags = (*script("#!/bin/sh\n: >/run/began\nexec sleep 1000\n"), "--initscript", "/hook")
    words = (
        "run",
        "-d",
        "--name",
        "box",
        *machines.rich_flags(machines.BUSYBOX),
        *flags,
        machines.BUSYBOX.image,
        "true",
    )
    with subprocess.Popen(rich.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as starting:
        rich.until(lambda: left(rich) == ["box"])
        id_ = rich.inspect("box")["Id"]
        rich.until(lambda: os.path.exists(f"{rich.run}/containers/{id_}/run/began"))
        rich.pouch("rm", "-f", "box")
        _, said = starting.communicate(timeout=30)
    assert starting.returncode == 125, said
    assert left(rich) == []


# -- hooks on the host ------------------------------------------------------------------------------------------------


def test_a_prestart_hook_is_told_the_state_before_anything_runs(rich, few, tmp_path):
    hook = (
        f"cat >{tmp_path}/state; env | grep ^POUCH_ | sort >{tmp_path}/env; cat /proc/$POUCH_PID/comm >{tmp_path}/comm"
    )
    machines.boot(rich, few, "box", *SLEEP, flags=("--prestart-hook", hook))
    found = rich.inspect("box")
    state = json.loads((tmp_path / "state").read_text())
    assert (state["id"], state["status"], state["name"]) == (found["Id"], "created", "box")
    assert state["pid"] == found["State"]["Pid"]
    assert f"POUCH_ID={found['Id']}" in (tmp_path / "env").read_text().splitlines()
    assert (tmp_path / "comm").read_text().startswith("crun")  # created, not started


def test_a_failing_prestart_hook_fails_the_start_and_leaves_nothing(rich, few, tmp_path):
    flags = ("--prestart-hook", f"touch {tmp_path}/ran", "--prestart-hook", "echo no good >&2; exit 3", "--rm")
    done = machines.run(rich, few, "touch", "/app-ran", flags=flags)
    assert done.returncode == 125
    assert "prestart hook 'echo no good >&2; exit 3' exited with code 3: no good" in done.stderr
    assert (tmp_path / "ran").exists()
    assert left(rich) == []


def test_a_poststop_hook_is_told_the_end_while_the_files_are_there(rich, few, tmp_path):
    hook = f"cat >{tmp_path}/state; env | grep ^POUCH_ | sort >{tmp_path}/env; cat $POUCH_ROOTFS/file >{tmp_path}/file"
    done = machines.run(
        rich, few, "sh", "-c", "echo said; echo in-it >/file; exit 7", flags=("--name", "box", "--poststop-hook", hook)
    )
    assert done.returncode == 7
    state = json.loads((tmp_path / "state").read_text())
    expected = {
        "status": "stopped",
        "exitCode": 7,
        "signal": 0,
        "oomKilled": False,
        "reason": "failed",
        "logTail": "said\n",
    }
    assert {key: state[key] for key in expected} == expected
    assert state["logPath"] == rich.inspect("box")["LogPath"]
    assert state["startedAt"] <= state["finishedAt"]
    assert (tmp_path / "file").read_text() == "in-it\n"
    assert "POUCH_EXIT_CODE=7" in (tmp_path / "env").read_text().splitlines()


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("stop", {"exitCode": 143, "signal": 15, "reason": "stopped"}),
        ("kill", {"exitCode": 137, "signal": 9}),
        ("exit 0", {"exitCode": 0, "signal": 0, "reason": "done"}),
        ("kill -SEGV $$", {"exitCode": 139, "signal": 11, "reason": "signal"}),
    ],
)
def test_the_reason_of_the_end_is_told_once(rich, tmp_path, end, expected):
    hook = f"cat >>{tmp_path}/states; echo >>{tmp_path}/states"
    case = machines.BUSYBOX
    if end in ("stop", "kill"):
        machines.boot(rich, case, "box", *SLEEP, flags=("--poststop-hook", hook))
        rich.pouch(end, "box")
    else:
        machines.run(rich, case, "sh", "-c", end, flags=("--name", "box", "--poststop-hook", hook))
    rich.out("wait", "box")
    states = [json.loads(line) for line in (tmp_path / "states").read_text().splitlines()]
    assert len(states) == 1
    assert {key: states[0][key] for key in expected} == expected


def test_a_failing_poststop_hook_stops_nothing_and_is_told(rich):
    case = machines.DUMB_INIT
    flags = ("--rm", "--poststop-hook", "echo broken; exit 4", "--poststop-hook", "true")
    assert machines.run(rich, case, "sh", "-c", "exit 6", flags=flags).returncode == 6
    assert left(rich) == []
    assert "poststop hook 'echo broken; exit 4' exited with code 4: broken" in rich.log()


def test_plain_containers_have_hooks_too(rich, tmp_path):
    machines.load(rich, machines.DUMB_INIT)
    hook = f"cat >{tmp_path}/state"
    done = rich.pouch(
        "run", "--rm", "--poststop-hook", hook, machines.DUMB_INIT.image, "sh", "-c", "exit 5", check=False
    )
    assert done.returncode == 5
    assert json.loads((tmp_path / "state").read_text())["exitCode"] == 5
