"""`rmi` of an image whose one layer has 10,000 files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from bench import many
from bench.bench import Bench
from bench.measure import Metric, Round, seconds
from bench.peers import Peer

ORDER = 80
TITLE = "rmi, 10,000 files"
METRICS = (Metric("rmi", "until it answers"),)
COUNT = 7


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """Loaded anew each round."""
    path = many.files(bench)
    action = peer.commands.action(peer.remove_image(many.FILES_NAME))

    def measure() -> Mapping[str, float]:
        peer.load(path)
        return {"rmi": seconds(action)}

    yield measure
