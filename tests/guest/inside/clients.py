"""Docker's command line and ours with machines and plain containers: beginnings, files, environment, trees, upgrades, health, events."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time

from inside import host, install, machines, report

MIB = 1 << 20
DOCKER = f"{install.PAYLOAD}/bin/docker"
APP = "echo up; while :; do sleep 1; done"
FILES = 300


def docker(*words: str) -> str:
    """stdout of Docker's command line, which has to succeed."""
    return host.out(DOCKER, "-H", f"unix://{host.RUN}/pouchd.sock", *words)


def machine() -> None:
    """A machine begun by Docker's command line, through all that the API has for it."""
    with report.group("clients of a machine") as row:
        if not os.path.exists(DOCKER):
            report.note("no docker on the host that made the payload: nothing is checked")
            return
        began = time.monotonic()
        _begun(row)
        report.note(f"boot by docker: {time.monotonic() - began:.0f} s")
        _counted(row)
        _copied(row)
        _environment(row)
        _limited(row)
        _trees(row)
        _upgraded(row)
        docker("rm", "-f", "-v", "web")
        host.run("pouch", "rmi", "-f", "shop:2")
        host.run("pouch", "volume", "prune", "-af")
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def _begun(row: report.Group) -> None:
    check = ("--health-cmd", "systemctl is-active ssh", "--health-interval", "2s", "--health-retries", "2")
    flags = ("-e", "SEASON=winter", "-v", "files:/files", "-m", "500m", "--label", "io.pouch.rich.app-exit=keep")
    docker(
        *("run", "-d", "--name", "web", "--annotation", "io.pouch.rich=systemd", *flags, *check),
        *("debian:bookworm", "sh", "-c", APP),
    )
    row.equal("an annotation makes it a machine", machines.booted("web"), "running")
    found = json.loads(docker("inspect", "web"))[0]
    row.equal("as docker inspects it", (found["RichMode"], found["State"]["Init"][:7]), ("systemd", "systemd"))
    row.equal("a label says what its app's end means", found["Config"]["AppExit"], "keep")
    pid = found["State"]["Pid"]
    row.check("in a user namespace", host.read(f"/proc/{pid}/uid_map").split()[1:2] not in ([], ["0"]))
    healthy = report.until(lambda: host.inspect("web")["State"]["Health"]["Status"] == "healthy", seconds=60)
    row.check("it becomes healthy", healthy, host.inspect("web")["State"]["Health"])
    row.check("docker ps says so", docker("ps", "--format", "{{.Status}}").endswith("(healthy)"), docker("ps"))
    told = docker(
        "events",
        "--since",
        "1",
        "--until",
        f"{time.time():.3f}",
        "--filter",
        "container=web",
        "--format",
        "{{.Action}}",
    )
    lines = told.splitlines()
    row.check("events", {"create", "start", "health_status: healthy"} <= set(lines), lines)
    docker("exec", "web", "systemctl", "stop", "ssh")
    sick = report.until(lambda: host.inspect("web")["State"]["Health"]["Status"] == "unhealthy", seconds=60)
    row.check("a service that is stopped makes it unhealthy", sick, host.inspect("web")["State"]["Health"])
    docker("exec", "web", "systemctl", "start", "ssh")


def _counted(row: report.Group) -> None:
    group = host.own_group("web")
    address = host.inspect("web")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    with socket.create_connection((address, 22), timeout=host.PATIENCE) as ssh:
        row.check("its ssh answers", ssh.recv(64).startswith(b"SSH-2.0-"))
    _, found = host.api("GET", "/v1.47/containers/web/stats?stream=false&one-shot=true")
    inside = len([line for line in host.pouch("top", "web").splitlines()[1:] if line])
    row.check(
        "stats count the whole machine's tasks",
        found["pids_stats"]["current"] >= inside > 8,
        (found["pids_stats"], inside),
    )
    used, current = found["memory_stats"]["usage"], int(host.read(f"{group}/memory.current"))
    row.check("and its memory", used > 8 * MIB and abs(used - current) < 0.2 * current, (used, current))
    row.equal("and its limit", found["memory_stats"]["limit"], int(host.read(f"{group}/memory.max")))
    row.check("and its traffic", found["networks"]["eth0"]["rx_bytes"] > 0, found.get("networks"))
    total = host.numbers(f"{group}/cpu.stat")["usage_usec"] * 1000
    used = found["cpu_stats"]["cpu_usage"]["total_usage"]
    row.check("and its time", 0.5 * total < used <= total, (used, total))
    shown = docker("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}")
    row.check("docker stats", shown.startswith("web ") and shown.endswith("/ 500MiB"), shown)


