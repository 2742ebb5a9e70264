"""Documents that a registry makes up: whatever it sends becomes an answer or one clear error."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from pouch.image.registry import failures, repository
from pouch.spec import descriptor, errors

TYPES = [*sorted(descriptor.MANIFESTS | descriptor.INDEXES), "", "application/json", "text/plain"]
CORPUS = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"schemaVersion": 1}',
    b'{"schemaVersion": 2e400}',
    b'{"schemaVersion": "2"}',
    b'{"mediaType": null}',
    b'{"mediaType": "\\ud800"}',
    b'{"manifests": {}, "layers": {}}',
    b'{"layers": [], "layers": [1]}',
    b"[" * 10_000,
    b'{"layers":' * 2_000,
    b"\xef\xbb\xbf{}",
    b"\xff\xfe",
    b'{"layers": [' + b"0," * 100_000 + b"0]}",
]
"""What parsers of JSON have stumbled over, and what registries have sent."""


def examples(function):
    for raw in CORPUS:
        for media_type in ("", descriptor.OCI_MANIFEST):
            function = example(raw, media_type)(function)
    return function


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
manifests = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.sampled_from([1, 2, "2", None]),
        "mediaType": st.sampled_from([*TYPES, "x/y", 5, None]),
        "layers": json_values,
        "manifests": json_values,
        "config": json_values,
    },
).map(lambda document: json.dumps(document).encode())


@examples
@given(st.binary(max_size=60) | manifests, st.sampled_from(TYPES))
def test_any_document_has_one_type_or_is_refused(raw, media_type):
    try:
        found = repository._media_type(raw, media_type, "what")
    except (errors.CorruptData, errors.Unsupported) as error:
        refused = error.message
    else:
        refused = ""
    if refused:
        assert refused.startswith("what: ")
        return
    document = json.loads(raw)
    assert not (document.get("manifests") is not None and document.get("layers") is not None)
    if found in descriptor.MANIFESTS | descriptor.INDEXES:
        assert (document.get("manifests") is not None) == (found in descriptor.INDEXES)


@given(st.text() | json_values)
def test_any_words_become_one_printable_line(words):
    shown = failures.harmless(words)
    assert shown.isprintable()
    assert len(shown) <= 303


class Answer:
    """An answer with this body."""

    status, url = 418, "http://a"

    def __init__(self, body):
        self._body = body

    def header(self, name):
        return ""

    def headers(self, name):
        return []

    def read(self, size):
        piece, self._body = self._body[:size], self._body[size:]
        return piece

    def close(self):
        self._body = None


@example(b'{"errors": [{"code": ["x"], "message": {"y": 1}}]}')
@example(b'{"errors": [{}]}')
@example(b'{"errors": []}')
@given(
    st.binary(max_size=50)
    | json_values.map(lambda value: json.dumps({"errors": [{"code": value, "message": value}]}).encode())
    | json_values.map(lambda value: json.dumps({"errors": value, "details": value, "message": value}).encode())
)
def test_any_refusal_has_words(body):
    answer = Answer(body)
    said = failures.words(answer)
    assert said
    assert said.isprintable()
    assert answer._body is None, "the answer was closed"
