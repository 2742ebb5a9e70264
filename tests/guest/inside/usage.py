"""What containers use and may use, by Docker's API: stats and update against the files of cgroup v2, devices, block devices, refusals."""

from __future__ import annotations

import json
import os
import time

from inside import host, report

MIB = 1 << 20
BUSY = "dd if=/dev/zero of=/data/f bs=1M count=4 conv=fsync 2>/dev/null; while :; do :; done"
DISK = "/dev/vda"
FORBIDDEN = "Operation not permitted"


def all_of(manager: str, runtime: str) -> None:
    """Every check with this cgroup manager and runtime."""
    with report.group(f"usage, {manager}, {runtime}") as row:
        box = ("run", "--runtime", runtime)
        _counted(row, box)
        _streamed(row)
        _changed(row, box)
        _unlimited(row, box)
        _policy(row, box)
        _devices(row, box)
        _blocks(row, box)
        _refused(row, box)
        host.run("pouch", "rm", "-fv", *host.pouch("ps", "-aq").split())
        host.run("pouch", "volume", "prune", "-af")
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def _look(name: str) -> dict:
    status, found = host.api("GET", f"/v1.47/containers/{name}/stats?stream=false&one-shot=true")
    assert status == 200, found
    return found


def _written(found: dict, kind: str, operation: str) -> int:
    """Of all devices together."""
    entries = found["blkio_stats"][kind] or []
    return sum(one["value"] for one in entries if one["op"].lower() == operation)


def _counted(row: report.Group, box: tuple[str, ...]) -> None:
    limits = ("-m", "200m", "--pids-limit", "40", "--cpus", "0.3")
    host.pouch(*box, "-d", "--name", "busy", *limits, "-v", "busy:/data", "busybox", "sh", "-c", BUSY)
    host.pouch(*box, "-d", "--name", "idle", "busybox", "sleep", "9000")
    busy, idle = host.own_group("busy"), host.own_group("idle")
    report.until(lambda: host.numbers(f"{busy}/cpu.stat")["nr_throttled"] > 3, seconds=60)
    # the file is written when the shell is at its loop
    report.until(lambda: _io(busy)["wbytes"] >= 4 * MIB, seconds=60)
    before = host.numbers(f"{busy}/cpu.stat")
    found = _look("busy")
    after = host.numbers(f"{busy}/cpu.stat")
    cpu = found["cpu_stats"]
    for member, name in (
        ("total_usage", "usage_usec"),
        ("usage_in_usermode", "user_usec"),
        ("usage_in_kernelmode", "system_usec"),
    ):
        value = cpu["cpu_usage"][member]
        row.check(
            f"{member} is {name}",
            before[name] * 1000 <= value <= after[name] * 1000,
            (before[name], value, after[name]),
        )
    throttled = cpu["throttling_data"]
    for member, name, unit in (
        ("periods", "nr_periods", 1),
        ("throttled_periods", "nr_throttled", 1),
        ("throttled_time", "throttled_usec", 1000),
    ):
        held = before[name] * unit <= throttled[member] <= after[name] * unit
        row.check(f"{member} is {name}", held, (before[name], throttled[member], after[name]))
    row.equal("pids", found["pids_stats"], {"current": int(host.read(f"{busy}/pids.current")), "limit": 40})
    row.equal("limit of memory", found["memory_stats"]["limit"], 200 * MIB)
    row.equal("v2 has no time by CPU", "percpu_usage" in cpu["cpu_usage"], False)
    row.equal("nor a most of memory", "max_usage" in found["memory_stats"], False)
    _of_devices(row, found, busy)
    _of_memory(row, idle)


def _io(group: str) -> dict[str, int]:
    """io.stat, all devices together."""
    pairs = [word.split("=") for line in host.read(f"{group}/io.stat").splitlines() for word in line.split()[1:]]
    return {key: sum(int(value) for name, value in pairs if name == key) for key in ("rbytes", "wbytes", "wios")}


def _of_devices(row: report.Group, found: dict, group: str) -> None:
    """The files' numbers, where systemd lets the io controller reach the group."""
    row.check("the group counts its input and output", "io" in host.read(f"{group}/cgroup.controllers").split(), group)
    sums = _io(group)
    row.equal("bytes written are wbytes", _written(found, "io_service_bytes_recursive", "write"), sums["wbytes"])
    row.equal("bytes read are rbytes", _written(found, "io_service_bytes_recursive", "read"), sums["rbytes"])
    row.check("and they are those of the file", sums["wbytes"] >= 4 * MIB, sums)
    row.equal("writes are wios", _written(found, "io_serviced_recursive", "write"), sums["wios"])


