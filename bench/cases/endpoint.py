"""A container's place in a network, each engine on a host of namespaces of its own.

By Docker's API, without the start of any program of ours: `start` and `rm -f` of a container without network, in the default network,
and with a published port; `network connect` and `disconnect` of a running one. And directly: what the engine makes endpoints with,
called for a namespace that lies ready, with one published port.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from bench import api, place
from bench.bench import Bench
from bench.failure import NotOffered
from bench.images import SMALL_NAME
from bench.measure import Metric, Round
from bench.peers import Peer, Plug

ORDER = 32
TITLE = "endpoint"
_P99 = 0.99
METRICS = (
    Metric("start-none", "start, without network"),
    Metric("start-bridge", "start, default network"),
    Metric("start-port", "start, default network and a port"),
    Metric("start-extra", "the endpoint's part of it"),
    Metric("remove-none", "rm -f, without network"),
    Metric("remove-bridge", "rm -f, default network"),
    Metric("remove-port", "rm -f, default network and a port"),
    Metric("remove-extra", "the endpoint's part of it"),
    Metric("connect", "network connect"),
    Metric("connect-99", "99th percentile", of="connect", quantile=_P99),
    Metric("disconnect", "network disconnect"),
    Metric("disconnect-99", "99th percentile", of="disconnect", quantile=_P99),
    Metric("up", "set-up alone, with a port"),
    Metric("up-99", "99th percentile", of="up", quantile=_P99),
    Metric("down", "tear-down alone, with a port"),
    Metric("down-99", "99th percentile", of="down", quantile=_P99),
)
COUNT = None
EACH = 5
"""Endpoints of each kind in a round."""
_KINDS = {
    "none": {"NetworkMode": "none"},
    "bridge": {"NetworkMode": "bridge"},
    "port": {"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
}
_NETWORK = "bench-second"


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """A host for each way that the peer offers."""
    with contextlib.ExitStack() as held:
        turns: list[Callable[[], Mapping[str, list[float]]]] = []
        with contextlib.suppress(NotOffered):
            socket = held.enter_context(peer.served(held.enter_context(place.made()).host))
            turns.append(_by_api(bench, held.enter_context(api.opened(socket)), held))
        with contextlib.suppress(NotOffered):
            turns.append(_directly(held.enter_context(peer.plug(held.enter_context(place.made()).host))))
        if not turns:
            raise NotOffered(f"{peer.title} makes no endpoints")
        yield lambda: {key: values for turn in turns for key, values in turn().items()}


def _by_api(bench: Bench, engine: api.Api, held: contextlib.ExitStack) -> Callable[[], Mapping[str, list[float]]]:
    engine.call("POST", "/networks/create", {"Name": _NETWORK, "CheckDuplicate": True})
    held.callback(lambda: engine.call("DELETE", f"/networks/{_NETWORK}"))
    stays = held.enter_context(engine.running(bench.name("endpoint"), SMALL_NAME, NetworkMode="bridge"))

    def turn() -> Mapping[str, list[float]]:
        found: dict[str, list[float]] = {}
        for _ in range(EACH):
            for kind, config in _KINDS.items():
                name = engine.create(bench.name("endpoint"), SMALL_NAME, **config)
                try:
                    found.setdefault(f"start-{kind}", []).append(engine.seconds("POST", f"/containers/{name}/start"))
                finally:
                    removed = engine.remove(name)
                found.setdefault(f"remove-{kind}", []).append(removed)
            for what in ("connect", "disconnect"):
                took = engine.seconds("POST", f"/networks/{_NETWORK}/{what}", {"Container": stays})
                found.setdefault(what, []).append(took)
        for what in ("start", "remove"):
            both = zip(found[f"{what}-port"], found[f"{what}-none"], strict=True)
            found[f"{what}-extra"] = [with_port - without for with_port, without in both]
        return found

    return turn


def _directly(plug: Plug) -> Callable[[], Mapping[str, list[float]]]:
    def turn() -> Mapping[str, list[float]]:
        found: dict[str, list[float]] = {"up": [], "down": []}
        for _ in range(EACH):
            with place.Place() as container:
                for key, action in (("up", plug.up), ("down", plug.down)):
                    before = time.perf_counter()
                    action(container)
                    found[key].append(time.perf_counter() - before)
        return found

    return turn
