"""`exec CONTAINER true` in a running busybox container."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.bench import Bench
from bench.measure import Metric, Round, seconds
from bench.peers import Peer

ORDER = 20
TITLE = "exec CONTAINER true"
METRICS = (Metric("exec", "running busybox"),)
COUNT = None


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """One container for all rounds."""
    name = bench.name("exec")
    action = peer.commands.action(peer.exec_true(name))
    with peer.sleeper(name):
        yield lambda: {"exec": seconds(action)}
