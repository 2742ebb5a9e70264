"""What tests of real daemons share: whether one can run here, and an end for tests that hang."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator

from support import kernel

LONGEST_SECONDS = 180
"""Of one test. One that hangs fails, and what it made is taken away."""


def missing() -> str:
    """Why no daemon can run here; "" where it can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("crun", "conmon"):
        if shutil.which(program) is None:
            return f"needs {program} on PATH"
    for probe in (kernel.static_busybox, kernel.overlay_mounts, kernel.writable_cgroups, kernel.network_namespaces):
        if reason := probe():
            return f"{probe.__name__}: {reason}"
    return ""


@contextlib.contextmanager
def ended_in_time() -> Iterator[None]:
    """Fail what takes longer."""

    def expired(number: int, frame: object) -> None:
        raise AssertionError(f"the test did not end within {LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
