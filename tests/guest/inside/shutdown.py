"""The host is switched off while a machine runs, and on again: it is stopped in an orderly way, holds nothing up, and is there again."""

from __future__ import annotations

from inside import host, machines, report

WITNESS = "/var/lib/pouch-witness"
APP = f"trap 'echo heard >> {WITNESS}/app; exit 0' TERM; echo up; while :; do sleep 0.2; done"
AGAIN = "poweroff"
"""What the next boot is told."""
NAMES = ("witness", "bystander", "unwanted")


def prepare() -> None:
    """Leave containers behind; whoever booted the guest boots it again, and `came_back` looks."""
    with report.group("poweroff") as row:
        host.out("mkdir", "-p", WITNESS)
        keep = ("--restart", "unless-stopped")
        machines.boot("witness", "debian:bookworm", "crun", "-v", f"{WITNESS}:{WITNESS}", *keep, app=APP)
        host.pouch("run", "-d", "--name", "bystander", "busybox", "sleep", "9007")
        host.pouch("run", "-d", "--name", "unwanted", *keep, "busybox", "sleep", "9008")
        host.pouch("stop", "-t", "1", "unwanted")
        row.equal("a machine runs", host.inspect("witness")["State"]["Boot"], "running")
        with open(f"{WITNESS}/address", "w", encoding="ascii") as file:
            file.write(host.inspect("witness")["NetworkSettings"]["IPAddress"])
        report.say(again=AGAIN)


def came_back() -> None:
    """After the next boot."""
    with report.group("next boot") as row:
        row.equal("pouchd is active", host.run("systemctl", "is-active", "pouchd")[1].strip(), "active")
        row.equal("the app was told to end, once", host.read(f"{WITNESS}/app"), "heard")
        row.equal("the machine is there again", machines.booted("witness"), "running")
        states = {name: host.inspect(name)["State"] for name in NAMES}
        running = [name for name in NAMES if states[name]["Running"]]
        row.equal("what restart policies want runs, and nothing else", running, ["witness"])
        row.check("the others have ended", states["bystander"]["ExitCode"] == 137, states["bystander"])
        row.equal("its log goes on", host.pouch("logs", "witness").splitlines(), ["up", "up"])
        first = host.read(f"{WITNESS}/address")
        report.note(f"address before {first}, after {host.inspect('witness')['NetworkSettings']['IPAddress']}")
        row.equal("exec", host.run("pouch", "exec", "witness", "sh", "-c", "exit 4")[0], 4)
        host.pouch("rm", "-f", *NAMES)
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)
