"""One repository at its registry and the registry's mirrors: manifests, blobs, tags (OCI distribution-spec 1.1), for reading and writing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from pouch.image.registry import auth, blob, failures, session, upload, wire
from pouch.spec import descriptor, digest, errors, reference

LARGEST_MANIFEST = 4 << 20
"""Bytes (OCI distribution-spec, "Pushing Manifests")."""
LARGEST_PAGE = 4 << 20
MOST_TAGS = 100_000
MOST_PAGES = 1000
MANIFESTS = (
    descriptor.OCI_INDEX,
    descriptor.DOCKER_INDEX,
    descriptor.OCI_MANIFEST,
    descriptor.DOCKER_MANIFEST,
)
_FIRST_SCHEMA = "application/vnd.docker.distribution.manifest.v1"
_FOREIGN = re.compile(r"application/vnd\.(?:docker\.image\.rootfs\.foreign|oci\.image\.layer\.nondistributable)\..*")
_NEXT = re.compile(r'<([^>]{1,4096})>\s*;\s*rel="?next"?', re.IGNORECASE)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or an index as it came; digest: of these bytes."""

    raw: bytes
    media_type: str
    digest: str


class _Kind(msgspec.Struct, rename="camel"):
    """What a document says it is."""

    media_type: str = ""
    schema_version: int = 0
    manifests: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()

    @property
    def index(self) -> bool:
        """Whether it lists manifests."""
        return bytes(self.manifests) not in (b"", b"null")

    @property
    def image(self) -> bool:
        """Whether it lists layers."""
        return bytes(self.layers) not in (b"", b"null")


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Repository:
    """A repository for one piece of work. Thread-safe; a context manager, which closes its connections.

    sessions: the mirrors' in order, the registry's own last.
    """

    def __init__(
        self, ref: reference.Reference, sessions: Sequence[session.Session], sender: wire.Wire, *, action: str = "pull"
    ) -> None:
        self.reference = ref
        self.name = ref.name()
        self._familiar = ref.familiar_name()
        self._sessions = list(sessions)
        self._wire = sender
        self._action = action
        self._root = f"/v2/{ref.path}"

    def __repr__(self) -> str:
        return f"Repository({self.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._wire.close()

    def direct(self) -> Repository:
        """The same without mirrors: for a blob of which a mirror gave wrong bytes. Shares the connections."""
        return Repository(self.reference, self._sessions[-1:], self._wire, action=self._action)

    @property
    def mirrored(self) -> bool:
        """Whether mirrors are asked first."""
        return len(self._sessions) > 1

    def _subject(self, what: str) -> failures.Subject:
        return failures.Subject(what, self._familiar, self._action)

    def _named(self, ref: str) -> failures.Subject:
        return self._subject(f"manifest for {self._familiar}{'@' if ':' in ref else ':'}{ref}")

    @property
    def _own(self) -> session.Session:
        return self._sessions[-1]

    def _somewhere(self, attempt: Callable[[session.Session], _T]) -> _T:
        """At the first of the sessions that can. The registry's own failure is the one told."""
        for one in self._sessions[:-1]:
            try:
                return attempt(one)
            except errors.PouchError:
                if one.cancel is not None and one.cancel.is_set():
                    raise
        return attempt(self._own)

    # -- reading ------------------------------------------------------------------------------------------------------

    def manifest(self, ref: str, accept: Sequence[str] = MANIFESTS) -> Fetched:
        """The manifest or index of a tag or a digest, checked against the digest.

        Raises NotFound, Forbidden, Unavailable, CorruptData, Unsupported.
        """
        return self._somewhere(lambda one: self._manifest(one, ref, accept))

    def _manifest(self, one: session.Session, ref: str, accept: Sequence[str]) -> Fetched:
        subject = self._named(ref)
        headers = {"Accept": ", ".join(accept)}
        answer = one.ask("GET", f"{self._root}/manifests/{quote(ref, safe=':')}", subject, headers=headers)
        told, media_type = (
            answer.header("Docker-Content-Digest"),
            answer.header("Content-Type").partition(";")[0].strip(),
        )
        raw = one.body(answer, subject, LARGEST_MANIFEST)
        found = digest.of_bytes(raw)
        for expected in (ref, told):
            if digest.is_digest(expected) and expected != found:
                raise errors.CorruptData(
                    f"{subject.what}: registry {one.host}: its digest is {found}, expected {expected}"
                )
        return Fetched(raw, _media_type(raw, media_type.lower(), f"{subject.what}: registry {one.host}"), found)

    def head(self, ref: str, accept: Sequence[str] = MANIFESTS) -> descriptor.Descriptor | None:
        """Type, digest and size of a tag's manifest, without its bytes; None where there is none, or the registry does not tell."""
        with contextlib.suppress(errors.NotFound):
            return self._somewhere(lambda one: self._head(one, ref, accept))
        return None

    def _head(self, one: session.Session, ref: str, accept: Sequence[str]) -> descriptor.Descriptor | None:
        path = f"{self._root}/manifests/{quote(ref, safe=':')}"
        answer = one.ask("HEAD", path, self._named(ref), headers={"Accept": ", ".join(accept)})
        answer.close()
        told, length = answer.header("Docker-Content-Digest"), answer.header("Content-Length")
        if not digest.is_digest(told) or not length.isdigit() or (digest.is_digest(ref) and told != ref):
            return None
        media_type = answer.header("Content-Type").partition(";")[0].strip().lower()
        return descriptor.Descriptor(media_type, told, int(length[:19]))

    def blob(self, wanted: descriptor.Descriptor, offset: int = 0) -> contextlib.AbstractContextManager[blob.Blob]:
        """A blob as one stream from `offset` on; see blob.Blob. Raises Unsupported for layers that a registry must not hand out."""
        if _FOREIGN.fullmatch(wanted.media_type):
            raise errors.Unsupported(
                f"layer {wanted.digest} of {self._familiar} is foreign ({wanted.media_type}): it comes from elsewhere than the registry",
                hint="expected an image of ordinary layers",
            )
        subject = self._subject(f"blob {digest.parse(wanted.digest)} of {self._familiar}")
        path = f"{self._root}/blobs/{wanted.digest}"
        return blob.opened(blob.Blob(self._sessions, path, wanted, subject, offset))

    def tags(self) -> list[str]:
        """All tags, in the registry's order."""
        return self._somewhere(self._tags)

    def _tags(self, one: session.Session) -> list[str]:
        subject = self._subject(f"repository {self._familiar}")
        found: list[str] = []
        path = f"{self._root}/tags/list"
        for _ in range(MOST_PAGES):
            answer = one.ask("GET", path, subject)
            links = answer.header("Link")
            raw = one.body(answer, subject, LARGEST_PAGE)
            try:
                found += msgspec.json.decode(raw, type=_Tags).tags or []
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise errors.CorruptData(
                    f"{subject.what}: registry {one.host}: its list of tags cannot be read"
                ) from None
            following = _NEXT.search(links)
            if not following:
                return found
            path = one.link(answer, following[1], subject)
            if len(found) > MOST_TAGS:
                break
        raise errors.CorruptData(f"{subject.what}: registry {one.host}: its list of tags has no end")

    # -- writing ------------------------------------------------------------------------------------------------------

    def has_blob(self, of: str) -> bool:
        """Whether the registry itself holds a blob in this repository."""
        subject = self._subject(f"blob {digest.parse(of)} of {self._familiar}")
        answer = self._own.ask("HEAD", f"{self._root}/blobs/{of}", subject, expected={404})
        answer.close()
        return answer.status == 200

    def mount_blob(self, of: str, from_path: str) -> bool:
        """Have a blob that another repository of the same registry holds; False where the registry would rather have it sent."""
        subject = self._subject(f"blob {digest.parse(of)} of {self._familiar}")
        self._own.authorizer(subject).extend(auth.scope_of(from_path, ("pull",)))
        query = urlencode({"mount": of, "from": from_path})
        answer = self._own.ask("POST", f"{self._root}/blobs/uploads/?{query}", subject, expected={400, 404, 405})
        answer.close()
        if answer.status == 202:
            upload.abandon(self._own, answer, subject)
        return answer.status == 201

    def push_blob(
        self,
        wanted: descriptor.Descriptor,
        opened: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
        told: Callable[[int], None],
    ) -> None:
        """Send a blob. opened: the stream from its beginning, seekable, each time anew; told: how many bytes the registry has."""
        subject = self._subject(f"blob {digest.parse(wanted.digest)} of {self._familiar}")
        upload.Upload(self._own, self._root, wanted, opened, told, subject).run()

    def push_manifest(self, raw: bytes, media_type: str, ref: str) -> str:
        """Send a manifest under a tag or its digest; its digest."""
        subject = self._named(ref)
        answer = self._own.ask(
            "PUT",
            f"{self._root}/manifests/{quote(ref, safe=':')}",
            subject,
            headers={"Content-Type": media_type},
            body=raw,
            length=len(raw),
        )
        answer.close()
        found, told = digest.of_bytes(raw), answer.header("Docker-Content-Digest")
        if digest.is_digest(told) and told != found:
            raise errors.CorruptData(f"{subject.what}: registry {self._own.host}: it keeps {told}, expected {found}")
        return found


def _media_type(raw: bytes, header: str, what: str) -> str:
    """What a document is, where header and document agree. One that can be read as two kinds is refused (CVE-2021-41190)."""
    try:
        kind = msgspec.json.decode(raw, type=_Kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.CorruptData(f"{what}: it is no manifest: {error}") from error
    if header.startswith(_FIRST_SCHEMA) or kind.schema_version == 1:
        raise errors.Unsupported(
            f"{what}: it has the schema 1 of 2015", hint="push the image anew with a current engine"
        )
    if kind.index and kind.image:
        raise errors.CorruptData(f"{what}: it is both an index and a manifest, expected one of them")
    said = kind.media_type
    if header in MANIFESTS and said and said != header:
        raise errors.CorruptData(f"{what}: it says that it is {failures.harmless(said)}, the registry says {header}")
    found = header if header in MANIFESTS else said
    if not found:
        found = descriptor.OCI_INDEX if kind.index else descriptor.OCI_MANIFEST
    if kind.index != (found in descriptor.INDEXES) and found in MANIFESTS:
        raise errors.CorruptData(f"{what}: its content is not of its type {found}")
    return found