def _copied(row: report.Group) -> None:
    home = tempfile.mkdtemp(prefix="copy-")
    try:
        for number in range(FILES):
            place = f"{home}/tree/{number % 7}"
            os.makedirs(place, exist_ok=True)
            with open(f"{place}/{number}", "wb") as file:
                file.write(os.urandom(number * 100))
            os.chown(f"{place}/{number}", 1000 + number, 2000)
        os.symlink("/etc/passwd", f"{home}/tree/link")
        for name, program in (("docker", docker), ("pouch", host.pouch)):
            program("cp", f"{home}/tree", f"web:/srv/{name}")
            owner = docker("exec", "web", "stat", "-c", "%u:%g %s", f"/srv/{name}/1/1")
            row.equal(f"{name} cp in: owners are the machine's", owner, "1001:2000 100")
            program("cp", f"web:/srv/{name}", f"{home}/{name}")
            code, said, _ = host.run("diff", "-r", "--no-dereference", f"{home}/tree", f"{home}/{name}")
            row.check(f"{name} cp out: all is as it was", code == 0, said)
        docker("exec", "web", "sh", "-c", "ln -s /etc /srv/etc; ln -s ../../../../../../etc /srv/up")
        for link in ("etc", "up"):
            host.pouch("cp", f"{home}/tree/1/1", f"web:/srv/{link}/copied-{link}")
            inside = docker("exec", "web", "stat", "-c", "%s", f"/etc/copied-{link}")
            row.equal(
                f"a link {link} is followed inside", (inside, os.path.exists(f"/etc/copied-{link}")), ("100", False)
            )
        docker("cp", f"{home}/tree/1/1", "web:/files/kept")
        row.equal("into a volume", docker("exec", "web", "stat", "-c", "%s", "/files/kept"), "100")
        docker("exec", "web", "sh", "-c", "echo there > /run/here")
        docker("cp", "web:/run/here", f"{home}/here")
        row.equal("out of a tmpfs of the machine", host.read(f"{home}/here"), "there")
    finally:
        shutil.rmtree(home)


def _season() -> dict[str, str]:
    """What SEASON is for a command, for a login, and for what pam_env tells."""
    login = docker("exec", "web", "su", "-", "root", "-c", "echo $SEASON")
    environment = dict(
        line.split("=", 1) for line in docker("exec", "web", "cat", "/etc/environment").splitlines() if "=" in line
    )
    return {
        "exec": docker("exec", "web", "sh", "-c", "echo $SEASON"),
        "login": login,
        "pam": environment.get("SEASON", "").strip("\"'"),
    }


def _environment(row: report.Group) -> None:
    row.equal("environment", _season(), dict.fromkeys(("exec", "login", "pam"), "winter"))
    host.pouch("update", "--env", "SEASON=spring", "web")
    row.equal("after update --env", _season(), dict.fromkeys(("exec", "login", "pam"), "spring"))
    host.out("systemctl", "restart", "pouchd")
    row.equal("after a restart of the daemon", _season(), dict.fromkeys(("exec", "login", "pam"), "spring"))


def _limited(row: report.Group) -> None:
    docker("update", "-m", "600m", "--memory-swap", "900m", "--pids-limit", "300", "--cpus", "1.5", "web")
    files, expected = ("memory.max", "pids.max", "cpu.max"), [str(600 * MIB), "300", "150000 100000"]
    group = host.own_group("web")
    row.equal("docker update", [host.read(f"{group}/{name}") for name in files], expected)
    host.out("systemctl", "daemon-reload")
    row.equal("after daemon-reload", [host.read(f"{group}/{name}") for name in files], expected)
    docker("exec", "web", "systemctl", "daemon-reload")
    row.equal("and one inside", [host.read(f"{group}/{name}") for name in files], expected)
    code, _, complaint = host.run("pouch", "exec", "web", "sh", "-c", "echo max > /sys/fs/cgroup/memory.max")
    row.check("its root cannot lift it", code != 0, complaint)


