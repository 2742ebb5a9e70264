"""Who asks a registry, and under which name: the header `X-Registry-Auth`, and names that come as `repo` and `tag`."""

from __future__ import annotations

import base64
import binascii

from pouch.edge.http.message import Request
from pouch.edge.http.schema import decode
from pouch.edge.http.schema import registry as schema
from pouch.spec import credentials, digest, errors

HEADER = "x-registry-auth"
_HINT = f"{HEADER.title()}: base64url of a JSON object with username, password and serveraddress, or identitytoken"


def who(request: Request) -> credentials.Credentials:
    """The credentials of a request's header; nobody's without one. Raises InvalidInput, which repeats nothing of it."""
    text = request.headers.get(HEADER, "").strip()
    if not text:
        return credentials.ANONYMOUS
    try:
        return given(_unpacked(text))
    except errors.InvalidInput as error:
        reason = error.message.removeprefix("invalid request body: ")
        raise errors.InvalidInput(f"invalid {HEADER.title()} header: {reason}", hint=_HINT) from None


def given(document: bytes) -> credentials.Credentials:
    """The credentials of a JSON document (AuthConfig). Raises InvalidInput."""
    found = decode.decode(b"" if document.strip() == b"null" else document, schema.AuthConfig, lowered=True)
    username, password = found.username, found.password
    if found.auth and not username:
        username, _, password = _text(_unpacked(found.auth)).partition(":")
        password = password.rstrip("\0")  # old clients pad with zeros
    return credentials.Credentials(
        username=username,
        password=password,
        identity_token=found.identitytoken,
        registry_token=found.registrytoken,
        server=found.serveraddress,
    )


def _unpacked(text: str) -> bytes:
    """Base64 in either alphabet (RFC 4648, sections 4 and 5), with its padding or without."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise errors.InvalidInput("not base64") from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise errors.InvalidInput("auth: not UTF-8") from None


def joined(name: str, tag: str) -> str:
    """One reference of a name and a tag, or a digest in its place, as Docker's API splits it; they replace the name's own."""
    if not tag:
        return name
    bare = name.partition("@")[0]
    if is_tagged(bare):
        bare = bare.rpartition(":")[0]
    return f"{bare}@{tag}" if digest.is_digest(tag) else f"{bare}:{tag}"


def is_tagged(name: str) -> bool:
    """Whether a name says which image of a repository: a tag or a digest. A colon before the last slash is a port's."""
    return "@" in name or ":" in name.rpartition("/")[2]


def new_name(request: Request, *, needed: bool) -> str:
    """The name of `repo` and `tag` that an image is to be given; "" where none is needed. Raises InvalidInput."""
    repository, tag = request.text("repo"), request.text("tag")
    if not repository:
        if needed or tag:
            raise errors.InvalidInput("repo is missing: the name that the image is to have")
        return ""
    name = joined(repository, tag)
    if "@" in name:
        raise errors.InvalidInput("refusing to create a tag with a digest reference", hint=f"{name!r}: give it a tag")
    return name
