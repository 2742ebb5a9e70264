"""SIGKILL for the daemon during upgrades: afterwards there is the old container or the new one, whole, and it runs.

POUCH_UPGRADE_KILLS is how often; the default is few, since each takes a start of the daemon.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time

from support import upgrades

KILLS = int(os.environ.get("POUCH_UPGRADE_KILLS", "6"))


def upgrade(daemon, version):
    """Ask for it; the daemon may die meanwhile."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        daemon.request("POST", "/containers/box/upgrade?t=2", {"Image": f"shop:{version}"})


def other(version):
    return "2" if version == "1" else "1"


def test_whenever_the_daemon_is_killed_one_of_the_two_is_there_and_runs(make_daemon):
    daemon = make_daemon()
    upgrades.load(daemon, "1", "2")
    box = upgrades.Box(daemon, "box", "-p", "127.0.0.1:18098:80", "--restart", "unless-stopped")
    begun = time.monotonic()
    upgrade(daemon, "2")
    whole_time = time.monotonic() - begun
    box.is_on("2", whole=False)
    seen, version = set(), "2"
    for number in range(KILLS):
        daemon.pouch("exec", "box", "sh", "-c", "echo changed > /changed")
        asking = threading.Thread(target=upgrade, args=(daemon, other(version)))
        asking.start()
        time.sleep(whole_time * 1.1 * number / max(KILLS - 1, 1))  # the moments are spread over an upgrade
        daemon.kill()
        asking.join()
        daemon.start()
        daemon.until(lambda: daemon.inspect("box")["State"]["Running"], what="the container runs")
        now = box.version()
        box.is_on(now, whole=now == version)
        seen.add(now == version)
        version = now
        assert not os.path.exists(f"{daemon.root}/containers/{daemon.inspect('box')['Id']}/former")
        assert daemon.out("volume", "ls", "-q", "-f", "dangling=true") == ""
        assert "could not be recovered" not in daemon.log()
    assert seen == {True, False}  # else the moments were not spread
