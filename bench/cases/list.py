"""`ps -a` with 20 containers, half of them running."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.bench import Bench
from bench.measure import Metric, Round, seconds
from bench.peers import Peer

ORDER = 40
TITLE = "ps -a, 20 containers"
METRICS = (Metric("list", "10 running, 10 created"),)
COUNT = None
_EACH = 10


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """The same containers for all rounds."""
    action = peer.commands.action(peer.list_all())
    with contextlib.ExitStack() as held:
        for _ in range(_EACH):
            held.enter_context(peer.sleeper(bench.name("list")))
        for _ in range(_EACH):
            held.enter_context(_created(peer, bench.name("list")))
        yield lambda: {"list": seconds(action)}


@contextlib.contextmanager
def _created(peer: Peer, name: str) -> Iterator[None]:
    peer.prepare(name)
    try:
        peer.commands.run(peer.create(name))
        try:
            yield
        finally:
            peer.commands.run(peer.remove(name))
    finally:
        peer.forget(name)
