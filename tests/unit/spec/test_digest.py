"""Digests and chain-ids."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.spec import digest, errors

A, B, C = (digest.of_bytes(letter) for letter in (b"a", b"b", b"c"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "sha512:" + "0" * 128,
        "0" * 64,
        " sha256:" + "0" * 64,
        "sha256:" + "0" * 64 + "\n",
        "sha256:../" + "0" * 61,
    ],
)
def test_what_is_no_digest_is_refused_with_what_was_expected(text):
    assert not digest.is_digest(text)
    for call in (digest.parse, digest.hex_of):
        with pytest.raises(errors.InvalidInput, match="expected sha256:<64 lower-case hexadecimal digits>"):
            call(text)


@given(st.binary(max_size=200))
def test_a_digest_is_that_of_its_bytes(data):
    found = digest.of_bytes(data)
    assert found == "sha256:" + hashlib.sha256(data).hexdigest()
    assert digest.parse(found) == found
    assert digest.of_hex(digest.hex_of(found)) == found


def test_chain_ids_of_the_specifications_rule():
    second = digest.of_bytes(f"{A} {B}".encode())
    assert digest.chain_ids([A, B, C]) == (A, second, digest.of_bytes(f"{second} {C}".encode()))
    assert digest.chain_ids([]) == ()
    assert digest.chain_ids([A])[0] == A


def test_a_chain_depends_on_the_order_and_on_every_layer_below():
    assert digest.chain_ids([A, B])[1] != digest.chain_ids([B, A])[1]
    assert digest.chain_ids([A, B, C])[2] != digest.chain_ids([A, A, C])[2]


def test_a_chain_of_something_else_is_refused():
    with pytest.raises(errors.InvalidInput):
        digest.chain_ids([A, "no digest"])
