"""What a registry has under a name: from tag or digest, through indexes, to one manifest with its configuration, all of it checked.

Documents of strangers: each has a limit, its digest and its size are compared, and what is no image for Linux is refused with the reason.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Protocol

from pouch.image import Readable, images, platforms
from pouch.spec import descriptor, digest, errors, manifest

DEEPEST_INDEX = 4
LARGEST_CONFIG = 8 << 20
LARGEST_BLOB = 1 << 43
"""Bytes; more than any layer has, and less than what arithmetic of others trips over."""
_SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_CONFIGS = frozenset({descriptor.DOCKER_CONFIG, descriptor.OCI_CONFIG, "application/octet-stream", "text/html", ""})
"""Docker takes also what old registries wrote there."""
_FOREIGN = ("foreign", "nondistributable")


class Fetched(Protocol):
    """A document of a registry, its digest compared."""

    @property
    def raw(self) -> bytes:
        """The bytes."""

    @property
    def media_type(self) -> str:
        """What the registry says it is."""

    @property
    def digest(self) -> str:
        """Of the bytes."""


class Repository(Protocol):
    """What a pull asks of a registry's repository (`registry.repository.Repository`)."""

    @property
    def mirrored(self) -> bool:
        """Whether mirrors are asked first."""

    def direct(self) -> Repository:
        """The same without mirrors."""

    def head(self, ref: str) -> descriptor.Descriptor | None:
        """What a tag or digest points to, as far as it is told without fetching it."""

    def manifest(self, ref: str) -> Fetched:
        """The manifest or index under a tag or digest."""

    def blob(self, wanted: descriptor.Descriptor, *, offset: int = 0) -> contextlib.AbstractContextManager[Readable]:
        """The blob's bytes from an offset on."""

    def tags(self) -> list[str]:
        """All tags."""


@dataclass(frozen=True, slots=True)
class Found:
    """One image in a registry. digest: of what the name points to, a manifest or an index; raw: the manifest's bytes."""

    digest: str
    raw: bytes
    parsed: manifest.Manifest


@dataclass(frozen=True, slots=True)
class Offer:
    """What a name points to: its descriptor, the platforms it is made for as far as it says so itself, its bytes."""

    top: descriptor.Descriptor
    platforms: tuple[descriptor.Platform, ...]
    raw: bytes = field(default=b"", repr=False, compare=False)


def find(repository: Repository, ref: str, wanted: descriptor.Platform, what: str) -> Found:
    """The manifest for a platform under a tag or digest. `what` names the image in messages.

    Raises Unsupported for what is no image, or none for the platform, CorruptData for documents that contradict themselves,
    what the repository raises.
    """
    top = repository.manifest(ref)
    at = top
    for _ in range(DEEPEST_INDEX + 1):
        kind = _kind(at, what)
        if kind in descriptor.MANIFESTS:
            return Found(top.digest, at.raw, _manifest(at.raw, f"{what}: manifest {at.digest}"))
        index = manifest.decode(manifest.Index, at.raw, f"{what}: index {at.digest}")
        chosen = _checked(platforms.choose(index.manifests, wanted, what), f"{what}: index {at.digest}")
        at = repository.manifest(chosen.digest)
        if len(at.raw) != chosen.size:
            raise errors.CorruptData(
                f"{what}: manifest {chosen.digest} has {len(at.raw)} bytes, its index says {chosen.size}"
            )
    raise errors.CorruptData(f"{what}: indexes within each other, more than {DEEPEST_INDEX} deep")


def offer(repository: Repository, ref: str, what: str) -> Offer:
    """What a name points to, without fetching its layers."""
    top = repository.manifest(ref)
    kind = _kind(top, what)
    own = descriptor.Descriptor(kind, top.digest, len(top.raw))
    if kind in descriptor.INDEXES:
        index = manifest.decode(manifest.Index, top.raw, f"{what}: index {top.digest}")
        return Offer(own, tuple(one.platform for one in index.manifests if one.platform), top.raw)
    raw = configuration(repository, _manifest(top.raw, f"{what}: manifest {top.digest}"), what)
    config = images.decode_config(raw, f"{what}: configuration")
    return Offer(own, (descriptor.Platform(config.architecture, config.os, config.variant),), top.raw)


