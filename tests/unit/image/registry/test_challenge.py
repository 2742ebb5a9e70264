"""The WWW-Authenticate header."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pouch.image.registry import challenge
from pouch.spec import errors

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (", ,", []),
        ("Basic", [("basic", {}, "")]),
        ('Basic realm="x"', [("basic", {"realm": "x"}, "")]),
        ("Basic realm=x", [("basic", {"realm": "x"}, "")]),
        ('BEARER Realm="https://a/t" , SERVICE = "b"', [("bearer", {"realm": "https://a/t", "service": "b"}, "")]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
            [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"}, "")],
        ),
        ('Basic realm="a", Bearer realm="b"', [("basic", {"realm": "a"}, ""), ("bearer", {"realm": "b"}, "")]),
        ("Negotiate, Basic realm=a", [("negotiate", {}, ""), ("basic", {"realm": "a"}, "")]),
        ("Negotiate YWJj==, Basic realm=a", [("negotiate", {}, "YWJj=="), ("basic", {"realm": "a"}, "")]),
        (r'Basic realm="a\"b\\c"', [("basic", {"realm": 'a"b\\c'}, "")]),
        ('Basic realm="a, Bearer realm=b"', [("basic", {"realm": "a, Bearer realm=b"}, "")]),
        ('Basic ,realm="a"', [("basic", {"realm": "a"}, "")]),
    ],
)
def test_challenges_are_parted_from_parameters(header, expected):
    found = challenge.parse(header)
    assert [(one.scheme, one.parameters, one.token) for one in found] == expected


@pytest.mark.parametrize(
    "header",
    [
        'realm="x"',
        "=",
        'Basic realm="x',
        'Basic realm="x" service="y"',
        'Basic realm="x", realm="y"',
        'Basic realm="x", REALM="y"',
        "Basic realm=a b",
        'Basic "x"',
        'Bearer realm="a"x',
        "Negotiate YWJj==, realm=a",
        "Basic\trealm=a",
        "B\u00e4sic realm=a",
        'Basic realm="a\nb"',
        "(comment)",
        "Bearer " + "x" * 9000,
    ],
)
def test_what_does_not_follow_the_grammar_is_refused(header):
    with pytest.raises(errors.CorruptData, match="WWW-Authenticate"):
        challenge.parse(header)


@example('Bearer realm="')
@given(st.text(alphabet='abB ,="\\\t\u00e9\u20ac\n=/', max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused(header):
    try:
        found = challenge.parse(header)
    except errors.CorruptData:
        return
    for one in found:
        assert one.scheme == one.scheme.lower()
        assert set(one.scheme) <= set(TOKEN + "abcdefghijklmnopqrstuvwxyzDEFGHIJKLMNOPQRSTUVW")
        assert not (one.token and one.parameters)


words = st.text(alphabet=TOKEN, min_size=1, max_size=8)
texts = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
gaps = st.sampled_from([",", ", ", " , ", ",,", "\t,"])


@given(
    st.lists(st.tuples(words, st.dictionaries(words.map(str.lower), texts, max_size=3)), max_size=3),
    gaps,
)
def test_what_is_written_by_the_grammar_is_read_back(wanted, gap):
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    written = gap.join(
        f"{scheme} " + gap.join(f"{name}={quoted(text)}" for name, text in parameters.items()) if parameters else scheme
        for scheme, parameters in wanted
    )
    assert [(one.scheme, one.parameters) for one in challenge.parse(written)] == [
        (scheme.lower(), parameters) for scheme, parameters in wanted
    ]
