"""What a daemon has on the host right now: anything here that stays after a test is a leak.

The kernel takes some things apart later than it says (links of dying namespaces, empty cgroups), so callers ask `left` again until
it answers nothing, up to a deadline that only failing tests reach.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support import daemon as daemons

SECONDS = 10.0
"""The deadline of `assert_none`."""
_COMPLAINTS = (
    "Traceback (most recent call last)",
    "ResourceWarning",
    "RuntimeWarning",
    "was never awaited",
    "exception was never retrieved",
    "Task was destroyed",
    "Exception ignored",
)
_EXPECTED = ("is still running", "Enable tracemalloc")
"""A stopped daemon leaves its monitors to themselves: that is the plan. The second is what Python adds to each ResourceWarning."""


def left(one: daemons.Daemon) -> list[str]:
    """A line for each thing that belongs to containers of this daemon, or to work it has not finished."""
    return [*_mounts(one), *_links(one), *_cgroups(one), *_processes(one), *_files(one)]


def assert_none(one: daemons.Daemon) -> None:
    """Fail naming what stays after the deadline."""
    until_none(lambda: left(one))


def until_none(look: Callable[[], list[str]]) -> None:
    """Ask again until nothing is found; fail naming what is found after the deadline."""
    deadline = time.monotonic() + SECONDS
    while found := look():
        assert time.monotonic() < deadline, "left behind:\n" + "\n".join(found)
        time.sleep(0.02)


def complaints(text: str) -> list[str]:
    """What no log of a daemon may hold: tracebacks, and what Python says of things that were forgotten."""
    lines = text.splitlines()
    return [
        "\n".join(lines[number : number + 25])
        for number, line in enumerate(lines)
        if any(word in line for word in _COMPLAINTS) and not any(word in line for word in _EXPECTED)
    ]


def _mounts(one: daemons.Daemon) -> Iterator[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            point = line.split()[4]
            if point.startswith(f"{one.home}/"):
                yield f"mount {point}"


def _links(one: daemons.Daemon) -> Iterator[str]:
    for name in one.links():
        yield f"link {name} of {one.bridge}"


def _cgroups(one: daemons.Daemon) -> Iterator[str]:
    for point in _hierarchies():
        directory = f"{point}/{one.cgroup_parent}"
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir():
                    yield f"cgroup {entry.path}"


def _hierarchies() -> Iterator[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            before, _, after = line.partition(" - ")
            if after.split()[0] in ("cgroup", "cgroup2"):
                yield before.split()[4]


def _processes(one: daemons.Daemon) -> Iterator[str]:
    """Monitors, runtimes, unpackers, clients: whoever names the daemon's directories, but for the daemon."""
    own = one.process.pid if one.process is not None else 0
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == own:
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode(errors="replace")
            if f"{one.home}/" in words:
                yield f"process {name}: {words}"


def _files(one: daemons.Daemon) -> Iterator[str]:
    for directory in (f"{one.run}/containers", f"{one.run}/exits", f"{one.root}/containers", f"{one.root}/tmp"):
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(directory):
                yield f"file {directory}/{name}"


def remove_cgroups(one: daemons.Daemon) -> None:
    """The empty parents themselves, when the daemon is gone."""
    for point in _hierarchies():
        with contextlib.suppress(OSError):
            os.rmdir(f"{point}/{one.cgroup_parent}")
