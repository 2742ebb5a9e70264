"""Identifiers and names."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.spec import errors, ids


def test_an_id_is_64_digits_and_new_each_time():
    made = {ids.new_id() for _ in range(200)}
    assert len(made) == 200
    assert all(ids.ID_PATTERN.fullmatch(one) for one in made)


def test_an_id_never_begins_like_a_decimal_number(monkeypatch):
    given_ids = iter(["123456789012" + "a" * 52, "12345678901e" + "a" * 52])
    monkeypatch.setattr(secrets, "token_hex", lambda size: next(given_ids))
    assert ids.new_id() == "12345678901e" + "a" * 52


def test_random_names_are_names_and_grow_when_they_were_taken():
    for attempt in range(8):
        name = ids.random_name(attempt)
        assert ids.check_name(name) == name
        assert name.rstrip("0123456789").count("_") == 1
        assert name[-1].isdigit() is (attempt > 0)


@pytest.mark.parametrize("name", ["ab", "/web", "a.b-c_d", "0x", "A" * 200])
def test_a_name_comes_back_without_its_slash(name):
    assert ids.check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize(
    "name", ["", "/", "a", "-ab", ".ab", "_ab", "a b", "a/b", "//ab", "ab\n", "ä-ä", "a\0b", "../x"]
)
def test_other_names_are_refused_in_dockers_words(name):
    with pytest.raises(
        errors.InvalidInput, match=r"(?s)Invalid container name \(.*\), only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] are allowed"
    ) as caught:
        ids.check_name(name)
    assert caught.value.hint


@given(st.text(max_size=20))
def test_an_accepted_name_is_one_path_component(name):
    try:
        bare = ids.check_name(name)
    except errors.InvalidInput:
        return
    assert "/" not in bare
    assert bare not in (".", "..")
