"""SIGKILL at any moment of what changes containers: the next start finishes or undoes it, and nothing is left."""

from __future__ import annotations

import random
import subprocess
import threading
import time

import pytest
from support import leaks, machines

SECONDS = 1.2
"""How far into a loop of changes the moment may be."""
LOOPS = {
    "plain": ("busybox:test", ("--init",)),
    "rich": ("busybox-init:test", ("--rich",)),
}


def worker(rich, number, image, flags, ending):
    """create, start, stop, remove, again and again, until the daemon is gone."""
    name = f"box{number}"
    steps = (
        ("run", "-d", "--name", name, *flags, image, "sh", "-c", "echo up; exec sleep 1000"),
        ("stop", "-t", "1", name),
        ("start", name),
        ("rm", "-f", name),
    )
    while not ending.is_set():
        for step in steps:
            if ending.is_set():
                return
            subprocess.run(rich.command(*step), capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("seed", range(5))
def test_a_kill_at_a_random_moment_leaves_nothing(rich, kind, seed):
    image, flags = LOOPS[kind]
    machines.load(rich, image)
    moment = random.Random(f"{kind} {seed}").uniform(0.05, SECONDS)
    ending = threading.Event()
    workers = [
        threading.Thread(target=worker, args=(rich, number, image, flags, ending), daemon=True) for number in range(3)
    ]
    for one in workers:
        one.start()
    time.sleep(moment)  # the moment itself is what is tried
    rich.kill()
    ending.set()
    for one in workers:
        one.join(60)
    rich.start()
    # what is there works, in each state it may have been left in
    for name in rich.out("ps", "-a", "--format", "{{.Names}}").split():
        state = rich.inspect(name)["State"]
        assert state["Status"] in ("created", "running", "exited"), state
        if state["Status"] == "running":
            assert rich.out("exec", name, "echo", "alive") == "alive"
        else:
            rich.pouch("start", name)
        rich.pouch("stop", "-t", "1", name)
        rich.pouch("rm", name)
    leaks.assert_none(rich)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_kill_while_a_machine_boots_leaves_it_running_or_not_begun(rich, delay):
    case = machines.SYSVINIT
    machines.load(rich, case)
    rich.out("create", "--name", "box", *machines.rich_flags(case), case.image, "sh", "-c", "echo up; exec sleep 1000")
    with subprocess.Popen(rich.command("start", "box"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        time.sleep(0.05 + delay)  # the moment itself is what is tried
        rich.kill()
        client.wait(20)
    rich.start()
    state = rich.inspect("box")["State"]
    if state["Status"] != "running":
        assert state["Status"] == "created"
        # its own directory, where the start came so far as to make it
        assert set(leaks.left(rich)) <= {f"file {rich.root}/containers/{rich.inspect('box')['Id']}"}
        rich.pouch("start", "box")
    machines.ready(rich, "box")
    # a start that is taken back may have come far enough to write
    rich.until(lambda: set(rich.out("logs", "box").split()) == {"up"})
    rich.pouch("stop", "box")


def test_a_kill_while_poststop_hooks_run_runs_them_again_at_the_next_start(rich, tmp_path):
    case = machines.DUMB_INIT
    hook = f"echo ran >>{tmp_path}/ran; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo ended >>{tmp_path}/ended"
    machines.boot(rich, case, "box", "sh", "-c", "exec sleep 1000", flags=("--poststop-hook", hook))
    with subprocess.Popen(rich.command("kill", "box"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        rich.until((tmp_path / "ran").exists)
        rich.kill()
        client.wait(20)
    (tmp_path / "go").touch()
    rich.start()
    rich.until(lambda: rich.inspect("box")["State"]["Status"] == "exited")
    rich.until((tmp_path / "ended").exists)
    state = rich.inspect("box")["State"]
    assert state["ExitCode"] == 137
    assert (tmp_path / "ran").read_text().split() == ["ran", "ran"]