def _of_memory(row: report.Group, group: str) -> None:
    """Of one that does nothing: the numbers stand still."""
    found = _look("idle")["memory_stats"]
    row.equal("usage is memory.current", found["usage"], int(host.read(f"{group}/memory.current")))
    stats = host.numbers(f"{group}/memory.stat")
    row.equal("its parts are those of memory.stat", sorted(found["stats"]), sorted(stats))
    row.equal("with their values", (found["stats"]["anon"], found["stats"]["file"]), (stats["anon"], stats["file"]))
    total = int(host.read("/proc/meminfo").split()[1]) * 1024
    row.equal("without a limit it is the host's memory", found["limit"], total)
    shown = json.loads(host.pouch("stats", "--no-stream", "--format", "json", "idle"))
    wanted = (found["usage"] - found["stats"]["inactive_file"]) / MIB
    number, _, _ = shown["MemUsage"].partition(" ")
    unit = {"KiB": 1 / 1024, "MiB": 1.0}[number.lstrip("0123456789.")]
    row.check(
        "pouch shows it as docker: without inactive_file",
        abs(float(number.rstrip("KMiB")) * unit - wanted) < 0.01 * wanted + 0.001,
        (shown, wanted),
    )
    row.equal("pids as shown", shown["PIDs"], host.read(f"{group}/pids.current"))


def _streamed(row: report.Group) -> None:
    began = time.monotonic()
    once = _look("busy")
    row.equal("one shot has nothing before it", once["preread"], "0001-01-01T00:00:00Z")
    row.equal("nor time of CPUs", once["precpu_stats"]["cpu_usage"]["total_usage"], 0)
    report.note(f"stats, one shot: {time.monotonic() - began:.2f} s")
    _, twice = host.api("GET", "/v1.47/containers/busy/stats?stream=false")
    used = [twice[when]["cpu_usage"]["total_usage"] for when in ("precpu_stats", "cpu_stats")]
    row.check("without it there are two looks", 0 < used[0] < used[1], used)
    found = host.lines("/v1.47/containers/busy/stats", 3)
    row.equal("in a stream each look has the one before it", found[2]["preread"], found[1]["read"])
    used = [one["cpu_stats"]["cpu_usage"]["total_usage"] for one in found]
    row.check("and time goes on", used[0] < used[1] < used[2], used)
    host.pouch("rm", "-f", "busy", "idle")


def _values(name: str, *files: str) -> list[str]:
    """Of its own group; where a group above it limits it more closely, what that says."""
    place = host.own_group(name)
    found = []
    for file in files:
        values = (
            host.limit(place.removeprefix(host.CGROUP), file) if file in ("memory.max", "pids.max", "cpu.max") else []
        )
        found.append(" below ".join(dict.fromkeys(values)) or host.read(f"{place}/{file}"))
    return found


LIMITED = ("memory.max", "memory.swap.max", "memory.low", "cpu.max", "pids.max", "cpuset.cpus", "cpu.weight")
CHANGE = (
    "-m 96m --memory-swap 160m --memory-reservation 48m --cpus 0.25 --pids-limit 30 --cpuset-cpus 1 --cpu-shares 512"
)
CHANGED = [str(96 * MIB), str(64 * MIB), str(48 * MIB), "25000 100000", "30", "1", "20"]


