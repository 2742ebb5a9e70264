"""Containers outlive their daemon under systemd: a restart, an upgrade, a kill, a stop during which one ends."""

from __future__ import annotations

import os
import signal

from inside import host, install, machines, report

COUNTER = "i=0; while [ ! -e /srv/finish ]; do echo line $i; i=$((i+1)); sleep 0.2; done; echo last; exit 9"


def all_of(manager: str) -> None:
    """One plain and one rich container through all of it."""
    with report.group(f"survival, {manager}") as row:
        host.pouch("run", "-d", "--name", "plain", "-m", "64m", "busybox", "sh", "-c", COUNTER.replace("/srv", "/tmp"))
        machines.boot("rich", "debian:bookworm", "crun", "-m", "600m", app=COUNTER)
        _through(row, "systemctl restart pouchd", lambda: host.out("systemctl", "restart", "pouchd"))
        _through(row, "kill -9 of pouchd", _killed)
        _through(row, "systemctl daemon-reexec", lambda: host.out("systemctl", "daemon-reexec"))
        _through(row, "systemctl stop and start", _stopped)
        _ended_meanwhile(row)
        journal = host.out("journalctl", "-u", "pouchd", "--no-pager", "-o", "cat")
        row.check(
            "no traceback in the journal", "Traceback" not in journal, journal[journal.find("Traceback") :][:1500]
        )
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def change_of_manager() -> None:
    """A container keeps its groups when the daemon comes back with another cgroup manager, and leaves nothing then."""
    with report.group("change of cgroup manager") as row:
        host.pouch("run", "-d", "--name", "kept", "-m", "64m", "busybox", "sleep", "9004")
        before = host.process_cgroup(host.inspect("kept")["State"]["Pid"])
        install.use("cgroupfs")
        row.equal("its group stays", host.process_cgroup(host.inspect("kept")["State"]["Pid"]), before)
        row.equal("exec", host.run("pouch", "exec", "kept", "sh", "-c", "exit 4")[0], 4)
        row.check("top", "sleep 9004" in host.pouch("top", "kept"), host.pouch("top", "kept"))
        host.pouch("stop", "-t", "1", "kept")
        row.equal(
            "stopped, nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True
        )
        host.pouch("start", "kept")
        place = host.process_cgroup(host.inspect("kept")["State"]["Pid"])
        row.check("started again, it is where the new one puts it", place.startswith("/pouch/"), place)
        install.use("auto")
        host.pouch("rm", "-f", "kept")
        row.equal(
            "removed, nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True
        )


def _state() -> dict[str, object]:
    """What must be the same afterwards: processes of containers and their groups, monitors and theirs, scopes."""
    pids = [host.inspect(name)["State"]["Pid"] for name in ("plain", "rich")]
    return {
        "pids": pids,
        "alive": [host.alive(pid) for pid in pids],
        "groups": [host.process_cgroup(pid) for pid in pids],
        "monitors": host.monitors(),
        "scopes": [line.split()[0] for line in host.scopes()],
        "memory.max": [host.limit(host.process_cgroup(pid), "memory.max") for pid in pids],
    }


def _through(row: report.Group, what: str, act) -> None:
    before = _state()
    act()
    row.equal(f"{what}: pouchd is active", host.run("systemctl", "is-active", "pouchd")[1].strip(), "active")
    row.equal(f"{what}: containers and monitors are as before", _state(), before)
    row.equal(f"{what}: ps", sorted(host.pouch("ps", "--format", "{{.Names}}").split()), ["plain", "rich"])
    row.equal(f"{what}: boot state", host.inspect("rich")["State"]["Boot"], "running")
    for name in ("plain", "rich"):
        row.equal(f"{what}: exec in {name}", host.run("pouch", "exec", name, "sh", "-c", "exit 4")[0], 4)
        count = len(host.pouch("logs", name).splitlines())
        more = report.until(
            lambda name=name, count=count: len(host.pouch("logs", name).splitlines()) > count, seconds=30
        )
        row.check(f"{what}: the log of {name} goes on", more)


def _killed() -> None:
    pid = int(host.unit("pouchd", "MainPID"))
    os.kill(pid, signal.SIGKILL)
    report.until(
        lambda: host.unit("pouchd", "MainPID") not in (str(pid), "0") and host.run("pouch", "version")[0] == 0,
        seconds=90,
    )


def _stopped() -> None:
    host.out("systemctl", "stop", "pouchd")
    host.out("systemctl", "start", "pouchd")


def _ended_meanwhile(row: report.Group) -> None:
    pids = {name: host.inspect(name)["State"]["Pid"] for name in ("plain", "rich")}
    host.out("systemctl", "stop", "pouchd")
    open(f"/proc/{pids['plain']}/root/tmp/finish", "w").close()
    host.out("nsenter", "-t", str(pids["rich"]), "-m", "-U", "-S", "0", "-G", "0", "touch", "/srv/finish")
    gone = report.until(lambda: not any(map(host.alive, pids.values())), seconds=60)
    row.check("both end while no daemon runs", gone, pids)
    report.until(lambda: not host.monitors(), seconds=30)
    host.out("systemctl", "start", "pouchd")
    for name in ("plain", "rich"):
        row.equal(f"the exit code of {name} is known", host.inspect(name)["State"]["ExitCode"], 9)
        lines = host.pouch("logs", name).splitlines()
        row.check(
            f"the log of {name} is whole", lines == [*(f"line {i}" for i in range(len(lines) - 1)), "last"], lines[-5:]
        )
    host.pouch("rm", "plain", "rich")