def _trees(row: report.Group) -> None:
    text = host.pouch("top", "--tree", "web")
    for name in ("pouch-app.service", "systemd-journald.service", "ssh.service", "cron.service"):
        row.check(f"top --tree names {name}", text.count(f"[{name}]") == 1, text)
    row.check("ps --tree too", "[pouch-app.service]" in host.pouch("ps", "--tree"))
    shown = docker("top", "web", "-o", "pid,args").splitlines()
    row.check("docker top", any("/lib/systemd/systemd-journald" in line for line in shown), shown)


def _upgraded(row: report.Group) -> None:
    docker("create", "--name", "draft", "debian:bookworm", "true")
    docker("commit", "--change", "ENV RELEASE=2", "--change", "LABEL shop=2", "draft", "shop:2")
    docker("rm", "draft")
    docker("exec", "web", "touch", "/srv/changed")
    before = host.inspect("web")
    machine_id = docker("exec", "web", "cat", "/etc/machine-id")
    code, _, complaint = host.run("pouch", "upgrade", "-t", "30", "busybox", "web")
    row.check("an image without an init is no upgrade", code == 1 and "it is as before" in complaint, (code, complaint))
    row.equal("the machine boots again", machines.booted("web"), "running")
    row.equal("with its changes", host.run("pouch", "exec", "web", "test", "-e", "/srv/changed")[0], 0)
    row.equal("on its image", host.inspect("web")["Config"]["Image"], "debian:bookworm")
    began = time.monotonic()
    code, said, complaint = host.run("pouch", "upgrade", "--ready-timeout", "300", "-t", "30", "shop:2", "web")
    row.equal("upgrade", (code, said.strip()), (0, "web"))
    report.note(f"upgrade with a wait for readiness: {time.monotonic() - began:.0f} s {complaint}")
    after = host.inspect("web")
    row.equal("it has booted", after["State"]["Boot"], "running")
    row.equal("and is healthy", after["State"]["Health"]["Status"], "healthy")
    row.equal("same id", after["Id"], before["Id"])
    address = [one["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] for one in (before, after)]
    row.equal("same address", address[1], address[0])
    row.equal("same machine-id", docker("exec", "web", "cat", "/etc/machine-id"), machine_id)
    row.equal("its changes are gone", host.run("pouch", "exec", "web", "test", "-e", "/srv/changed")[0], 1)
    row.equal("its volume is not", docker("exec", "web", "stat", "-c", "%s", "/files/kept"), "100")
    row.equal("the new image's environment", docker("exec", "web", "sh", "-c", "echo $RELEASE $SEASON"), "2 spring")
    group = host.own_group("web")
    row.equal("limits of the update", host.read(f"{group}/memory.max"), str(600 * MIB))
    told = docker(
        "events",
        "--since",
        "1",
        "--until",
        f"{time.time():.3f}",
        "--filter",
        "event=upgrade",
        "--format",
        "{{.Actor.ID}}",
    )
    row.equal("an event", told, after["Id"])
    code, _, complaint = host.run("pouch", "upgrade", "--ready-timeout", "300", "-t", "30", "debian:bookworm", "web")
    row.equal("the way back", (code, host.inspect("web")["Config"]["Image"]), (0, "debian:bookworm"))
    row.equal("without the other's environment", docker("exec", "web", "sh", "-c", "echo $RELEASE"), "")


def life() -> None:
    """Health, restart policies and events of plain containers, under systemd."""
    with report.group("clients of plain containers") as row:
        _health(row)
        _policies(row)
        _events(row)
        host.run("pouch", "rm", "-fv", *host.pouch("ps", "-aq").split())
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def _status(name: str) -> str:
    return str(host.inspect(name)["State"]["Health"]["Status"])


def _health(row: report.Group) -> None:
    check = (
        "--health-cmd",
        "cat /ok",
        "--health-interval",
        "1s",
        "--health-retries",
        "2",
        "--health-start-period",
        "8s",
    )
    host.pouch("run", "-d", "--name", "well", *check, "busybox", "sleep", "9000")
    row.equal("at first it is starting", _status("well"), "starting")
    host.pouch("exec", "well", "sh", "-c", "echo fine > /ok")
    row.check("healthy", report.until(lambda: _status("well") == "healthy", seconds=60), _status("well"))
    host.out("systemctl", "restart", "pouchd")
    row.equal("the daemon's restart changes nothing", _status("well"), "healthy")
    host.pouch("exec", "well", "rm", "/ok")
    row.check("unhealthy", report.until(lambda: _status("well") == "unhealthy", seconds=60), _status("well"))
    host.pouch("pause", "well")
    host.pouch("unpause", "well")
    host.pouch("exec", "well", "sh", "-c", "echo fine > /ok")
    row.check("and healthy again", report.until(lambda: _status("well") == "healthy", seconds=60), _status("well"))
    place = host.own_group("well")
    own = report.until(lambda: host.read(f"{place}/pids.current") == "1", seconds=30)
    row.check("probes leave no process", own, host.read(f"{place}/cgroup.procs"))


def _policies(row: report.Group) -> None:
    """What runs after the daemon has been stopped and started, and what does not."""
    names = ("no", "on-failure:3", "unless-stopped", "always")
    for policy in names:
        name = policy.partition(":")[0]
        host.pouch("run", "-d", "--name", name, "--restart", policy, "busybox", "sleep", "9000")
    for name in ("no", "on-failure", "unless-stopped", "always"):
        pid = host.inspect(name)["State"]["Pid"]
        os.kill(pid, 9)
        if name == "no":
            ended = report.until(lambda: host.inspect("no")["State"]["Status"] == "exited", seconds=60)
            row.check("no policy: it stays away", ended, host.inspect(name)["State"])
        else:
            back = report.until(lambda n=name, p=pid: host.inspect(n)["State"]["Pid"] not in (0, p), seconds=60)
            row.check(f"{name}: it is back", back, host.inspect(name)["State"])
    host.pouch("stop", "-t", "0", "unless-stopped", "always", "on-failure")
    host.out("systemctl", "restart", "pouchd")
    report.until(lambda: host.inspect("always")["State"]["Running"], seconds=60)
    found = {name: host.inspect(name)["State"]["Running"] for name in ("on-failure", "unless-stopped", "always")}
    row.equal(
        "stopped by hand, over a restart of the daemon",
        found,
        {"on-failure": False, "unless-stopped": False, "always": True},
    )
    host.pouch("run", "-d", "--name", "crash", "--restart", "on-failure:3", "busybox", "sh", "-c", "exit 5")
    over = report.until(
        lambda: host.inspect("crash")["RestartCount"] == 3 and host.inspect("crash")["State"]["Status"] == "exited",
        seconds=90,
    )
    row.check("on-failure:3 ends after three more", over, host.inspect("crash")["State"])


def _events(row: report.Group) -> None:
    since = f"{time.time():.9f}"
    host.pouch("run", "-d", "--name", "told", "--label", "a=b", "-m", "32m", "busybox", "sleep", "9000")
    host.pouch("kill", "told")
    host.pouch("wait", "told")
    host.pouch("run", "--name", "eater", "-m", "32m", "--memory-swap", "32m", "busybox", "true")
    host.run(
        "pouch",
        "run",
        "--rm",
        "-m",
        "32m",
        "--memory-swap",
        "32m",
        "busybox",
        "dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=100M",
        "count=1",
    )
    host.pouch("rm", "told", "eater")
    text = host.pouch(
        "events", "--since", since, "--until", f"{time.time():.9f}", "--filter", "type=container", "--format", "json"
    )
    found = [json.loads(line) for line in text.splitlines()]
    mine = [one["Action"] for one in found if one["Actor"]["Attributes"].get("name") == "told"]
    row.equal("a life in events", mine, ["create", "start", "kill", "die", "destroy"])
    row.check(
        "the kernel's kill for want of memory is told",
        any(one["Action"] == "oom" for one in found),
        [one["Action"] for one in found],
    )
