"""Whether the kernel has killed something of a container for want of memory, on cgroup v2.

The monitor looks too, but conmon before 2.1.8 stops looking as soon as a container touches its limit without a kill. A group's counter
is gone with the group, and with systemd's cgroups a group goes with its last process: so it is watched, and what was seen is written
where the monitor would (`exits`), for a daemon that comes later.
"""

from __future__ import annotations

import asyncio
import contextlib

from pouch.kernel import cgroup
from pouch.runtime import exits, watch
from pouch.spec import errors


async def look_on(group: str, exit_dir: str, container_id: str) -> None:
    """Watch a container's group (an OCI cgroupsPath) until something of it was killed, or the group is gone. For a task of its own."""
    counter = cgroup.memory_events(group)
    if not counter:
        return
    changed = asyncio.Event()
    with contextlib.suppress(errors.KernelError), watch.changes(counter, changed):
        while not look(group, exit_dir, container_id) and cgroup.memory_events(group):
            await changed.wait()
            changed.clear()


def look(group: str, exit_dir: str, container_id: str) -> bool:
    """Whether something of it was killed, as far as can be told now; if so, that is noted."""
    if cgroup.oom_kills(group) == 0:
        return False
    exits.note_oom(exit_dir, container_id)
    return True
