"""The installation as a user of Debian has it, and the service that comes of it."""

from __future__ import annotations

import json
import os
import time

from inside import host, report

PAYLOAD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{PAYLOAD}/wheels", "HOME": "/root"}
IMAGES = {"busybox.tar": "busybox", "debian12.tar": "debian:bookworm", "debian13.tar": "debian:trixie"}
"""What the other rows need, by archive."""


def the_guest() -> None:
    """That this is the host which is meant."""
    with report.group("guest") as row:
        kind = host.out("stat", "-fc", "%T", host.CGROUP)
        row.equal("cgroup v2 alone", kind, "cgroup2fs")
        row.equal("PID 1 is systemd", host.read("/proc/1/comm"), "systemd")
        report.note(f"kernel {os.uname().release}, {host.out('systemctl', '--version').splitlines()[0]}")
        report.note(f"{host.out('crun', '--version').splitlines()[0]}, {host.out('runc', '--version').splitlines()[0]}")
        report.note(f"host is-system-running: {host.run('systemctl', 'is-system-running')[1].strip()}")


def from_source() -> None:
    """scripts/setup and scripts/install, without a network."""
    with report.group("install") as row:
        script = f"{PAYLOAD}/source/scripts"
        code, said, complaint = host.run(f"{script}/setup")
        row.check("scripts/setup has nothing to fetch", code == 0 and not said, (code, said, complaint))
        began = time.monotonic()
        code, said, complaint = host.run(f"{script}/install", env=OFFLINE, timeout=1800)
        row.check("scripts/install", code == 0, (code, said[-300:], complaint[-900:]))
        report.note(f"scripts/install took {time.monotonic() - began:.0f} s")
        code, said, complaint = host.run(f"{script}/install", env=OFFLINE)
        row.check("a second time has nothing to do", code == 0 and not said, (code, said, complaint))


def the_service() -> None:
    """pouchd under systemd."""
    with report.group("service") as row:
        row.equal("active", host.run("systemctl", "is-active", "pouchd")[1].strip(), "active")
        row.equal("starts at boot", host.run("systemctl", "is-enabled", "pouchd")[1].strip(), "enabled")
        row.equal("Type", host.unit("pouchd", "Type"), "notify")
        row.equal("KillMode", host.unit("pouchd", "KillMode"), "process")
        row.equal("MainPID is in the pid file", host.read(f"{host.RUN}/pouchd.pid"), host.unit("pouchd", "MainPID"))
        row.equal("cgroup", host.process_cgroup(int(host.unit("pouchd", "MainPID"))), "/system.slice/pouchd.service")
        info = json.loads(host.pouch("info", "--format", "json"))
        row.equal("cgroup driver", info["CgroupDriver"], "systemd")
        row.equal("cgroup version", info["CgroupVersion"], "2")


def the_doctor() -> None:
    """No error on a host that has all; each finding is noted."""
    with report.group("doctor") as row:
        code, said, _ = host.run("pouch", "doctor", "--format", "json")
        found = json.loads(said)
        for one in found:
            report.note(
                f"doctor: {one['Name']}: {one['Level']}: {one['Found']}"
                + (f" -> {one['Advice']}" if one.get("Advice") else "")
            )
        row.equal("exit code", code, 0)
        row.equal("errors", [one["Name"] for one in found if one["Level"] == "error"], [])


def images(*, machines: bool) -> None:
    """Load the archives of the payload: those that boot an init, or the others."""
    with report.group("images of machines" if machines else "images") as row:
        for archive, name in IMAGES.items():
            if machines is (name != "busybox"):
                began = time.monotonic()
                host.pouch("load", "-q", "-i", f"{PAYLOAD}/images/{archive}", timeout=1200)
                report.note(f"load {archive}: {time.monotonic() - began:.0f} s")
                row.check(f"{name} is there", host.run("pouch", "inspect", "--type", "image", name)[0] == 0)


def use(cgroup_manager: str) -> None:
    """Restart pouchd with this cgroup manager."""
    path = "/etc/pouch/pouchd.toml"
    kept = [line for line in host.read(path).splitlines() if not line.startswith("cgroup-manager")]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([f'cgroup-manager = "{cgroup_manager}"', *kept, ""]))
    host.out("systemctl", "restart", "pouchd")
