"""Debian packages that the peers come from, installed only when a program is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from bench.peers import Peer

ALWAYS = {"mmdebstrap": "mmdebstrap", "ip": "iproute2", "mount": "mount", "tar": "tar", "iperf3": "iperf3"}
_FILES = {"/bin/busybox": "busybox-static"}


def missing(peers: Sequence[Peer]) -> list[str]:
    """Packages whose programs are not there."""
    found = [package for program, package in ALWAYS.items() if shutil.which(program) is None]
    found += [package for path, package in _FILES.items() if not os.path.exists(path)]
    for peer in peers:
        if any(shutil.which(program) is None for program in peer.programs):
            found += peer.packages
    return list(dict.fromkeys(found))


def install(names: Sequence[str], say: Callable[[str], None]) -> str:
    """Install them; "" or why it did not work. The benchmark goes on without what is missing."""
    if not names:
        return ""
    if shutil.which("apt-get") is None:
        return f"this is no Debian: install {' '.join(names)} by hand"
    say(f"installing {' '.join(names)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        subprocess.run(["apt-get", "update"], env=environment, capture_output=True, check=False)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"apt-get install: {done.stderr.strip()[-500:]}"
