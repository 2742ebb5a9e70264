"""References in Docker's grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.spec import errors
from pouch.spec.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("me/app:Tag_1.2-x", "docker.io/me/app:Tag_1.2-x", "me/app:Tag_1.2-x"),
        ("library/x/y", "docker.io/library/x/y:latest", "library/x/y:latest"),
        ("host.example/app", "host.example/app:latest", "host.example/app:latest"),
        ("host:5000/app", "host:5000/app:latest", "host:5000/app:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/a/b/c:v1", "localhost:5000/a/b/c:v1", "localhost:5000/a/b/c:v1"),
        ("HOST/app", "HOST/app:latest", "HOST/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        ("a__b/c-d--e.f", "docker.io/a__b/c-d--e.f:latest", "a__b/c-d--e.f:latest"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128, "x:" + "t" * 128),
    ],
)
def test_a_reference_has_one_full_and_one_short_spelling(text, canonical, familiar):
    parsed = Reference.parse(text)
    assert (parsed.canonical(), parsed.familiar(), str(parsed)) == (canonical, familiar, familiar)
    assert Reference.parse(canonical) == Reference.parse(familiar) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "a:",
        "a@",
        "a@sha256:12",
        f"@{DIGEST}",
        "a b",
        "a:b:c/d:e:f",
        "/a",
        "a/",
        "a//b",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a/_b",
        "a\n",
        "a:t\n",
        "x:" + "t" * 129,
        "x:-t",
        "ä",
        "a/b\0",
        "../etc",
        "host.example/../x",
        "http://host/x",
        "host:port/x",
        "[::1/x",
        "-host.example/x",
    ],
)
def test_what_is_no_reference_is_refused_in_dockers_words(text):
    with pytest.raises(errors.InvalidInput, match="invalid reference format"):
        Reference.parse(text)


def test_capital_letters_are_named():
    with pytest.raises(errors.InvalidInput, match=r"repository name \(library/Busybox\) must be lowercase"):
        Reference.parse("Busybox")


def test_an_id_cannot_be_a_name():
    with pytest.raises(errors.InvalidInput) as caught:
        Reference.parse("a" * 64)
    assert "image id" in caught.value.hint


def test_a_name_has_at_most_255_characters():
    Reference.parse("h.example/" + "a" * 245)
    with pytest.raises(errors.InvalidInput) as caught:
        Reference.parse("h.example/" + "a" * 246)
    assert "255" in caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_invalid(text):
    try:
        parsed = Reference.parse(text)
    except errors.InvalidInput:
        return
    assert Reference.parse(parsed.canonical()) == parsed
    assert Reference.parse(parsed.familiar()) == parsed
