"""What an engine costs in memory: its daemon when idle and with ten containers, and the monitors of those ten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from bench.bench import Bench
from bench.measure import Metric, Round
from bench.peers import Peer

ORDER = 70
TITLE = "memory"
METRICS = (
    Metric("idle", "daemon, no container (RSS)", "MiB"),
    Metric("busy", "daemon, 10 containers (RSS)", "MiB"),
    Metric("monitors", "monitors of 10 containers (private)", "MiB"),
)
COUNT = 1
_CONTAINERS = 10


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """A daemon that has just started and answered once; then ten containers."""

    def measure() -> Mapping[str, float]:
        peer.fresh()
        peer.commands.run(peer.list_all())
        idle = peer.memory()
        with contextlib.ExitStack() as held:
            for _ in range(_CONTAINERS):
                held.enter_context(peer.sleeper(bench.name("memory")))
            busy = peer.memory()
        return {"idle": idle.daemon, "busy": busy.daemon, "monitors": busy.monitors}

    yield measure
