"""Whatever a client sends as credentials or as a name is understood or refused with one sentence, and never repeated."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pouch.edge.http import message, registry
from pouch.spec import credentials, errors, reference

TEXTS = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ("username", "password", "auth", "serveraddress", "identitytoken", "registrytoken", "email", "x")
)


def who(text: str) -> credentials.Credentials | str:
    """The credentials, or the sentence of the refusal."""
    request = message.Request("POST", "/images/create", headers={registry.HEADER: text})
    try:
        return registry.who(request)
    except errors.InvalidInput as error:
        return error.message


def refused_without(secret: str, found: object) -> None:
    """A refusal begins with what it is about and does not have the secret in it."""
    if isinstance(found, str):
        assert found.startswith("invalid X-Registry-Auth header: ")
        assert secret not in found


# As in h11: header values are ISO 8859-1.
@given(st.text(st.characters(max_codepoint=255), max_size=200))
@example("====")
@example("e30")
@example("\xa0")
@example("-_-_")
def test_any_header_is_understood_or_refused(text):
    assert isinstance(who(text), credentials.Credentials | str)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x00")
@example(b'{"username":"\\ud800"}')
@example(b'{"username":"a","username":"b"}')
@example(b"{" * 200)
def test_any_bytes_in_a_header_are_understood_or_refused(content):
    found = who(base64.urlsafe_b64encode(b'{"password": "xs3cretx", ' + content).decode())
    refused_without("xs3cretx", found)
    assert isinstance(who(base64.b64encode(content).decode()), credentials.Credentials | str)


@given(st.dictionaries(MEMBERS, JSON, max_size=6))
def test_any_document_in_a_header_is_understood_or_refused(document):
    text = base64.urlsafe_b64encode(json.dumps(document | {"x-password": "xs3cretx"}).encode()).decode()
    found = who(text)
    refused_without("xs3cretx", found)
    if isinstance(found, credentials.Credentials):
        assert "xs3cretx" not in repr(found)
        for member, value in (("username", found.username), ("identitytoken", found.identity_token)):
            given_one = document.get(member)
            assert not given_one or value == given_one


@given(st.builds(credentials.Credentials, TEXTS.filter(bool), TEXTS, TEXTS, TEXTS, TEXTS), st.booleans(), st.booleans())
def test_what_was_packed_is_unpacked(given_ones, urlsafe, padded):
    members = {
        "username": given_ones.username,
        "password": given_ones.password,
        "identitytoken": given_ones.identity_token,
        "registrytoken": given_ones.registry_token,
        "serveraddress": given_ones.server,
    }
    pack = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    try:
        packed = pack(json.dumps(members, ensure_ascii=False).encode()).decode()
    except UnicodeEncodeError:  # a lone surrogate is no text that can be sent
        return
    assert who(packed if padded else packed.rstrip("=")) == given_ones


REPOSITORIES = st.sampled_from(("a", "a/b", "reg:5000/a", "localhost/a/b", "a.b/c"))
TAGS = st.sampled_from(("", "1", "latest", "v1.2_x-y"))
DIGESTS = st.sampled_from(("", "sha256:" + "e" * 64))


@given(REPOSITORIES, TAGS, DIGESTS, TAGS)
def test_a_name_and_a_tag_make_the_reference_that_they_name(repository, own, digest, tag):
    name = repository + (f":{own}" if own else "") + (f"@{digest}" if digest else "")
    joined = registry.joined(name, tag)
    parsed = reference.Reference.parse(joined)
    assert parsed.name() == reference.Reference.parse(repository).name()
    if tag:
        assert (parsed.tag, parsed.digest) == (tag, "")
    else:
        assert joined == name
        assert registry.is_tagged(joined) is bool(own or digest)


@given(TEXTS, TEXTS)
@example("", ":")
@example("@", "@")
@example("a@sha256:x", "b")
@example("a:b/c", "sha256:" + "e" * 64)
def test_any_name_and_tag_can_be_joined(name, tag):
    """What comes out is for the engine to judge; nothing fails here."""
    assert isinstance(registry.joined(name, tag), str)
    request = message.Request("POST", "/images/x/tag", query={"repo": name, "tag": tag})
    with contextlib.suppress(errors.InvalidInput):
        assert "@" not in registry.new_name(request, needed=False)


def test_the_refusal_says_what_was_expected():
    with pytest.raises(errors.InvalidInput) as raised:
        registry.who(message.Request("POST", "/", headers={registry.HEADER: "!"}))
    assert "base64url of a JSON object" in raised.value.hint
