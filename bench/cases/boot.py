"""A Debian machine with systemd, cron, rsyslog, sshd, dbus and an app: command line to the app's first action, to `running`, and the stop.

The app itself tells, through fifos bound into the container: no peer's exec and no polling is in the measured time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from bench.bench import Bench
from bench.markers import Markers
from bench.measure import Metric, Round, seconds
from bench.peers import Boot, Peer

ORDER = 60
TITLE = "rich systemd (Debian 12)"
METRICS = (
    Metric("app", "command line to the app's first action"),
    Metric("running", "command line to systemd's running"),
    Metric("command", "command returned (run -d)"),
    Metric("stop", "stop"),
)
COUNT = None
_BOOT_SECONDS = 60.0


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """A new machine each round."""

    def measure() -> Mapping[str, float]:
        with bench.markers() as markers, peer.boot(bench.name("boot"), markers) as boot:
            return _boot(bench, peer, markers, boot)

    yield measure


def _boot(bench: Bench, peer: Peer, markers: Markers, boot: Boot) -> Mapping[str, float]:
    before = time.perf_counter()
    process = peer.commands.spawn(boot.start)
    peer.commands.finish(process, boot.start)
    returned = time.perf_counter() - before
    app, _ = markers.until("app", timeout=_BOOT_SECONDS)
    running, state = markers.until("running", timeout=_BOOT_SECONDS)
    if state != "running":
        bench.note(f"{peer.title}: systemd says `{state}` where a healthy machine says `running`")
    return {"app": app - before, "running": running - before, "command": returned, "stop": seconds(boot.stop)}
