"""Boot the guest, run the checks in it, print the summary. See scripts/test-guest."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TextIO

from guest import console, disk, payload

MEMORY_MIB = 3072
SECONDS = 4 * 3600
"""For one boot of the guest; emulation is slow."""
BOOTS = 40
"""The guest wants no more than these."""
WORDS = (
    "root=/dev/vda",
    "rw",
    "console=ttyS0",
    "quiet",
    "loglevel=3",
    "panic=3",
    "systemd.show_status=0",
    "systemd.mask=serial-getty@ttyS0.service",
)
"""The kernel's command line: the console is the results' alone."""
OFF_SECONDS = 60.0
"""A host that is switched off with a machine running must be off by then. systemd would wait 90 s for a scope that does not end."""


def main() -> int:
    """0 when every check holds."""
    options = argparse.ArgumentParser(prog="scripts/test-guest", description=__doc__)
    options.add_argument("rows", nargs="*", metavar="ROW", help="only these of tests/guest/inside/__main__.py")
    options.add_argument("--log", default=f"{disk.CACHE}/guest/console.log", help="where the whole console goes")
    options.add_argument("--accel", default="tcg,thread=multi", help="qemu's -accel")
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the guest goes too
    began = time.monotonic()
    found = disk.ensure()
    print(f"disk {os.path.dirname(found.image)}, console {chosen.log}", flush=True)
    results = console.Results()
    with tempfile.TemporaryDirectory(prefix="run-", dir=f"{disk.CACHE}/guest") as home:
        payload.make(f"{home}/payload.img", chosen.rows)
        _image("create", "-q", "-f", "qcow2", "-b", found.image, "-F", "raw", f"{home}/root.qcow2")
        with open(chosen.log, "w", encoding="utf-8") as log:
            _boots(_Host(found, home, chosen.accel, log), results)
    print(f"\n-- {time.monotonic() - began:.0f} s")
    for line in console.summary(results):
        print(line)
    return 0 if results.good else 1


@dataclass(frozen=True, slots=True)
class _Host:
    """What every boot needs. home: where the two disks are."""

    found: disk.Disk
    home: str
    accel: str
    log: TextIO


def _boots(host: _Host, results: console.Results) -> None:
    """Boot the guest as often as it wants to be."""
    again = ""
    for _ in range(BOOTS):
        off = _boot(host, results, *([f"guest.again={again}"] if again else []))
        again, results.again = results.again, ""
        if not again:
            return
        if results.cut:
            print("   power cut; once more", flush=True)
            results.cut = False
        else:
            results.check(f"poweroff: the host is off within {OFF_SECONDS:.0f} s", off < OFF_SECONDS, f"{off:.0f} s")
            results.check("poweroff: the payload came to its end", results.ended == "0", results.ended)
            print(f"   switched off in {off:.0f} s; once more", flush=True)
        results.ended = ""
    results.check(f"no more than {BOOTS} boots", False, again)


def _boot(host: _Host, results: console.Results, *more: str) -> float:
    """Run the guest to its end; the seconds between the last line and that. more: for the kernel's command line.

    The disks' caches are written back: what the guest has not flushed may be lost when its power is cut, which is that qemu is killed.
    """
    # it must not outlive this program, however that ends
    argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", host.accel, "-cpu", "max"]
    argv += ["-machine", "q35", "-m", str(MEMORY_MIB), "-smp", "2", "-nodefaults", "-no-reboot"]
    argv += ["-display", "none", "-serial", "stdio"]
    argv += ["-drive", f"file={host.home}/root.qcow2,if=virtio,format=qcow2,cache=writeback"]
    argv += ["-drive", f"file={host.home}/payload.img,if=virtio,format=raw,cache=writeback"]
    argv += ["-device", "virtio-rng-pci", "-nic", "none", "-kernel", host.found.kernel, "-initrd", host.found.initrd]
    argv += ["-append", " ".join((*WORDS, *more))]
    last = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace") as guest:
        assert guest.stdout is not None
        limit = threading.Timer(SECONDS, guest.kill)
        limit.start()
        try:
            for line in guest.stdout:
                shown = list(console.read([line], results))
                if results.cut:
                    guest.kill()
                host.log.write(line)
                host.log.flush()
                for each in shown:
                    print(each, flush=True)
                    last = time.monotonic()
        finally:
            off = time.monotonic() - last
            limit.cancel()
            guest.kill()  # of one that has ended nothing is left to end
    return off


def _image(*words: str) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
