"""Plain containers: exit codes, limits in the v2 files, limits that hold, exec, pause, stop, and nothing left."""

from __future__ import annotations

import time

from inside import host, report

MIB = 1 << 20
LIMITS = ("-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpuset-cpus", "0", "--memory-reservation", "32m")
EATER = ("dd", "if=/dev/zero", "of=/dev/null", "bs=120M", "count=1")
FORKER = "i=0; while [ $i -lt 60 ]; do sleep 300 & i=$((i+1)); done; echo all"
BURNER = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"


def all_of(manager: str, runtime: str) -> None:
    """Every check with this cgroup manager and runtime."""
    with report.group(f"plain, {manager}, {runtime}") as row:
        box = ("run", "--runtime", runtime)
        _codes(row, box)
        _written(row, box, manager)
        _many(row, box)
        _held(row, box)
        _life(row, box)
        host.run("pouch", "rm", "-f", *host.pouch("ps", "-aq").split())
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def _codes(row: report.Group, box: tuple[str, ...]) -> None:
    for words, expected in (
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "sh -c 'kill -9 $$'; exit $?"), 137),
        (("/etc/passwd",), 126),
        (("nosuchprogram",), 127),
    ):
        began = time.monotonic()
        code, _, complaint = host.run("pouch", *box, "--rm", "busybox", *words)
        row.check(f"{' '.join(words)} ends with {expected}", code == expected, f"{code} {complaint}")
        report.note(f"run --rm busybox {words[0]}: {time.monotonic() - began:.1f} s")
    row.equal("output", host.pouch(*box, "--rm", "busybox", "echo", "a  b"), "a  b")


def _written(row: report.Group, box: tuple[str, ...], manager: str) -> None:
    host.pouch(*box, "-d", "--name", "limited", *LIMITS, "busybox", "sleep", "9000")
    pid = host.inspect("limited")["State"]["Pid"]
    place = host.process_cgroup(pid)
    id_ = host.inspect("limited")["Id"]
    parent = f"/system.slice/pouch-{id_}.scope" if manager == "systemd" else f"/pouch/{id_}"
    row.check("its cgroup", (place + "/").startswith(parent + "/"), place)
    for name, expected in (
        ("memory.max", str(64 * MIB)),
        ("memory.swap.max", str(64 * MIB)),
        ("memory.low", str(32 * MIB)),
        ("pids.max", "50"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0"),
    ):
        row.check(f"{name} is {expected}", expected in host.limit(place, name), (place, host.limit(place, name)))
    for name, expected in (("memory.max", str(64 * MIB)), ("pids.max", "50"), ("cpu.max", "50000 100000")):
        row.equal(
            f"{name} as seen inside",
            host.run("pouch", "exec", "limited", "cat", f"/sys/fs/cgroup/{name}")[1].strip(),
            expected,
        )
    host.out("systemctl", "daemon-reload")
    for name, expected in (("memory.max", str(64 * MIB)), ("pids.max", "50"), ("cpu.max", "50000 100000")):
        row.check(f"{name} after systemctl daemon-reload", expected in host.limit(place, name), host.limit(place, name))
    if manager == "systemd":
        row.equal("delegated", host.unit(parent.rpartition("/")[2], "Delegate"), "yes")


def _many(row: report.Group, box: tuple[str, ...]) -> None:
    for flags, expected in (((), []), (("--pids-limit", "99999"), ["99999"])):
        host.pouch(*box, "-d", "--name", "many", *flags, "busybox", "sleep", "9006")
        found = set(host.limit(host.process_cgroup(host.inspect("many")["State"]["Pid"]), "pids.max"))
        row.equal(
            f"pids.max with {' '.join(flags) or 'nothing asked'}, whatever systemd would set", sorted(found), expected
        )
        host.pouch("rm", "-f", "many")


def _held(row: report.Group, box: tuple[str, ...]) -> None:
    code, _, complaint = host.run("pouch", *box, "--name", "eater", "-m", "48m", "busybox", *EATER)
    row.equal("more memory than allowed ends it", code, 137)
    row.check("OOMKilled", host.inspect("eater")["State"]["OOMKilled"], complaint)
    code, said, complaint = host.run("pouch", *box, "--rm", "--pids-limit", "20", "busybox", "sh", "-c", FORKER)
    row.check(
        "more processes than allowed are refused", code != 0 and "fork" in said + complaint, (code, said, complaint)
    )
    host.pouch(*box, "-d", "--name", "burner", "--cpus", "0.2", "busybox", "sh", "-c", f"while :; do {BURNER}; done")
    place = host.process_cgroup(host.inspect("burner")["State"]["Pid"])

    def throttled() -> bool:
        lines = dict(line.split() for line in host.read(f"{host.CGROUP}{place}/cpu.stat").splitlines())
        above = host.read(f"{host.CGROUP}{place.rpartition('/')[0]}/cpu.stat").splitlines()
        return (
            int(lines.get("nr_throttled", 0)) > 3
            or int(dict(line.split() for line in above).get("nr_throttled", 0)) > 3
        )

    row.check("cpu time is held back", report.until(throttled, seconds=30), host.read(f"{host.CGROUP}{place}/cpu.stat"))


def _life(row: report.Group, box: tuple[str, ...]) -> None:
    own = host.process_cgroup(host.inspect("limited")["State"]["Pid"])
    row.equal("exec's exit code", host.run("pouch", "exec", "limited", "sh", "-c", "exit 3")[0], 3)
    host.pouch("exec", "-d", "limited", "sleep", "9001")
    there = report.until(lambda: host.pids_of("sleep 9001"), seconds=20) or []
    places = [host.process_cgroup(pid) for pid in there]
    row.check("exec is within its cgroup", places and all(place.startswith(own) for place in places), (own, places))
    score = ("cat", "/proc/self/oom_score_adj")
    row.equal("exec is not spared as the daemon is", host.pouch("exec", "limited", *score), "0")
    host.pouch(*box, "-d", "--name", "scored", "--oom-score-adj", "300", "busybox", "sleep", "9005")
    row.equal("exec has its container's OOM score", host.pouch("exec", "scored", *score), "300")
    row.equal("top shows both", host.pouch("top", "limited").count("sleep 900"), 2)
    host.pouch("pause", "limited")
    row.equal("paused", host.inspect("limited")["State"]["Status"], "paused")
    frozen = [host.read(f"{host.CGROUP}{path}/cgroup.events") for path in (own, own.rpartition("/")[0])]
    row.check("frozen", any("frozen 1" in text for text in frozen), frozen)
    host.pouch("unpause", "limited")
    row.equal("running again", host.inspect("limited")["State"]["Status"], "running")
    gateway = host.inspect("limited")["NetworkSettings"]["Gateway"]
    code, said, complaint = host.run("pouch", "exec", "limited", "ping", "-c", "1", "-w", "10", gateway)
    row.check("it reaches the bridge", code == 0, (gateway, said, complaint))
    began = time.monotonic()
    host.pouch("stop", "-t", "3", "limited")
    row.check("stop", host.inspect("limited")["State"]["ExitCode"] == 137, host.inspect("limited")["State"])
    report.note(f"stop -t 3 of a sleep that ignores SIGTERM: {time.monotonic() - began:.1f} s")
    host.pouch("start", "limited")
    row.equal("start again", host.inspect("limited")["State"]["Status"], "running")
    code, _, _ = host.run("pouch", *box, "--name", "ends", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 4")
    count = report.until(lambda: host.inspect("ends")["RestartCount"] == 2, seconds=60)
    row.check("restart policy", count, (code, host.inspect("ends")["RestartCount"]))
