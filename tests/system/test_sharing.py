"""Containers that share processes, messages and memory with others, and those that do not."""

from __future__ import annotations

import os

import pytest
from support import machines


def namespace(daemon, name, kind):
    pid = daemon.inspect(name)["State"]["Pid"]
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_shared_memory_and_messages_are_the_donors(daemon):
    daemon.box("--name", "donor", "--ipc", "shareable", "--shm-size", "8m")
    daemon.box("--name", "guest", "--ipc", "container:donor")
    assert namespace(daemon, "guest", "ipc") == namespace(daemon, "donor", "ipc")
    daemon.pouch("exec", "guest", "sh", "-c", "echo from guest > /dev/shm/a")
    assert daemon.out("exec", "donor", "cat", "/dev/shm/a") == "from guest"
    (line,) = [one for one in daemon.out("exec", "guest", "cat", "/proc/mounts").splitlines() if " /dev/shm " in one]
    assert {"nosuid", "nodev", "noexec", "size=8192k"} <= set(line.split()[3].split(","))
    donor = daemon.inspect("donor")["Id"]
    daemon.pouch("rename", "donor", "renamed")
    assert daemon.inspect("guest")["HostConfig"]["IpcMode"] == f"container:{donor}"
    daemon.pouch("restart", "-t", "0", "guest")
    assert daemon.out("exec", "guest", "cat", "/dev/shm/a") == "from guest"


def test_a_donors_link_in_place_of_its_shared_memory_leads_nobody_astray(daemon):
    """Who joins gets the file system that was laid ready, whatever the donor's processes have put where they see it."""
    daemon.box("--name", "donor", "--ipc", "shareable", "--privileged")
    daemon.pouch("exec", "donor", "sh", "-c", "umount /dev/shm && rmdir /dev/shm && ln -s /etc /dev/shm")
    assert daemon.out("run", "--rm", "--ipc", "container:donor", "busybox", "ls", "/dev/shm") == ""


def test_without_being_shareable_nothing_is_shared(daemon):
    donor = daemon.box("--name", "donor")
    done = daemon.pouch("run", "--rm", "--ipc", "container:donor", "busybox", "true", check=False)
    assert done.returncode == 125
    assert f"container {donor}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in done.stderr
    assert daemon.out("run", "--rm", "--ipc", "none", "busybox", "sh", "-c", "ls /dev/shm 2>&1; true") == (
        "ls: /dev/shm: No such file or directory"
    )


@pytest.mark.parametrize("kind", ["pid", "ipc"])
def test_who_is_not_there_or_does_not_run_cannot_be_joined(daemon, kind):
    done = daemon.pouch("run", "--rm", f"--{kind}", "container:nobody", "busybox", "true", check=False)
    assert (done.returncode, "No such container: nobody" in done.stderr) == (125, True)
    donor = daemon.out("create", "--name", "donor", "busybox", "true")
    done = daemon.pouch("run", "--rm", f"--{kind}", "container:donor", "busybox", "true", check=False)
    assert done.returncode == 125
    assert f"failed to join {kind.upper()} namespace: container {donor} is not running" in done.stderr


def test_processes_are_seen_and_end_with_whom_they_belong_to(daemon):
    daemon.box("--name", "donor", command=("sleep", "4711"))
    daemon.box("--name", "guest", "--pid", "container:donor", command=("sh", "-c", "sleep 4712 & sleep 4713"))
    assert namespace(daemon, "guest", "pid") == namespace(daemon, "donor", "pid")
    assert "sleep 4711" in daemon.out("exec", "guest", "ps")
    assert "sleep 4712" in daemon.out("exec", "donor", "ps")
    daemon.pouch("rm", "-f", "guest")
    seen = daemon.out("exec", "donor", "ps")
    assert "sleep 4711" in seen
    assert "sleep 4712" not in seen
    daemon.box("--name", "guest", "--pid", "container:donor")
    daemon.pouch("kill", "donor")
    daemon.until(
        lambda: daemon.inspect("guest")["State"]["Status"] == "exited", what="the namespace ends with its init"
    )
    assert daemon.inspect("guest")["State"]["ExitCode"] == 137


def test_a_debugger_sees_a_rich_containers_processes(rich):
    machines.load(rich, "debian:bookworm")
    rich.pouch("run", "-d", "--name", "donor", "--rich", "debian:bookworm", "sleep", "4711")
    rich.until(lambda: rich.inspect("donor")["State"]["Boot"] in ("running", "degraded"), what="it has booted")
    seen = rich.out(
        "run", "--rm", "--pid", "container:donor", "--network", "none", "debian:bookworm", "cat", "/proc/1/comm"
    )
    assert seen == "systemd"
    done = rich.pouch("run", "--rm", "--rich", "--pid", "container:donor", "debian:bookworm", "true", check=False)
    assert done.returncode == 125
    assert "a rich container needs a pid namespace of its own" in done.stderr
