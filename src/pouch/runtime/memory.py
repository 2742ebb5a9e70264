"""Whether the kernel has killed something of a container for want of memory.

The monitor looks too, but on cgroup v2 conmon 2.1.6 stops looking as soon as a container touches its limit without a kill. So the daemon
looks, in two ways. A group's counter is watched, which tells it while the container runs; but with systemd's cgroups a group goes with its
last process, counter and all. The kernel's log is there still; but it does not tell every kill of many at once. What was seen is
written where the monitor would (`exits`), for a daemon that comes later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading

from pouch.kernel import cgroup, kmsg
from pouch.runtime import exits, watch
from pouch.spec import errors

_KILL = "oom-kill:"
"""How the kernel begins its one line about a kill, with the group of the victim (mm/oom_kill.c, dump_oom_victim)."""
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""A container's, in the path of its group."""


class KernelWord:
    """What the kernel says of kills, from the moment this is made. Blocking."""

    def __init__(self, exit_dir: str, log: kmsg.Log | None = None) -> None:
        self._exit_dir = exit_dir
        self._log = log or kmsg.Log()
        self._lock = threading.Lock()

    def note(self) -> None:
        """Note all that was said meanwhile, of whichever container.

        A line that names several of ours is believed for none: what a container calls its own groups is in it too.
        """
        with self._lock:
            for message in self._log.read():
                if not message.startswith(_KILL):
                    continue
                ours = {id_ for id_ in _ID.findall(message) if os.path.isdir(exits.directory(self._exit_dir, id_))}
                if len(ours) == 1:
                    exits.note_oom(self._exit_dir, ours.pop())

    def close(self) -> None:
        """Let go; idempotent."""
        with self._lock:
            self._log.close()


async def look_on(group: str, exit_dir: str, container_id: str) -> None:
    """Watch a container's group (an OCI cgroupsPath) until something of it was killed, or the group is gone. For a task of its own."""
    counter = cgroup.memory_events(group)
    if not counter:
        return
    changed = asyncio.Event()
    with contextlib.suppress(errors.KernelError), watch.changes(counter, changed):
        while not _look(group, exit_dir, container_id) and cgroup.memory_events(group):
            await changed.wait()
            changed.clear()


def last_look(group: str, exit_dir: str, container_id: str, kernel: KernelWord) -> bool:
    """Whether something of a container that has ended was killed, by all that can be known. Blocking."""
    kernel.note()
    return _look(group, exit_dir, container_id) or exits.oom_noted(exit_dir, container_id)


def _look(group: str, exit_dir: str, container_id: str) -> bool:
    if cgroup.oom_kills(group) == 0:
        return False
    exits.note_oom(exit_dir, container_id)
    return True