def configuration(repository: Repository, parsed: manifest.Manifest, what: str) -> bytes:
    """The configuration's bytes, compared with size and digest."""
    wanted = parsed.config
    raw = b""
    with repository.blob(wanted) as stream:
        while len(raw) <= wanted.size and (piece := stream.read(wanted.size + 1 - len(raw))):
            raw += piece
    if len(raw) != wanted.size:
        more = "more" if len(raw) > wanted.size else str(len(raw))
        raise errors.CorruptData(
            f"{what}: configuration {wanted.digest} has {more} bytes, the manifest says {wanted.size}"
        )
    if digest.of_bytes(raw) != wanted.digest:
        raise errors.CorruptData(
            f"{what}: configuration {wanted.digest}: its content has the digest {digest.of_bytes(raw)}"
        )
    return raw


# -- documents --------------------------------------------------------------------------------------------------------


def _kind(fetched: Fetched, what: str) -> str:
    """The media type: what the document says of itself, else what the registry says, else what it looks like."""
    shape = manifest.decode(manifest.Shape, fetched.raw, f"{what}: manifest {fetched.digest}")
    told = fetched.media_type.partition(";")[0].strip().lower()
    if told in _SCHEMA_1 or shape.schema_version == 1:
        raise errors.Unsupported(
            f"{what}: the registry has it as a manifest of schema 1, Docker's format until 2015, which is not read any more",
            hint="push it again with a program of today",
        )
    known = descriptor.MANIFESTS | descriptor.INDEXES
    if shape.media_type and told in known and shape.media_type != told:
        raise errors.CorruptData(
            f"{what}: manifest {fetched.digest} calls itself {shape.media_type[:100]!a}, the registry calls it {told}"
        )
    if shape.is_index and shape.is_manifest:
        raise errors.CorruptData(f"{what}: manifest {fetched.digest} is both an image and an index of images")
    kind = shape.media_type or (told if told in known else _looks_like(shape))
    if kind not in known:
        raise errors.Unsupported(f"{what}: {(kind or told or 'an unknown document')[:100]!a} is no image")
    if (kind in descriptor.INDEXES) is not shape.is_index:
        raise errors.CorruptData(f"{what}: manifest {fetched.digest} is no {kind}, which it is said to be")
    return kind


def _looks_like(shape: manifest.Shape) -> str:
    if shape.is_index:
        return descriptor.OCI_INDEX
    return descriptor.OCI_MANIFEST if shape.is_manifest else ""


def _manifest(raw: bytes, what: str) -> manifest.Manifest:
    """A manifest that can be pulled."""
    parsed = manifest.decode(manifest.Manifest, raw, what)
    if parsed.config.media_type not in _CONFIGS:
        raise errors.Unsupported(f"{what}: it is no image but holds {parsed.config.media_type[:100]!a}")
    if len(parsed.layers) > images.MOST_LAYERS:
        raise errors.CorruptData(f"{what}: {len(parsed.layers)} layers, expected at most {images.MOST_LAYERS}")
    if _checked(parsed.config, what).size > LARGEST_CONFIG:
        raise errors.CorruptData(
            f"{what}: a configuration of {parsed.config.size} bytes, expected at most {LARGEST_CONFIG}"
        )
    for layer in parsed.layers:
        if any(word in layer.media_type for word in _FOREIGN):
            raise errors.Unsupported(
                f"{what}: layer {layer.digest} is kept outside the registry ({layer.media_type[:100]!a}), and is not fetched from there"
            )
        if _checked(layer, what).media_type not in descriptor.LAYERS:
            raise errors.Unsupported(
                f"{what}: layer {layer.digest} is of the type {layer.media_type[:100]!a}, expected a tar, plain or with gzip or zstd"
            )
    return parsed


def _checked(given: descriptor.Descriptor, what: str) -> descriptor.Descriptor:
    """A descriptor whose digest and size can be worked with."""
    if not digest.is_digest(given.digest):
        raise errors.CorruptData(f"{what}: it names {given.digest[:100]!a}, expected a sha256 digest")
    if not 0 <= given.size <= LARGEST_BLOB:
        raise errors.CorruptData(f"{what}: {given.digest} has {given.size} bytes, which no blob has")
    return given


def same_platform(config: manifest.ImageConfig, wanted: descriptor.Platform) -> bool:
    """Whether a configuration says that its image is made for this platform. One that says nothing is made for all."""
    if not config.architecture and not config.os:
        return True
    return platforms.fits(descriptor.Platform(config.architecture, config.os, config.variant), wanted)
