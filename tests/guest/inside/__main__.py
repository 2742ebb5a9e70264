"""What is run in the guest: `python3 -m inside [ROW...]`, without rows all; `--again` after the row poweroff and the next boot."""

from __future__ import annotations

import sys

from inside import host, install, machines, plain, report, shutdown, survival

BOOKWORM, TRIXIE = "debian:bookworm", "debian:trixie"
ROWS = {
    "plain-systemd-crun": lambda: plain.all_of("systemd", "crun"),
    "plain-systemd-runc": lambda: plain.all_of("systemd", "runc"),
    "bookworm-systemd-crun": lambda: machines.all_of("systemd", "crun", BOOKWORM),
    "trixie-systemd-crun": lambda: machines.all_of("systemd", "crun", TRIXIE),
    "bookworm-systemd-runc": lambda: machines.all_of("systemd", "runc", BOOKWORM),
    "stop-systemd-crun": lambda: machines.stopping("systemd", "crun", BOOKWORM),
    "survival-systemd": lambda: survival.all_of("systemd"),
    "change-of-manager": survival.change_of_manager,
    "plain-cgroupfs-crun": lambda: plain.all_of("cgroupfs", "crun"),
    "plain-cgroupfs-runc": lambda: plain.all_of("cgroupfs", "runc"),
    "bookworm-cgroupfs-crun": lambda: machines.all_of("cgroupfs", "crun", BOOKWORM),
    "trixie-cgroupfs-crun": lambda: machines.all_of("cgroupfs", "crun", TRIXIE),
    "bookworm-cgroupfs-runc": lambda: machines.all_of("cgroupfs", "runc", BOOKWORM),
    "stop-cgroupfs-crun": lambda: machines.stopping("cgroupfs", "crun", TRIXIE),
    "survival-cgroupfs": lambda: survival.all_of("cgroupfs"),
    "poweroff": shutdown.prepare,
}
"""In the order in which they run: the daemon changes its cgroup manager as seldom as can be."""


def main(chosen: list[str]) -> int:
    """Run the rows; 0 whatever they find: the results are read on the console."""
    if chosen == ["--again"]:
        shutdown.came_back()
        _tell_journal()
        return 0
    install.the_guest()
    install.from_source()
    install.the_service()
    install.the_doctor()
    install.images()
    manager = "systemd"
    for name, row in ROWS.items():
        if chosen and name not in chosen:
            continue
        wanted = "cgroupfs" if "cgroupfs" in name else "systemd"
        if wanted != manager:
            with report.group(f"cgroup-manager = {wanted}") as group:
                install.use("cgroupfs" if wanted == "cgroupfs" else "auto")
                info = host.pouch("info", "--format", "{{.CgroupDriver}}")
                group.equal("driver", info, wanted)
            manager = wanted
        row()
    _tell_journal()
    return 0


def _tell_journal() -> None:
    words = ("-u", "pouchd", "-b", "--no-pager", "-o", "short-monotonic", "-n", "300")
    for line in host.run("journalctl", *words)[1].splitlines():
        print("journal:", line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
