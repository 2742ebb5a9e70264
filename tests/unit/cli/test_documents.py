"""JSON by the standard library's C code alone: the same as by all of it."""

from __future__ import annotations

import json
import random

import pytest

from pouch.cli import documents

VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1 << 70,
    1.5,
    1e300,
    "",
    "ü€\u2028",
    '\x00\x1f"\\/',
    "\ud83d",
    [],
    {},
    [[], {}],
    {"a": {"b": [1, None]}},
]


def made(chance: random.Random, depth: int = 0):
    kind = chance.randrange(8 if depth < 4 else 6)
    if kind == 6:
        return [made(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        return {f"k{place}\n": made(chance, depth + 1) for place in range(chance.randrange(4))}
    return chance.choice(VALUES)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back(value):
    text = documents.dumps(value)
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert documents.loads(b" \n" + text.encode("utf-8", "surrogatepass") + b"\r\n") == value


def test_random_documents_are_read_and_written_as_json_does():
    chance = random.Random(5)
    for _ in range(300):
        value = made(chance)
        assert documents.dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        assert documents.loads(json.dumps(value, indent=2).encode()) == value


@pytest.mark.parametrize(
    "text", [b"", b"  ", b"{", b"[1,]", b"{} {}", b"nope", b'"a', b"\xff", b"01", b"{1:2}", b"'a'"]
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):
        documents.loads(text)


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), float("inf"), b"x"])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        documents.dumps(value)
