"""Documents as clients of each version see them."""

from __future__ import annotations

import copy

import pytest

from pouch.edge.http import versions
from pouch.edge.http.versions import Noun


def spoken():
    return [(1, minor) for minor in range(versions.MINIMUM[1], versions.MAXIMUM[1] + 1)]


@pytest.mark.parametrize("change", versions.CHANGES, ids=lambda change: f"{change.noun.name} {change.since}")
def test_every_change_is_of_a_version_that_is_spoken(change):
    assert change.since in spoken()[1:], "a change of the oldest version, or of none, changes nothing"
    assert change.members


def test_what_is_fitted_stays_as_it_was():
    document = {
        "NetworkSettings": {"Bridge": "", "Networks": {"bridge": {"IPAddress": "1.2.3.4"}}},
        "Config": {"OnBuild": None},
    }
    before = copy.deepcopy(document)
    fitted = versions.fit(Noun.CONTAINER, document, (1, 52))
    assert fitted == {"NetworkSettings": {"Networks": {"bridge": {"IPAddress": "1.2.3.4"}}}, "Config": {}}
    assert document == before


def test_old_addresses_end_with_1_52():
    document = {"NetworkSettings": {"IPAddress": "1.2.3.4"}}
    assert versions.fit(Noun.CONTAINER, document, (1, 51)) == document
    assert versions.fit(Noun.CONTAINER, document, (1, 52)) == {"NetworkSettings": {}}


def test_members_that_are_left_out_when_empty_stay_when_they_say_something():
    document = {"Config": {"OnBuild": ["RUN x"]}}
    assert versions.fit(Noun.CONTAINER, document, (1, 52)) == document


def test_a_document_without_the_member_is_itself():
    assert versions.fit(Noun.EVENT, {"Type": "daemon"}, (1, 52)) == {"Type": "daemon"}