def _changed(row: report.Group, box: tuple[str, ...]) -> None:
    host.pouch(
        *box, "-d", "--name", "box", "-m", "64m", "--cpus", "0.5", "--cpuset-cpus", "0", "busybox", "sleep", "9000"
    )
    row.equal("update says nothing else", host.run("pouch", "update", *CHANGE.split(), "box"), (0, "box\n", ""))
    row.equal("all limits are changed at once", _values("box", *LIMITED), CHANGED)
    row.equal("a process inside sees them", host.pouch("exec", "box", "cat", "/sys/fs/cgroup/memory.max"), CHANGED[0])
    host.out("systemctl", "daemon-reload")
    row.equal("after systemctl daemon-reload", _values("box", *LIMITED), CHANGED)
    host.out("systemctl", "restart", "pouchd")
    row.equal("after a restart of the daemon", _values("box", *LIMITED), CHANGED)
    host.pouch("restart", "-t", "0", "box")
    row.equal("after a restart of the container", _values("box", *LIMITED), CHANGED)
    host.out("systemctl", "daemon-reload")
    row.equal("and another daemon-reload", _values("box", *LIMITED), CHANGED)
    host.pouch("pause", "box")
    host.pouch("update", "-m", "128m", "--memory-swap", "-1", "box")
    row.equal("a paused one", _values("box", "memory.max", "memory.swap.max"), [str(128 * MIB), "max"])
    host.pouch("unpause", "box")
    code, _, complaint = host.run("pouch", "update", "--cpuset-cpus", "64", "box")
    row.check("CPUs that are not there", code == 1 and "Requested CPUs are not available" in complaint, complaint)
    row.equal("change nothing", _values("box", "cpuset.cpus"), ["1"])
    _, answer = host.api("POST", "/v1.47/containers/box/update", {"PidsLimit": 77})
    row.equal("by the API", (answer, _values("box", "pids.max")), ({"Warnings": None}, ["77"]))


def _unlimited(row: report.Group, box: tuple[str, ...]) -> None:
    """Limits that are taken away, not changed: systemd must not bring them back."""
    quota = ("--cpu-period", "50000", "--cpu-quota", "20000")
    host.pouch(*box, "-d", "--name", "free", "--pids-limit", "25", *quota, "busybox", "sleep", "9000")
    row.equal("a quota", _values("free", "cpu.max", "pids.max"), ["20000 50000", "25"])
    host.pouch("update", "--pids-limit", "-1", "--cpu-quota", "-1", "free")
    for what in ("taken away", "after systemctl daemon-reload"):
        found = [one.split()[0] for one in _values("free", "cpu.max", "pids.max")]
        row.equal(f"limits are {what}", found, ["max", "max"])
        host.out("systemctl", "daemon-reload")
    host.pouch("update", "--pids-limit", "26", "free")
    host.out("systemctl", "daemon-reload")
    row.equal("and are given again", _values("free", "pids.max"), ["26"])


def _policy(row: report.Group, box: tuple[str, ...]) -> None:
    host.pouch(*box, "-d", "--name", "again", "busybox", "sleep", "9000")
    host.pouch("update", "--restart", "on-failure:2", "again")
    pid = host.inspect("again")["State"]["Pid"]
    os.kill(pid, 9)
    came = report.until(lambda: host.inspect("again")["State"]["Pid"] not in (0, pid), seconds=60)
    row.check("the restart policy of an update counts", came, host.inspect("again")["State"])
    host.pouch("update", "--restart", "no", "again")
    os.kill(host.inspect("again")["State"]["Pid"], 9)
    row.check(
        "and taken away no more",
        report.until(lambda: host.inspect("again")["State"]["Status"] == "exited", seconds=60),
        host.inspect("again")["State"],
    )


def _devices(row: report.Group, box: tuple[str, ...]) -> None:
    """The rules are a program of the kernel here (BPF_PROG_TYPE_CGROUP_DEVICE)."""
    number = os.stat(DISK).st_rdev
    disk = f"{os.major(number)}:{os.minor(number)}"
    make = f"mknod /d b {disk.replace(':', ' ')} && "
    read, write = f"{make}dd if=/d of=/dev/null bs=512 count=1", f"{make}dd if=/dev/zero of=/d count=0 conv=notrunc"
    for rules, command, allowed in (
        ((), read, False),
        ((f"b {disk} r",), read, True),
        ((f"b {disk} r",), write, False),
        ((f"b {os.major(number)}:* rw",), write, True),
        (("b *:* r",), read, True),
        ((f"c {disk} r",), read, False),
    ):
        flags = [word for rule in rules for word in ("--device-cgroup-rule", rule)]
        code, said, complaint = host.run("pouch", *box, "--rm", *flags, "busybox", "sh", "-c", command)
        verb = "read" if command is read else "written"
        row.check(
            f"{' '.join(rules) or 'no rule'}: the disk can{'' if allowed else 'not'} be {verb}",
            (code == 0) if allowed else (code != 0 and FORBIDDEN in complaint),
            (code, said, complaint),
        )
    host.pouch(*box, "-d", "--name", "ruled", "--device-cgroup-rule", f"b {disk} r", "busybox", "sleep", "9000")
    host.pouch("update", "-m", "64m", "--memory-swap", "64m", "ruled")
    code, _, complaint = host.run("pouch", "exec", "ruled", "sh", "-c", read)
    row.check("an update of limits leaves the rules", code == 0, complaint)
    host.out("systemctl", "daemon-reload")
    code, _, complaint = host.run(
        "pouch",
        "exec",
        "ruled",
        "sh",
        "-c",
        "dd if=/d of=/dev/null bs=512 count=1; dd if=/dev/zero of=/d count=0 conv=notrunc",
    )
    row.check("so does daemon-reload", code != 0 and complaint.count(FORBIDDEN) == 1, complaint)


