"""`images` with 1,000 images that share a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench import many
from bench.bench import Bench
from bench.measure import Metric, Round, seconds
from bench.peers import Peer

ORDER = 70
TITLE = "images, 1,000 of them"
METRICS = (Metric("images", "all listed"),)
COUNT = None


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """The same images for all rounds."""
    action = peer.commands.action(peer.list_images())
    peer.load(many.archive(bench))
    yield lambda: {"images": seconds(action)}
