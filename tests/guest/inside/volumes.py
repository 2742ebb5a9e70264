"""Volumes with a size, on a file system with project quotas: the limit holds for its volume and no other, and goes with it."""

from __future__ import annotations

import os

from inside import host, report

PLACE = f"{host.ROOT}/volumes"
MIB = 1 << 20
TOO_MUCH = ("dd", "if=/dev/zero", "of=/data/file", "bs=64k", f"count={16 * MIB // 65536}")
SIZE = "df -k /data | tail -n 1 | awk '{print $2}'"


def all_of() -> None:
    """Every check. The volumes are moved to a file system of their own for it, and back."""
    image = "/var/tmp/quota.img"
    with report.group("volumes with a size") as row:
        code, _, complaint = host.run("pouch", "volume", "create", "-o", "size=8m", "none")
        row.check("without quotas it is refused", code == 1 and "no quota support" in complaint, complaint)
        row.check("and says where it is", PLACE in complaint and "hint:" in complaint, complaint)
        with open(image, "wb") as file:
            file.truncate(256 * MIB)
        host.out("mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota", image)
        host.out("mount", "-o", "loop,prjquota", image, PLACE)
        try:
            for userns in ("host", "private"):
                _held(row, userns)
            _freed(row)
        finally:
            host.out("umount", PLACE)
            os.unlink(image)
        host.out("systemctl", "restart", "pouchd")
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def _held(row: report.Group, userns: str) -> None:
    host.pouch("volume", "create", "-o", "size=8m", "small")
    host.pouch("volume", "create", "large")
    run = ("run", "--rm", "--userns", userns)
    code, _, complaint = host.run("pouch", *run, "-v", "small:/data", "busybox", *TOO_MUCH)
    row.check(f"userns {userns}: more does not fit", code == 1 and "quota exceeded" in complaint, f"{code} {complaint}")
    held = os.stat(f"{PLACE}/small/_data/file").st_size
    row.check(f"userns {userns}: what fits is there", 7 * MIB < held <= 8 * MIB, held)
    row.equal(
        f"userns {userns}: df shows the limit",
        host.pouch(*run, "-v", "small:/data", "busybox", "sh", "-c", SIZE),
        str(8 * MIB // 1024),
    )
    code, _, complaint = host.run("pouch", *run, "-v", "large:/data", "busybox", *TOO_MUCH)
    row.equal(
        f"userns {userns}: another volume has no limit",
        (code, os.stat(f"{PLACE}/large/_data/file").st_size),
        (0, 16 * MIB),
    )
    host.out("systemctl", "restart", "pouchd")
    again = (*TOO_MUCH[:2], "of=/data/more", *TOO_MUCH[3:])
    code, _, complaint = host.run("pouch", *run, "-v", "small:/data", "busybox", *again)
    taken = sum(entry.stat().st_size for entry in os.scandir(f"{PLACE}/small/_data"))
    row.check(f"userns {userns}: the limit holds after a restart", code == 1 and taken <= 8 * MIB, f"{code} {taken}")
    host.pouch("volume", "rm", "small", "large")
    row.equal(f"userns {userns}: removed, they are gone", sorted(os.listdir(PLACE)), ["lost+found"])


def _freed(row: report.Group) -> None:
    """Numbers of removed volumes can be used again."""
    for number in range(3):
        host.pouch("volume", "create", "-o", f"size={number + 1}m", f"again{number}")
    sizes = [
        host.pouch("run", "--rm", "-v", f"again{number}:/data", "busybox", "sh", "-c", SIZE) for number in range(3)
    ]
    row.equal("each has its own limit", sizes, ["1024", "2048", "3072"])
    host.pouch("volume", "rm", "again0", "again1", "again2")
    host.pouch("volume", "create", "-o", "size=9m", "last")
    said = host.pouch("run", "--rm", "-v", "last:/data", "busybox", "sh", "-c", SIZE)
    row.equal("a new one has none of theirs", said, "9216")
    host.pouch("volume", "rm", "last")
