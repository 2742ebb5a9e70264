"""SIGKILL for the daemon during upgrades: afterwards there is the old container or the new one, whole, and it runs.

POUCH_UPGRADE_KILLS is how often, for each of the two; the default is few, since each takes a start of the daemon.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time

import pytest
from support import upgrades

KILLS = int(os.environ.get("POUCH_UPGRADE_KILLS", "4"))


def ask(daemon, version):
    """Ask for an upgrade; the daemon may die meanwhile."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        daemon.request("POST", "/containers/box/upgrade?t=2", {"Image": f"shop:{version}"})


def killed_while_asked(daemon, version, seconds):
    """Let an upgrade go on for so long, or (None) to its end, kill the daemon, start it again."""
    asking = threading.Thread(target=ask, args=(daemon, version))
    asking.start()
    asking.join(seconds)
    daemon.kill()
    asking.join()
    daemon.start()
    daemon.until(lambda: daemon.inspect("box")["State"]["Running"], what="the container runs")


@pytest.fixture
def box(make_daemon):
    """A container of a daemon that may be killed."""
    daemon = make_daemon()
    upgrades.load(daemon, "1", "2", "missing")
    return upgrades.Box(daemon, "box", "-p", "127.0.0.1:18098:80", "--restart", "unless-stopped")


def moments(box, version):
    """Times spread over an upgrade, which is measured, and None."""
    begun = time.monotonic()
    ask(box.daemon, version)
    whole = time.monotonic() - begun
    return [*(whole * number / max(KILLS - 1, 1) for number in range(KILLS)), None]


def nothing_is_left(daemon):
    assert not os.path.exists(f"{daemon.root}/containers/{daemon.inspect('box')['Id']}/former")
    assert daemon.out("volume", "ls", "-q", "-f", "dangling=true") == ""
    assert "could not be recovered" not in daemon.log()


def test_whenever_the_daemon_is_killed_one_of_the_two_is_there_and_runs(box):
    version = "2"
    for moment in moments(box, version):
        box.daemon.pouch("exec", "box", "sh", "-c", "echo changed > /changed")
        killed_while_asked(box.daemon, "1" if version == "2" else "2", moment)
        now = box.version()
        box.is_on(now, whole=now == version)
        nothing_is_left(box.daemon)
        assert moment is not None or now != version
        version = now


def test_whenever_it_is_killed_while_one_fails_the_old_one_is_there_and_runs(box):
    for moment in moments(box, "missing"):
        killed_while_asked(box.daemon, "missing", moment)
        box.is_on("1", whole=True)
        nothing_is_left(box.daemon)
