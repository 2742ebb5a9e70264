"""Rich containers: systemd boots to `running` in a user namespace, keeps within its limits, and stops in an orderly way."""

from __future__ import annotations

import json
import time

from inside import host, report

MIB = 1 << 20
APP = "echo up; while [ ! -e /srv/finish ]; do sleep 0.2; done; echo done; exit 7"
SERVICES = ("cron", "rsyslog", "ssh", "dbus", "systemd-journald", "systemd-logind")
BOOT_SECONDS = 300.0


def boot(name: str, image: str, runtime: str, *flags: str, app: str = APP) -> None:
    """Start one and wait until it has booted."""
    words = ("--runtime", runtime, "--rich", "--rich-mode", "systemd", *flags, image, "sh", "-c", app)
    host.pouch("run", "-d", "--name", name, *words)
    booted(name)


def booted(name: str) -> str:
    """Its state when it has come to an end with its boot."""
    report.until(lambda: host.inspect(name)["State"]["Boot"] not in ("starting", ""), seconds=BOOT_SECONDS)
    return str(host.inspect(name)["State"]["Boot"])


def all_of(manager: str, runtime: str, image: str) -> None:
    """Every check with this cgroup manager, runtime and image."""
    with report.group(f"rich, {manager}, {runtime}, {image}") as row:
        name = "machine"
        began = time.monotonic()
        boot(name, image, runtime, "-m", "600m", "--pids-limit", "400", "--cpus", "1.5")
        report.note(f"boot of {image} with {runtime}: {time.monotonic() - began:.0f} s")
        _up(row, name)
        _groups(row, name, manager)
        _exec(row, name)
        _categories(row, name)
        _hold(row, name)
        _again(row, name)
        _ends(row, name)
        host.run("pouch", "rm", "-f", *host.pouch("ps", "-aq").split())
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def _up(row: report.Group, name: str) -> None:
    row.equal("boot state", host.inspect(name)["State"]["Boot"], "running")
    row.equal(
        "is-system-running", host.run("pouch", "exec", name, "systemctl", "is-system-running")[1].strip(), "running"
    )
    failed = host.run("pouch", "exec", name, "systemctl", "--failed", "--plain", "--no-legend", "--no-pager")[1]
    row.equal("failed units", failed.strip(), "")
    pid = host.inspect(name)["State"]["Pid"]
    row.check(
        "in a user namespace",
        host.read(f"/proc/{pid}/uid_map").split()[1:2] not in ([], ["0"]),
        host.read(f"/proc/{pid}/uid_map"),
    )
    row.equal("log", host.pouch("logs", name).splitlines()[:1], ["up"])


def _groups(row: report.Group, name: str, manager: str) -> None:
    found = host.inspect(name)
    place = host.process_cgroup(found["State"]["Pid"])
    parent = f"/system.slice/pouch-{found['Id']}.scope" if manager == "systemd" else f"/pouch/{found['Id']}"
    row.check("PID 1 sits below its cgroup", place.startswith(parent + "/") and place.endswith("/init.scope"), place)
    for file, expected in (("memory.max", str(600 * MIB)), ("pids.max", "400"), ("cpu.max", "150000 100000")):
        row.check(f"{file} is {expected}", expected in host.limit(place, file), host.limit(place, file))
    for file in ("memory.max", "pids.max", "cpu.max"):
        code, _, complaint = host.run("pouch", "exec", name, "sh", "-c", f"echo max > /sys/fs/cgroup/{file}")
        row.check(f"its root cannot lift {file}", code != 0, complaint)
    for file, expected in (("memory.max", str(600 * MIB)), ("pids.max", "400")):
        row.check(f"{file} holds still", expected in host.limit(place, file), host.limit(place, file))


def _exec(row: report.Group, name: str) -> None:
    init = host.process_cgroup(host.inspect(name)["State"]["Pid"])
    row.equal("exec's exit code", host.run("pouch", "exec", name, "sh", "-c", "exit 5")[0], 5)
    host.pouch("exec", "-d", name, "sleep", "9002")
    there = report.until(lambda: host.pids_of("sleep 9002"), seconds=20) or []
    places = [host.process_cgroup(pid) for pid in there]
    row.check("exec lands in init's cgroup", places and set(places) == {init}, places)
    code, said, complaint = host.run("script", "-qec", f"pouch exec -it {name} sh -c 'tty; exit 6'", "/dev/null")
    row.check("exec with a terminal", code == 6 and "/dev/pts/" in said, (code, said, complaint))
    code, said, complaint = host.run("pouch", "exec", name, "systemd-run", "--wait", "-q", "true")
    row.check("systemd-run", code == 0, (code, said, complaint))


