"""The command line alone: how long the cheapest command takes. pouch asks its daemon, the others only print."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.bench import Bench
from bench.measure import Metric, Round, seconds
from bench.peers import Peer

ORDER = 50
TITLE = "version"
METRICS = (Metric("version", "command line's start"),)
COUNT = None


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:  # noqa: ARG001 - cases share one signature
    """Nothing to set up."""
    action = peer.commands.action(peer.show_version())
    yield lambda: {"version": seconds(action)}
