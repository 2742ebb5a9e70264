"""Manifests, indexes and image configurations of OCI and Docker.

The bytes a document came in are its identity: keep them, and decode only to look. Encoding is for documents we make.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from pouch.spec import descriptor, digest, errors

_T = TypeVar("_T")


class Manifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One image: its configuration and its layers, bottom first (OCI image-spec, manifest.md)."""

    schema_version: int
    config: descriptor.Descriptor
    layers: tuple[descriptor.Descriptor, ...]
    media_type: str = ""
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Manifests of several platforms or names (OCI image-spec, image-index.md)."""

    manifests: tuple[descriptor.Descriptor, ...]
    schema_version: int = 2
    media_type: str = ""


class Shape(msgspec.Struct, frozen=True, rename="camel"):
    """What tells manifests and indexes of any age apart; what they list is not read."""

    schema_version: int = 0
    media_type: str = ""
    manifests: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()
    config: msgspec.Raw = msgspec.Raw()

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests."""
        return bytes(self.manifests) not in (b"", b"null")

    @property
    def is_manifest(self) -> bool:
        """Whether it has a configuration or layers."""
        return any(bytes(one) not in (b"", b"null") for one in (self.config, self.layers))


class RootFS(msgspec.Struct, frozen=True):
    """diff-ids of the layers, bottom first."""

    type: str
    diff_ids: tuple[str, ...]


MOST_PIECES = 1 << 18
"""Of a configuration; real ones have some hundred."""


class ImageConfig(msgspec.Struct, frozen=True):
    """The members of an image configuration that the engine reads (OCI image-spec, config.md)."""

    rootfs: RootFS
    architecture: str = ""
    os: str = ""
    variant: str = ""
    created: str | None = None
    author: str | None = None
    config: dict[str, object] | None = None
    history: tuple[dict[str, object], ...] | None = None


class SavedImage(msgspec.Struct, frozen=True):
    """One entry of `manifest.json` in what `docker save` writes. Paths inside the archive."""

    Config: str
    Layers: tuple[str, ...]
    RepoTags: tuple[str, ...] | None = None


def decode(kind: type[_T], raw: bytes, what: str) -> _T:
    """Decode a JSON document; `what` names it in the CorruptData error."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.CorruptData(f"{what}: {error}") from error


def decode_config(raw: bytes, what: str) -> ImageConfig:
    """An image configuration whose diff-ids are digests.

    Decoded, the least of objects takes twenty times the room that it takes in the document, so their number is limited, too.
    """
    if sum(raw.count(sign) for sign in b"{[:") > MOST_PIECES:
        raise errors.CorruptData(f"{what}: more than {MOST_PIECES} objects, lists and members")
    config = decode(ImageConfig, raw, what)
    for diff_id in config.rootfs.diff_ids:
        if not digest.is_digest(diff_id):
            raise errors.CorruptData(f'{what}: rootfs.diff_ids has "{errors.shown(diff_id)}", expected a sha256 digest')
    return config


def encode(document: object) -> bytes:
    """Compact JSON. Members of dictionaries come in a fixed order, so equal documents have equal digests."""
    return msgspec.json.encode(document, order="sorted")


def docker_manifest(config_raw: bytes, layers: Sequence[descriptor.Descriptor]) -> bytes:
    """A manifest for an image that came without one: Docker's (image manifest version 2, schema 2). The same input, the same bytes.

    Docker's types, since other engines read HEALTHCHECK and the like only of a configuration of that type. layers: bottom first;
    only media type, digest and size of them are said, the type as Docker calls it.
    """
    made = Manifest(
        schema_version=2,
        media_type=descriptor.DOCKER_MANIFEST,
        config=descriptor.Descriptor(descriptor.DOCKER_CONFIG, digest.of_bytes(config_raw), len(config_raw)),
        layers=tuple(
            descriptor.Descriptor(_DOCKER_TYPES.get(one.media_type, one.media_type), one.digest, one.size)
            for one in layers
        ),
    )
    return encode(made)


_DOCKER_TYPES = {
    descriptor.OCI_LAYER: descriptor.DOCKER_LAYER,
    descriptor.OCI_LAYER_GZIP: descriptor.DOCKER_LAYER_GZIP,
}
"""What OCI and Docker have a name each for; zstd has OCI's alone."""
