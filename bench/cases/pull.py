"""Pull from a registry on loopback: 8,000 files of a Debian in one gzip layer, and the same files in ten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from bench.bench import Bench
from bench.measure import Metric, Round, seconds
from bench.peers import Peer
from bench.registry import ONE, TEN

ORDER = 60
TITLE = "pull of a Debian"
METRICS = (Metric("one", "one layer"), Metric("ten", "ten layers"))
COUNT = 7
_IMAGES = {"one": ONE, "ten": TEN}


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """Each round pulls both, each into a store that has nothing of it."""
    host = bench.registry().host
    names = {key: f"{host}/{name}" for key, name in _IMAGES.items()}
    actions = {key: peer.pull(name) for key, name in names.items()}

    def measure() -> Mapping[str, float]:
        found = {}
        for key, action in actions.items():
            found[key] = seconds(action)
            peer.drop(names[key])
        return found

    yield measure