def _categories(row: report.Group, name: str) -> None:
    tree = json.loads(host.pouch("top", "--tree", "--format", "json", name))
    shown = [(one["Category"], one["Unit"], one["Command"][:40]) for one in tree]
    row.equal("PID 1 is init", [one["Category"] for one in tree if one["Pid"] == 1], ["init"])
    apps = [one for one in tree if one["Category"] == "app"]
    row.check("the app is app", apps and all(one["Unit"] == "pouch-app.service" for one in apps), shown)
    row.check("the app is nothing else", any("/srv/finish" in one["Command"] for one in apps), shown)
    services = {one["Unit"] for one in tree if one["Category"] == "service"}
    missing = [one for one in SERVICES if f"{one}.service" not in services]
    row.equal("services are services", missing, [])
    row.equal("exec is exec", [one["Category"] for one in tree if one["Command"] == "sleep 9002"], ["exec"])
    row.check("top", "systemd" in host.pouch("top", name), host.pouch("top", name))


def _hold(row: report.Group, name: str) -> None:
    code, _, complaint = host.run("pouch", "exec", name, "dd", "if=/dev/zero", "of=/dev/null", "bs=900M", "count=1")
    row.check("the machine's memory limit holds for exec", code == 137 or "exhausted" in complaint, (code, complaint))
    row.equal("and the machine goes on", host.inspect(name)["State"]["Status"], "running")
    host.pouch("pause", name)
    code, _, complaint = host.run("pouch", "exec", name, "true")
    row.check("exec in a paused one is refused", code != 0 and "paused" in complaint, (code, complaint))
    host.pouch("unpause", name)
    row.equal("unpaused, it answers", host.run("pouch", "exec", name, "true")[0], 0)


def _again(row: report.Group, name: str) -> None:
    machine_id = host.pouch("exec", name, "cat", "/etc/machine-id")
    before = host.inspect(name)["State"]["Pid"]
    began = time.monotonic()
    host.pouch("restart", name)
    row.equal("restarted, it boots", booted(name), "running")
    report.note(f"restart: {time.monotonic() - began:.0f} s")
    row.check("as another process", host.inspect(name)["State"]["Pid"] not in (0, before), before)
    row.equal("with the same machine-id", host.pouch("exec", name, "cat", "/etc/machine-id"), machine_id)


def _ends(row: report.Group, name: str) -> None:
    host.pouch("exec", name, "touch", "/srv/finish")
    row.equal("the app's exit code is the machine's", host.pouch("wait", name), "7")
    row.equal("its last words", host.pouch("logs", "--tail", "1", name), "done")
    host.pouch("rm", name)


def stopping(manager: str, runtime: str, image: str) -> None:
    """`pouch stop` of a booted machine, and of one without a user namespace."""
    with report.group(f"rich stop, {manager}, {runtime}, {image}") as row:
        boot("one", image, runtime, app="trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.2; done")
        began = time.monotonic()
        host.pouch("stop", "-t", "60", "one")
        took = time.monotonic() - began
        state = host.inspect("one")["State"]
        row.check("stop is orderly", took < 60 and state["ExitCode"] == 3, (round(took, 1), state))
        report.note(f"stop: {took:.1f} s")
        row.check("the app heard SIGTERM", "bye" in host.pouch("logs", "one"), host.pouch("logs", "one"))
        boot("two", image, runtime, "--userns", "host", "-m", "600m", app="sleep 9003")
        row.equal("without a user namespace it boots", host.inspect("two")["State"]["Boot"], "running")
        code, _, complaint = host.run("pouch", "exec", "two", "sh", "-c", "echo max > /sys/fs/cgroup/memory.max")
        row.check("and cannot lift its limit", code != 0, complaint)
        place = host.process_cgroup(host.inspect("two")["State"]["Pid"])
        row.check(
            "its limit holds still", str(600 * MIB) in host.limit(place, "memory.max"), host.limit(place, "memory.max")
        )
        host.run("pouch", "exec", "-d", "two", "systemctl", "poweroff")
        code = host.pouch("wait", "two")
        row.equal("a poweroff inside is a clean stop", code, "0")
        host.pouch("rm", "-f", "one", "two")
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)
