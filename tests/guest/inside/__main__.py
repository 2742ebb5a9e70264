"""What is run in the guest: `python3 -m inside [ROW...]`, without rows all. The kernel's command line says what comes after another boot."""

from __future__ import annotations

import argparse
import sys

from inside import (
    clients,
    cuts,
    host,
    install,
    listening,
    machines,
    networks,
    pictures,
    plain,
    report,
    shutdown,
    survival,
    usage,
    volumes,
)

BOOKWORM, TRIXIE = "debian:bookworm", "debian:trixie"
PICTURES, VOLUMES, NETWORKS, POWEROFF, CUTS = "pictures", "volumes", "networks", "poweroff", "power-cuts"
LIFE, LISTENING, CLIENTS = "life", "listening", "clients-systemd"
WITHOUT_MACHINES = ("plain-", "usage-", LIFE, LISTENING, PICTURES, VOLUMES, NETWORKS, "change-", CUTS)
"""How rows begin that need no image with an init."""
ROWS = {
    PICTURES: lambda: None,
    VOLUMES: volumes.all_of,
    NETWORKS: networks.all_of,
    LIFE: clients.life,
    LISTENING: listening.all_of,
    "plain-systemd-crun": lambda: plain.all_of("systemd", "crun"),
    "plain-systemd-runc": lambda: plain.all_of("systemd", "runc"),
    "usage-systemd-crun": lambda: usage.all_of("systemd", "crun"),
    "usage-systemd-runc": lambda: usage.all_of("systemd", "runc"),
    CLIENTS: clients.machine,
    "bookworm-systemd-crun": lambda: machines.all_of("systemd", "crun", BOOKWORM),
    "trixie-systemd-crun": lambda: machines.all_of("systemd", "crun", TRIXIE),
    "bookworm-systemd-runc": lambda: machines.all_of("systemd", "runc", BOOKWORM),
    "stop-systemd-crun": lambda: machines.stopping("systemd", "crun", BOOKWORM),
    "survival-systemd": lambda: survival.all_of("systemd"),
    "change-of-manager": survival.change_of_manager,
    "plain-cgroupfs-crun": lambda: plain.all_of("cgroupfs", "crun"),
    "plain-cgroupfs-runc": lambda: plain.all_of("cgroupfs", "runc"),
    "usage-cgroupfs-crun": lambda: usage.all_of("cgroupfs", "crun"),
    "usage-cgroupfs-runc": lambda: usage.all_of("cgroupfs", "runc"),
    "bookworm-cgroupfs-crun": lambda: machines.all_of("cgroupfs", "crun", BOOKWORM),
    "trixie-cgroupfs-crun": lambda: machines.all_of("cgroupfs", "crun", TRIXIE),
    "bookworm-cgroupfs-runc": lambda: machines.all_of("cgroupfs", "runc", BOOKWORM),
    "stop-cgroupfs-crun": lambda: machines.stopping("cgroupfs", "crun", TRIXIE),
    "survival-cgroupfs": lambda: survival.all_of("cgroupfs"),
    POWEROFF: lambda: None,
    CUTS: lambda: None,
}
"""In the order in which they run: the daemon changes its cgroup manager as seldom as can be.

The first comes before the large images are there (`_first`), the last two need more boots (`main`)."""
API = tuple(name for name in ROWS if name.startswith(("usage-", LIFE, LISTENING, CLIENTS)))
"""What the word `api` stands for."""


def main() -> int:
    """Run the rows; 0 whatever they find: the results are read on the console."""
    words = argparse.ArgumentParser()
    words.add_argument("rows", nargs="*", choices=[[], "api", *ROWS])
    named = words.parse_args().rows
    chosen = [name for name in ROWS if not named or name in named or ("api" in named and name in API)]
    again = host.read("/proc/cmdline").partition(" guest.again=")[2]
    if not again:
        _first(chosen)
    if again == shutdown.AGAIN:
        shutdown.came_back()
    elif POWEROFF in chosen and not again:
        shutdown.prepare()
        chosen = []  # the rest comes after the next boot
    if CUTS in chosen:
        cuts.go_on()
    _tell_journal()
    return 0


def _first(chosen: list[str]) -> None:
    install.the_guest()
    install.from_source()
    install.the_service()
    install.the_doctor()
    install.images(machines=False)
    if PICTURES in chosen:
        pictures.all_of()
    if not all(name.startswith(WITHOUT_MACHINES) for name in chosen):
        install.images(machines=True)
    manager = "systemd"
    for name, row in ROWS.items():
        if name not in chosen:
            continue
        wanted = "cgroupfs" if "cgroupfs" in name else "systemd"
        if wanted != manager:
            with report.group(f"cgroup-manager = {wanted}") as group:
                install.use("cgroupfs" if wanted == "cgroupfs" else "auto")
                info = host.pouch("info", "--format", "{{.CgroupDriver}}")
                group.equal("driver", info, wanted)
            manager = wanted
        row()


def _tell_journal() -> None:
    words = ("-u", "pouchd", "-b", "--no-pager", "-o", "short-monotonic", "-n", "300")
    for line in host.run("journalctl", *words)[1].splitlines():
        print("journal:", line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
