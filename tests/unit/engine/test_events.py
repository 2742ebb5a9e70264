"""Who is told what: filters as Docker has them, what is remembered, and listeners that are slow."""

from __future__ import annotations

import dataclasses

import pytest
from support import engine as values

from pouch.engine import events

WEB = {"image": "busybox:1", "name": "web", "tier": "front"}


@pytest.fixture
def bus():
    return events.Events(values.FakeClock())


async def heard(bus, **filters):
    """Past events that match, as kind and action."""
    now = bus._clock.now_ns() + 10**9
    bus._clock.advance(2)
    return [f"{one.kind} {one.action}" async for one in await bus.subscribe(1, now, filters)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["container start", "container health_status: healthy", "container exec_start: sh -c x", "image tag", "network connect"]),
        ({"type": ["image", "network"]}, ["image tag", "network connect"]),
        ({"event": ["start"]}, ["container start"]),
        ({"event": ["health_status"]}, ["container health_status: healthy"]),
        ({"event": ["health_status: healthy"]}, ["container health_status: healthy"]),
        ({"event": ["health_status: unhealthy"]}, []),
        ({"event": ["exec_start", "connect"]}, ["container exec_start: sh -c x", "network connect"]),
        ({"label": ["tier"], "event": ["start"]}, ["container start"]),
        ({"label": ["tier=front", "name=web"], "event": ["start"]}, ["container start"]),
        ({"label": ["tier=back"]}, []),
        ({"container": ["web"], "event": ["start"]}, ["container start"]),
        ({"container": ["we"], "event": ["start"]}, ["container start"]),
        ({"container": ["abc"], "event": ["start"]}, ["container start"]),
        ({"container": ["eb"]}, []),
        ({"network": ["lan"]}, ["network connect"]),
        ({"image": ["busybox"], "event": ["start"]}, ["container start"]),
        ({"image": ["busybox:1"], "event": ["start"]}, ["container start"]),
        ({"image": ["busybox:2", "busy*"]}, []),
        ({"image": ["reg:5000/a"]}, ["image tag"]),
        ({"image": ["sha256:1"]}, ["image tag"]),
        ({"scope": ["local"], "type": ["image"]}, ["image tag"]),
        ({"scope": ["swarm"]}, []),
    ],
)  # fmt: skip
async def test_filters(bus, filters, expected):
    bus.publish("container", "start", "abc1", WEB)
    bus.publish("container", "health_status: healthy", "abc1", WEB)
    bus.publish("container", "exec_start: sh -c x", "abc1", WEB)
    bus.publish("image", "tag", "sha256:1", {"name": "reg:5000/a:3"})
    bus.publish("network", "connect", "n1", {"name": "lan", "container": "abc1"})
    assert await heard(bus, **filters) == expected


async def test_probes_do_not_push_out_what_else_is_remembered(bus):
    bus.publish("container", "start", "abc", WEB)
    for number in range(3 * events.KEPT):
        bus.publish("container", f"exec_start: {number}", "abc", WEB)
    bus.publish("container", "die", "abc", WEB)
    found = await heard(bus)
    assert (found[0], found[-1], len(found)) == ("container start", "container die", events.KEPT + 2)
    assert found[1] == f"container exec_start: {2 * events.KEPT}"


async def test_the_past_comes_in_its_order(bus):
    for action in ("create", "exec_create: x", "start", "exec_die", "die"):
        bus.publish("container", action, "abc", WEB)
    assert [one.split()[1].rstrip(":") for one in await heard(bus)] == [
        "create",
        "exec_create",
        "start",
        "exec_die",
        "die",
    ]


def test_an_images_labels_are_attributes_whatever_they_are(bus):
    told = []
    bus.publish = lambda *found: told.append(found)
    events.of_image(bus, "tag", "sha256:1", "a:1", {"k": 5, "name": "other"})
    events.of_image(bus, "tag", "sha256:1", "a:1", ["nonsense"])
    assert [attributes for *_, attributes in told] == [{"k": "5", "name": "a:1"}, {"name": "a:1"}]


def test_a_containers_labels_do_not_hide_who_it_is(bus):
    told = []
    bus.publish = lambda *found: told.append(found)
    record = dataclasses.replace(values.record(), labels={"name": "fake", "image": "fake", "x": "y"})
    events.of_container(bus, record, "die", exitCode="1")
    assert told == [("container", "die", values.ID, {"x": "y", "name": "box", "image": "busybox", "exitCode": "1"})]
