"""`run -d` until it returns, and `rm -f` of the running container."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from bench.bench import Bench
from bench.measure import Metric, Round, seconds
from bench.peers import Peer

ORDER = 30
TITLE = "run -d, rm -f"
METRICS = (Metric("run", "run -d"), Metric("remove", "rm -f"))
COUNT = None


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """A new container each round."""

    def measure() -> Mapping[str, float]:
        name = bench.name("run")
        start, remove = peer.commands.action(peer.run_detached(name)), peer.commands.action(peer.remove(name))
        peer.prepare(name)
        try:
            return {"run": seconds(start), "remove": seconds(remove)}
        finally:
            peer.forget(name)

    yield measure
