"""References by their grammar: what it makes is read and written without loss, and nothing else is read. Other defaults than Docker's."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pouch.spec import errors, reference
from pouch.spec.reference import Defaults, Reference

words = st.from_regex(r"[a-z0-9]+(?:(?:[._]|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
paths = st.lists(words, min_size=1, max_size=4).map("/".join)
labels = st.from_regex(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=3).map(".".join) | st.sampled_from(
    ["localhost", "[::1]", "[2001:db8::7]"]
)
ports = st.sampled_from(["", ":1", ":5000", ":65535"])
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
domains = st.builds(str.__add__, hosts, ports).filter(reference.is_registry)


@st.composite
def references(draw):
    """Text and its parts."""
    domain, path = draw(st.none() | domains), draw(paths)
    tag, digest = draw(st.none() | tags), draw(st.none() | digests)
    first = path.partition("/")[0]
    assume(domain or "/" not in path or not reference._looks_like_a_domain(first))
    assume(not re.fullmatch("[0-9a-f]{64}", path))
    text = (f"{domain}/" if domain else "") + path + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return text, domain, path, tag, digest


WHOLE = re.compile(
    r"""
    (?P<domain> (?: \[ [0-9a-fA-F:]+ \] | [a-zA-Z0-9] (?:[a-zA-Z0-9.-]*[a-zA-Z0-9])? ) (?: :[0-9]+ )? ) /
    (?P<path> [a-z0-9] (?:[a-z0-9._/-]*[a-z0-9])? )
    (?: : (?P<tag> \w [\w.-]{0,127} ) )?
    (?: @ sha256: [0-9a-f]{64} )?
    """,
    re.VERBOSE | re.ASCII,
)
"""Written apart from the parser's own: looser in what stands side by side, which `NEVER` takes back."""
NEVER = re.compile(r"\.\.|\.-|-\.|//|/[._-]|[._-]/|_\.|\._|___|_-|-_|\s")


@pytest.fixture(autouse=True)
def dockers_defaults():
    yield
    reference.use(Defaults())


@given(references())
def test_what_the_grammar_makes_is_read(made):
    text, domain, path, tag, digest = made
    parsed = Reference.parse(text)
    assert parsed.digest == (digest or "")
    assert parsed.tag == (tag or ("" if digest else "latest"))
    assert parsed.path.endswith(path)
    assert parsed.domain == {None: "docker.io", "index.docker.io": "docker.io"}.get(domain, domain)


@given(references())
def test_the_full_and_the_short_spelling_mean_the_same(made):
    parsed = Reference.parse(made[0])
    assert Reference.parse(parsed.canonical()) == parsed
    assert Reference.parse(parsed.familiar()) == parsed
    assert len(parsed.familiar()) <= len(parsed.canonical())
    assert Reference.parse(parsed.canonical()).canonical() == parsed.canonical()


@given(st.text(alphabet="aB0._-/:@[]sha256fé \n", max_size=40) | references().map(lambda made: made[0]), st.data())
def test_whatever_is_read_follows_the_grammar(text, data):
    """Also text that is nearly right: a reference with a letter put in, taken out or doubled."""
    if text:
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + data.draw(st.sampled_from(["", "", "/", ":", "@", ".", "-", "_", "A", "\n", " ", "é"]))
            + text[at:]
        )
    try:
        parsed = Reference.parse(text)
    except errors.InvalidInput:
        return
    assert WHOLE.fullmatch(parsed.canonical()), text
    name = parsed.name().partition("/")
    assert not NEVER.search(name[2]), text
    assert ".." not in name[0], text
    assert text.isascii()
    assert text.isprintable()


@example("docker.io/a.b/c")
@example("docker.io/localhost/c")
@given(references().map(lambda made: made[0]))
def test_a_short_spelling_is_never_read_as_another_name(text):
    parsed = Reference.parse(text)
    assert Reference.parse(parsed.familiar_name()).name() == parsed.name()


DEFAULTS = [
    Defaults(),
    Defaults("registry.corp", "team"),
    Defaults("registry.corp:5000", ""),
    Defaults("docker.io", "me"),
]


@pytest.mark.parametrize("defaults", DEFAULTS, ids=str)
@given(text=references().map(lambda made: made[0]))
def test_full_spellings_mean_the_same_under_any_defaults(defaults, text):
    reference.use(Defaults())
    before = Reference.parse(text)
    reference.use(defaults)
    after = Reference.parse(before.canonical())
    assert after == before
    assert Reference.parse(after.familiar()) == after


@pytest.mark.parametrize(
    ("defaults", "text", "canonical", "familiar"),
    [
        (Defaults("registry.corp", "team"), "app", "registry.corp/team/app:latest", "app:latest"),
        (Defaults("registry.corp", "team"), "other/app", "registry.corp/other/app:latest", "other/app:latest"),
        (
            Defaults("registry.corp", "team"),
            "registry.corp/app",
            "registry.corp/app:latest",
            "registry.corp/app:latest",
        ),
        (Defaults("registry.corp", "team"), "docker.io/busybox", "docker.io/library/busybox:latest", None),
        (Defaults("registry.corp", ""), "app", "registry.corp/app:latest", "app:latest"),
        (Defaults("docker.io", "me"), "app", "docker.io/me/app:latest", "app:latest"),
        (Defaults("docker.io", "me"), "library/app", "docker.io/library/app:latest", "library/app:latest"),
    ],
)
def test_the_defaults_are_the_administrators(defaults, text, canonical, familiar):
    reference.use(defaults)
    parsed = Reference.parse(text)
    assert (parsed.canonical(), parsed.familiar()) == (canonical, familiar or canonical)


@pytest.mark.parametrize("text", ["registry.corp", "host:5000", "localhost", "[::1]:5000", "HOST"])
def test_what_is_read_as_a_registry(text):
    assert reference.is_registry(text)


@pytest.mark.parametrize("text", ["host", "", "a/b", "http://a.b", "a..b", "-a.b", "a.b:x", "a.b\n"])
def test_what_is_read_as_no_registry(text):
    assert not reference.is_registry(text)
