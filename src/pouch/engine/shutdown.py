"""Whether the host is being switched off or restarted.

Then the daemon stops the containers before it ends: nobody else would do it in their words. systemd leaves the scopes that runtimes make
alone until its last round of signals, in which an init that has its own idea of SIGTERM holds the host up for DefaultTimeoutStopSec.
"""

from __future__ import annotations

from pouch.runtime import job
from pouch.spec import errors

_SECONDS = 10.0


async def going_down() -> bool:
    """systemd's own word (systemctl(1), "is-system-running"); False where another init runs (`offline`) or it does not answer."""
    try:
        finished = await job.run(("systemctl", "is-system-running"), b"", timeout=_SECONDS)
    except errors.PouchError:
        return False
    return finished.stdout.strip() == b"stopping"