def _blocks(row: report.Group, box: tuple[str, ...]) -> None:
    number = os.stat(DISK).st_rdev
    disk = f"{os.major(number)}:{os.minor(number)}"
    rates = ("--device-read-bps", f"{DISK}:1mb", "--device-write-bps", f"{DISK}:2mb")
    rates += ("--device-read-iops", f"{DISK}:300", "--device-write-iops", f"{DISK}:400")
    code, _, complaint = host.run("pouch", *box, "-d", "--name", "slow", *rates, "busybox", "sleep", "9000")
    row.equal("rates of a block device", (code, complaint), (0, ""))
    expected = f"{disk} rbps={MIB} wbps={2 * MIB} riops=300 wiops=400"
    row.equal("are in io.max", host.read(f"{host.own_group('slow')}/io.max"), expected)
    host.out("systemctl", "daemon-reload")
    row.equal("after systemctl daemon-reload", host.read(f"{host.own_group('slow')}/io.max"), expected)
    host.pouch("update", "--pids-limit", "20", "slow")
    row.equal("after an update of other limits", host.read(f"{host.own_group('slow')}/io.max"), expected)
    began = time.monotonic()
    host.pouch("exec", "slow", "dd", "if=/dev/zero", "of=/f", "bs=1M", "count=8", "conv=fsync")
    took = time.monotonic() - began
    row.check("8 MiB at 2 MiB a second take their time", took > 3, took)
    code, _, complaint = host.run(
        "pouch", *box, "-d", "--name", "heavy", "--blkio-weight", "300", "busybox", "sleep", "9000"
    )
    row.equal("a weight", (code, complaint), (0, ""))
    place = host.own_group("heavy")
    files = [host.read(f"{place}/{name}") for name in ("io.bfq.weight", "io.weight")]
    row.check("is written", any(text and text != "default 100" for text in files), files)
    of_device = ("--blkio-weight-device", f"{DISK}:400")
    code, said, complaint = host.run("pouch", *box, "--rm", *of_device, "busybox", "echo", "runs")
    known = os.path.exists(f"{place}/io.bfq.weight")
    row.equal(
        "a weight of a device, or Docker's warning", (code, said, "discarded" in complaint), (0, "runs\n", not known)
    )


def _refused(row: report.Group, box: tuple[str, ...]) -> None:
    """What cgroup v2 does not know is a warning, as Docker's; what cannot be is an error."""
    for flags, word in (
        (("--memory-swappiness", "10"), "Memory swappiness discarded"),
        (("--oom-kill-disable", "-m", "64m"), "OomKillDisable discarded"),
    ):
        code, said, complaint = host.run("pouch", *box, "--rm", *flags, "busybox", "echo", "runs")
        row.equal(f"{flags[0]} is a warning", (code, said, complaint.count(word)), (0, "runs\n", 1))
    for flags, word in (
        (("--storage-opt", "size=64m"), "the writable layer of a container cannot be limited"),
        (("--cpu-rt-runtime", "1000"), "CPU real-time scheduler"),
        (("--device-read-bps", "/dev/null:1m"), "is no block device"),
        (("--gpus", "all"), "could not select device driver"),
    ):
        code, _, complaint = host.run("pouch", *box, "--rm", *flags, "busybox", "true")
        row.check(f"{' '.join(flags)} is refused", code == 125 and word in complaint, (code, complaint))
    info = json.loads(host.pouch("info", "--format", "json"))
    row.equal("info says it", (info["OomKillDisable"], info["CgroupVersion"], info["PidsLimit"]), (False, "2", True))
