"""`run --rm busybox true`: the shortest life of a container, from the command line to its exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from bench.bench import Bench
from bench.failure import NotOffered
from bench.measure import Metric, Round, seconds
from bench.peers import Peer

ORDER = 10
TITLE = "run --rm busybox true"
METRICS = (Metric("none", "--network none"), Metric("bridge", "default network"))
COUNT = None


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:  # noqa: ARG001 - cases share one signature
    """Each round runs it once on each network that the peer offers."""
    actions = {}
    for metric in METRICS:
        with contextlib.suppress(NotOffered):
            actions[metric.key] = peer.run_true(metric.key)
    if not actions:
        raise NotOffered(f"{peer.title} runs nothing")

    def measure() -> Mapping[str, float]:
        return {key: seconds(action) for key, action in actions.items()}

    yield measure
