"""The host is switched off while a machine runs: it must be stopped in an orderly way, and not hold the host up."""

from __future__ import annotations

from inside import host, machines, report

WITNESS = "/var/lib/pouch-witness"
APP = f"trap 'echo heard >> {WITNESS}/app; sync; exit 0' TERM; echo up; while :; do sleep 0.2; done"


def prepare() -> None:
    """Leave a machine running; whoever booted the guest looks at the disk and the time afterwards."""
    with report.group("poweroff") as row:
        host.out("mkdir", "-p", WITNESS)
        machines.boot(
            "witness", "debian:bookworm", "crun", "-v", f"{WITNESS}:{WITNESS}", "--restart", "unless-stopped", app=APP
        )
        row.equal("a machine runs", host.inspect("witness")["State"]["Boot"], "running")
        report.say(witness=f"{WITNESS}/app")
