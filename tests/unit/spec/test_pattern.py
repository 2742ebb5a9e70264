"""Expressions of clients: what they find, and which of them could keep the daemon for hours."""

from __future__ import annotations

import time

import pytest

from pouch.spec import errors, pattern


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("web", "my-web-1", True),
        ("^web$", "web", True),
        ("^web$", "my-web", False),
        (".*web.*", "my-web-1", True),
        ("^.*web.*$", "web", True),
        ("^web|^db", "db1", True),
        ("^web.*[0-9]+$", "web-a-12", True),
        ("^(?:web|db|x)[0-9]$", "db3", True),
        (r"a\\.*", "a", False),
        (r"a\.*$", "a..", True),
        (r"^\.*$", "a", False),
        ("", "web", True),
        (".*", "web", True),
        ("[*+?(|)]", "web", False),
        ("w+?eb", "wweb", True),
    ],
)
def test_what_is_found(text, name, found):
    assert bool(pattern.compiled(text, "name").search(name)) is found


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+$",
        "(a|a)*$",
        "(?:a*){30}$",
        "a*a*a*b",
        "a?" * 30 + "a" * 30,
        "(a|a)" * 30 + "b",
        "(?x)(a+) +$",
        "(a+)(?#)+$",
        r"(a*)\1\1b",
        "[(]a*a*a*b",
        "a" * 1025,
        "(",
        "a{99999999999999999999}",
    ],
)
def test_what_is_refused(text):
    with pytest.raises(errors.InvalidInput, match="invalid filter 'name"):
        pattern.compiled(text, "name")


@pytest.mark.parametrize("text", ["a*a*b", "[a-z]+.+!", "a{1,250}a{1,250}b", "(a|b)(a|b)!"])
def test_the_longest_of_the_others_is_over_soon(text):
    began = time.process_time()
    pattern.compiled(text, "name").search("a" * 255)
    assert time.process_time() - began < 1
