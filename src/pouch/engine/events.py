"""What happens, told to whoever listens; the last ones are kept for `since`."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from pouch.engine import clock as clocks
from pouch.engine import record as records
from pouch.spec import event, label, network

KEPT = 1024
WAITING = 4096
"""Events a slow listener may lag behind before it loses the oldest; the daemon's memory is not his."""


class Events:
    """The bus. `publish` never waits."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._kept: deque[event.Event] = deque(maxlen=KEPT)
        self._kept_execs: deque[event.Event] = deque(maxlen=KEPT)
        """Those of exec processes apart: healthchecks would soon be all that is remembered."""
        self._listeners: set[_Listener] = set()
        self._last = 0

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None) -> None:
        """Tell of something; times are unique and rising, so that `since` splits cleanly."""
        self._last = max(self._clock.now_ns(), self._last + 1)
        happened = event.Event(kind, action, actor, dict(attributes or {}), self._last)
        (self._kept_execs if action.startswith("exec_") else self._kept).append(happened)
        for listener in tuple(self._listeners):
            listener.put(happened)

    def from_threads(self) -> Callable[[str, str, str, Mapping[str, str]], None]:
        """`publish` for other threads; to be made in the loop's own."""
        loop = asyncio.get_running_loop()

        def publish(kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> None:
            loop.call_soon_threadsafe(self.publish, kind, action, actor, attributes)

        return publish

    async def subscribe(
        self, since_ns: int, until_ns: int, filters: Mapping[str, list[str]]
    ) -> AsyncIterator[event.Event]:
        """Subscribed when this returns; see `facade.EventsFacade`."""
        wanted = _predicate(filters)
        kept = heapq.merge(self._kept, self._kept_execs, key=lambda one: one.time_ns) if since_ns else ()
        past = [one for one in kept if one.time_ns >= since_ns and wanted(one)]
        if until_ns and until_ns <= self._clock.now_ns():
            return _of([one for one in past if one.time_ns <= until_ns])
        listener = _Listener(self._listeners, wanted, until_ns, self._clock)
        for one in past:
            listener.put(one)
        return listener

    def close(self) -> None:
        """End all subscriptions."""
        for listener in tuple(self._listeners):
            listener.end()


def of_container(bus: Events, record: records.Record, action: str, **attributes: str) -> None:
    """Tell of a container, with Docker's attributes."""
    found = {**record.labels, "image": record.image_name, "name": record.name, **attributes}
    bus.publish("container", action, record.id, found)


def of_image(bus: Events, action: str, id: str, name: str, labels: object) -> None:
    """Tell of an image, with Docker's attributes. labels: of its configuration, which says what it likes."""
    bus.publish("image", action, id, image_attributes(name, labels))


def image_attributes(name: str, labels: object) -> dict[str, str]:
    """Docker's attributes of an image's event: its labels, and the name."""
    own = {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}
    return {**own, "name": name}


def of_network(bus: Events, one: network.Network, action: str) -> None:
    """Tell of a network, with Docker's attributes."""
    bus.publish("network", action, one.id, {"name": one.name, "type": one.driver})


def of_membership(bus: Events, place: network.Endpoint, action: str, container_id: str) -> None:
    """Tell of a container that joins or leaves a network."""
    found = {"container": container_id, "name": place.network_name, "type": place.driver}
    bus.publish("network", action, place.network_id, found)


class _Listener:
    """One subscription."""

    def __init__(
        self, peers: set[_Listener], wanted: Callable[[event.Event], bool], until_ns: int, clock: clocks.Clock
    ) -> None:
        self._peers = peers
        self._wanted = wanted
        self._queue: deque[event.Event] = deque(maxlen=WAITING)
        self._more = asyncio.Event()
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        if until_ns:
            delay = max(0.0, (until_ns - clock.now_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay, self.end)
        peers.add(self)

    def put(self, happened: event.Event) -> None:
        if self._wanted(happened):
            self._queue.append(happened)
            self._more.set()

    def end(self) -> None:
        self._ended = True
        self._peers.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._more.set()

    def __aiter__(self) -> _Listener:
        return self

    async def __anext__(self) -> event.Event:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._queue.popleft()

    async def aclose(self) -> None:
        self.end()


async def _of(found: list[event.Event]) -> AsyncIterator[event.Event]:
    for one in found:
        yield one


def _predicate(filters: Mapping[str, list[str]]) -> Callable[[event.Event], bool]:
    """Docker's filters: values of one key are alternatives, keys must all match (labels: each value)."""

    def matches(one: event.Event) -> bool:
        return all(_matches(one, key, values) for key, values in filters.items() if values)

    return matches


def _matches(one: event.Event, key: str, values: list[str]) -> bool:
    match key:
        case "type":
            return one.kind in values
        case "event":
            return any(one.action == value or one.action.startswith(f"{value}:") for value in values)
        case "label":
            return label.fit(one.attributes, values)
        case "scope":
            return "local" in values
        case "image":
            name = one.attributes.get("name" if one.kind == "image" else "image", "")
            return not {one.actor, name, _untagged(name)}.isdisjoint(values)
        case _:
            if one.kind != key:
                return False
            return any(
                text.startswith(value) for text in (one.actor, one.attributes.get("name", "")) for value in values
            )


def _untagged(name: str) -> str:
    """A familiar name without its tag or digest."""
    bare = name.partition("@")[0]
    head, colon, tail = bare.rpartition(":")
    return head if colon and "/" not in tail else bare
