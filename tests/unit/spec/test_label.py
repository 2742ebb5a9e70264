"""Labels as filters ask for them."""

from __future__ import annotations

import pytest

from pouch.spec import label

LABELS = {"tier": "front", "empty": ""}


@pytest.mark.parametrize(
    ("wanted", "there"),
    [("tier", True), ("tier=front", True), ("tier=back", False), ("tier=", False), ("empty=", True), ("other", False)],
)
def test_a_label_is_asked_for_by_its_name_or_with_its_value(wanted, there):
    assert label.has(LABELS, wanted) is there


def test_all_of_the_wanted_and_none_of_the_unwanted():
    assert label.fit(LABELS, ["tier", "empty"])
    assert not label.fit(LABELS, ["tier", "other"])
    assert not label.fit(LABELS, ["tier"], ["other", "empty"])
    assert label.fit(LABELS, [], ["tier=back"])
