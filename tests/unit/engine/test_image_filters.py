"""The filters of a prune, as Docker's clients write them."""

from __future__ import annotations

import types

import pytest
from support import engine as values

from pouch.engine import images, views
from pouch.image import images as image_room
from pouch.spec import errors, moment

NOW = values.FakeClock().now_ns() / 1e9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("1.5h", NOW - 5400),
        ("500ms", NOW - 0.5),
        ("10", 10),
        ("1700000000", 1700000000),
        ("1700000000.5", 1700000000.5),
        ("2024-01-02", 1704153600),
        ("2024-01-02T00:00:00", 1704153600),
        ("2024-01-02T00:00:00Z", 1704153600),
        ("2024-01-02T02:00:00+02:00", 1704153600),
    ],
)
def test_times_are_read_as_durations_seconds_and_dates(text, expected):
    assert moment.seconds(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "h", "10x", "10m ", "1e5", "9" * 40, "2024-13-01", "-5m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(errors.InvalidInput, match="failed to parse value as time or duration"):
        moment.seconds(text, NOW)


class Store:
    """Notes what it is asked to prune."""

    def prune(self, **options):
        self.options = options
        return image_room.Pruned((("Untagged", "web:1"), ("Deleted", "sha256:x")), 7)


class Pools:
    async def long(self, work, *arguments, **options):
        return work(*arguments, **options)


async def prune(filters):
    store, published = Store(), []
    events = types.SimpleNamespace(publish=lambda *event: published.append(event))
    downloads = types.SimpleNamespace(discard=lambda: None)
    clock = values.FakeClock()
    equipment = types.SimpleNamespace(images=store, downloads=downloads, pools=Pools(), clock=clock, events=events)
    answer = await images.Images(equipment, None).prune(filters)
    return store.options, answer, published


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"dangling": True, "until": None, "labels": [], "without": []}),
        ({"dangling": ["false"]}, {"dangling": False}),
        ({"dangling": ["0"]}, {"dangling": False}),
        ({"dangling": ["true"]}, {"dangling": True}),
        ({"until": ["10m", "1h"]}, {"until": NOW - 3600}),
        ({"label": ["a", "b=c"], "label!": ["d"]}, {"labels": ["a", "b=c"], "without": ["d"]}),
    ],
)
async def test_filters_come_to_the_store(filters, expected):
    options, answer, published = await prune(filters)
    assert expected.items() <= options.items()
    assert answer == views.PruneView((("Untagged", "web:1"), ("Deleted", "sha256:x")), 7)
    assert [event[:3] for event in published] == [
        ("image", "untag", "sha256:x"),
        ("image", "delete", "sha256:x"),
        ("image", "prune", ""),
    ]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"dangling": ["maybe"]}, "invalid filter 'dangling=maybe'"),
        ({"reference": ["web"]}, "invalid filter 'reference'"),
        ({"until": ["soon"]}, "failed to parse value"),
    ],
)
async def test_unknown_filters_and_values_are_refused(filters, message):
    with pytest.raises(errors.InvalidInput, match=message):
        await prune(filters)
