"""The programs that pouchd runs, by running them: a file with the right name may be of another architecture."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess

from pouch.kernel.host.finding import Finding, Level, Place, Probe

_TIMEOUT = 3.0
_VERSION = re.compile(r"version:?\s+(\S+)")


def version(program: str) -> tuple[str, str]:
    """(version, "") or ("", why there is none)."""
    path = shutil.which(program)
    if path is None:
        return "", f"{program} is not installed"
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return "", f"{path} --version did not end within {_TIMEOUT:.0f} s"
    except OSError as error:
        return "", f"{path} cannot be run: {error.strerror}"
    match = _VERSION.search(done.stdout)
    if done.returncode != 0 or match is None:
        return (
            "",
            f"{path} --version failed: {(done.stderr or done.stdout).strip()[:200] or f'exit code {done.returncode}'}",
        )
    return match.group(1), ""


def look_at_runtimes(place: Place) -> Finding:
    """crun, and runc in its place."""
    (crun, no_crun), (runc, no_runc) = version(place.crun), version(place.runc)
    found = ", ".join(text for text in (f"crun {crun}" if crun else no_crun, f"runc {runc}" if runc else no_runc))
    if crun:
        return Finding("runtime", Level.OK, found)
    if runc:
        advice = 'install the package crun, or set runtime = "runc" in pouchd.toml'
        return Finding("runtime", Level.WARNING, found, advice)
    return Finding("runtime", Level.ERROR, found, "install the package crun")


def look_at_conmon(place: Place) -> Finding:
    """The monitor of each container."""
    conmon, why = version(place.conmon)
    if conmon:
        return Finding("conmon", Level.OK, f"conmon {conmon}")
    return Finding("conmon", Level.ERROR, why, "install the package conmon")


def look_at_bootstrap(_place: Place) -> Finding:
    """mmdebstrap, only looked up: starting its interpreter costs more than all other probes together."""
    path = shutil.which("mmdebstrap")
    if path:
        return Finding("bootstrap", Level.OK, f"{path} is there for `pouch image bootstrap debian:...`")
    found = "mmdebstrap is not installed: `pouch image bootstrap debian:...` does not work"
    return Finding("bootstrap", Level.NOTE, found, "install the package mmdebstrap")


def look_at_tools(place: Place) -> Finding:
    """Our own programs that run inside containers."""
    wanted = {"launcher": place.launch, "dumb-init": place.dumb_init}
    wrong = [f"{name} {path}: {why}" for name, path in wanted.items() if path and (why := _refusal(path))]
    if not wrong:
        found = ", ".join(path for path in wanted.values() if path) or "nothing to look at"
        return Finding("tools", Level.OK, found)
    return Finding(
        "tools", Level.ERROR, f"{'; '.join(wrong)}; rich containers cannot start", "install pouch again: make install"
    )


def _refusal(path: str) -> str:
    """Why this cannot be run in any container; "" where it can: an executable without a dynamic linker."""
    try:
        mode = os.stat(path).st_mode
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(mode) or not mode & 0o111:
        return "is no executable file"
    if not head.startswith(b"\x7fELF"):
        return "is no ELF program"
    return "is linked dynamically" if has_interpreter(head) else ""


def has_interpreter(head: bytes) -> bool:
    """Whether an ELF file's first bytes, with its program headers, name a dynamic linker (elf(5), PT_INTERP)."""
    wide, order = head[4] == 2, "little" if head[5] == 1 else "big"

    def number(offset: int, size: int) -> int:
        return int.from_bytes(head[offset : offset + size], order)  # type: ignore[arg-type]

    start, size, count = (
        (number(32, 8), number(54, 2), number(56, 2)) if wide else (number(28, 4), number(42, 2), number(44, 2))
    )
    return any(number(start + index * size, 4) == 3 for index in range(count))


PROBES = (
    Probe("runtime", Level.ERROR, look_at_runtimes),
    Probe("conmon", Level.ERROR, look_at_conmon),
    Probe("bootstrap", Level.NOTE, look_at_bootstrap),
    Probe("tools", Level.ERROR, look_at_tools),
)
